"""The coordinator's store in memory, honest or treacherous, for the simulation and quick tests.

`MemoryStore` is the truth: rows and rules, at once and without doubt. `SimStore` is a coordinator's
way to it, with delays, outages and answers that say nothing; several ways may lead to one truth.
`InstantStore` dresses the truth as a `coordinator.store.interface.Store` for code that awaits.
"""

import asyncio
import collections
import enum
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TypeVar

from coordinator.store import interface as store
from coordinator.store.interface import TERM_KEY, Applied, Indefinite, Result, Row, Txn
from protocol.errors import StoreError

T = TypeVar("T")

Writes = tuple[tuple[str, bytes | None], ...]


class MemoryStore:
    """The rules of the store, synchronous: what every backend must do."""

    def __init__(self) -> None:
        self.revision = 0
        self._kept: dict[str, tuple[bytes | None, int]] = {}
        self._watchers: list[tuple[str, Callable[[Row], None]]] = []

    @property
    def term(self) -> int:
        return store.term_of(self.get(TERM_KEY))

    def apply(self, txn: Txn) -> Result:
        return self.apply_encoded(txn, store.encoded(txn))

    def apply_encoded(self, txn: Txn, writes: Writes) -> Result:
        """As `apply`, for values that were encoded when the transaction was sent."""
        compared = [self.get(compare.key) for compare in txn.compares]
        if refused := store.refusal(txn, self.term, compared):
            return refused
        return Applied(self._write(writes))

    def take_term(self, at_least: int, leader: str) -> int:
        term = store.next_term(self.term, at_least)
        self._write(((TERM_KEY, store.pack({"term": term, "leader": leader})),))
        return term

    def get(self, key: str) -> Row:
        content, revision = self._kept.get(key, (None, 0))
        return Row(key, None, 0) if content is None else Row(key, store.unpack(content), revision)

    def range(self, prefix: str, after_key: str = "", limit: int = 1000) -> tuple[Row, ...]:
        keys = sorted(key for key in self._kept if key.startswith(prefix) and key > after_key)
        rows = (self.get(key) for key in keys)
        return tuple(row for row in rows if row.revision)[:limit]

    def changes(self, prefix: str, from_revision: int) -> tuple[Row, ...]:
        """The newest change of every row that changed since `from_revision`, deletions included."""
        rows = (self._told(key) for key in self._kept if key.startswith(prefix))
        since = (row for row in rows if row.revision >= from_revision)
        return tuple(sorted(since, key=lambda row: (row.revision, row.key)))

    def on_change(self, prefix: str, tell: Callable[[Row], None]) -> Callable[[], None]:
        """Have `tell` called for every change from now on; the answer ends that."""
        watcher = (prefix, tell)
        self._watchers.append(watcher)
        return partial(self._watchers.remove, watcher)

    def _told(self, key: str) -> Row:
        content, revision = self._kept[key]
        return Row(key, None if content is None else store.unpack(content), revision)

    def _write(self, writes: Writes) -> int:
        changes = [
            (k, content) for k, content in writes if content is not None or self.get(k).revision
        ]
        if changes:
            self.revision += 1
        for key, content in changes:
            self._kept[key] = (content, self.revision)
        for key, _ in sorted(changes, key=lambda change: change[0]):
            for prefix, tell in list(self._watchers):
                if key.startswith(prefix):
                    tell(self._told(key))
        return self.revision


class Fate(enum.Enum):
    """What becomes of a request; its asker only ever sees an answer or `Indefinite`."""

    ANSWERED = "answered"
    ANSWER_LOST = "applied, and nobody is told"
    REQUEST_LOST = "never applied"
    REQUEST_LATE = "applied long after its asker gave up"
    CUT_OFF = "lost, or its answer was, in an outage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """How badly a way to the store behaves. The chances are per request and exclude each other."""

    delay_s: tuple[float, float] = (0.0005, 0.005)
    """Least and most that a request takes, and again its answer."""

    timeout_s: float = 2.0
    """How long the asker waits before a missing answer counts as `Indefinite`."""

    answer_lost: float = 0.0
    request_lost: float = 0.0
    request_late: float = 0.0

    late_s: tuple[float, float] = (0.0, 10.0)
    """Least and most between the `Indefinite` answer and the belated deed."""

    def __post_init__(self) -> None:
        chances = (self.answer_lost, self.request_lost, self.request_late)
        if min(chances) < 0 or sum(chances) > 1:
            raise ValueError("the chances of trouble lie between 0 and 1, and so does their sum")
        if self.timeout_s < 2 * self.delay_s[1]:
            raise ValueError("timeout_s must allow for the longest way there and back")

    def fate(self, chance: float) -> Fate:
        """Turn a number between 0 and 1 into what becomes of a request."""
        for likely, fate in (
            (self.answer_lost, Fate.ANSWER_LOST),
            (self.request_lost, Fate.REQUEST_LOST),
            (self.request_late, Fate.REQUEST_LATE),
        ):
            if chance < likely:
                return fate
            chance -= likely
        return Fate.ANSWERED


HONEST = Trouble()
NOT_ANSWERED = Indefinite("the store did not answer in time")


def by_chance(_txn: Txn) -> Fate | None:
    return None


class SimStore:
    """One coordinator's way to a `MemoryStore`, in a world with its own time and chance.

    Requests may overtake each other. `deliver` is called exactly once for each; whether its asker
    still lives by then is for the world to know.
    """

    def __init__(
        self,
        truth: MemoryStore,
        random: Random,
        after: Callable[[float, Callable[[], None]], None],
        trouble: Trouble = HONEST,
    ) -> None:
        self.truth = truth
        self.trouble = trouble
        self.decree: Callable[[Txn], Fate | None] = by_chance
        """Names the fate of chosen transactions, so that a scenario can betray just the commit."""
        self.fates: collections.Counter[Fate] = collections.Counter()
        """What became of the requests so far: a trouble counts once it took effect."""
        self._random = random
        self._after = after
        self._outages = 0

    def submit(self, txn: Txn, deliver: Callable[[Result], None]) -> None:
        deed = partial(self.truth.apply_encoded, txn, store.encoded(txn))
        self._send(deed, deliver, self.decree(txn))

    def take_term(
        self, at_least: int, leader: str, deliver: Callable[[int | Indefinite], None]
    ) -> None:
        self._send(partial(self.truth.take_term, at_least, leader), deliver)

    def get(self, key: str, deliver: Callable[[Row | Indefinite], None]) -> None:
        self._send(partial(self.truth.get, key), deliver)

    def range(
        self,
        prefix: str,
        deliver: Callable[[tuple[Row, ...] | Indefinite], None],
        after_key: str = "",
        limit: int = 1000,
    ) -> None:
        self._send(partial(self.truth.range, prefix, after_key, limit), deliver)

    def begin_outage(self) -> None:
        """From now on neither requests nor answers pass this way; outages nest."""
        self._outages += 1

    def end_outage(self) -> None:
        assert self._outages > 0, "an outage ends once"
        self._outages -= 1

    def outage(self, lasting_s: float) -> None:
        self.begin_outage()
        self._after(lasting_s, self.end_outage)

    def _send(
        self,
        deed: Callable[[], T],
        deliver: Callable[[T | Indefinite], None],
        decreed: Fate | None = None,
    ) -> None:
        chance = self._random.random()  # drawn in any case: a decree must not shift later draws
        there_s, back_s = (self._random.uniform(*self.trouble.delay_s) for _ in range(2))
        late_s = self._random.uniform(*self.trouble.late_s)
        fate, timeout_s = decreed or self.trouble.fate(chance), self.trouble.timeout_s

        def give_up(why: Fate, at_s: float) -> None:
            self.fates[why] += 1
            self._after(timeout_s - at_s, lambda: deliver(NOT_ANSWERED))

        def arrive() -> None:
            if self._outages:
                return give_up(Fate.CUT_OFF, there_s)
            answer = deed()
            if fate is Fate.ANSWER_LOST:
                return give_up(fate, there_s)
            self._after(back_s, lambda: come_back(answer))

        def come_back(answer: T) -> None:
            if self._outages:
                return give_up(Fate.CUT_OFF, there_s + back_s)
            self.fates[Fate.ANSWERED] += 1
            deliver(answer)

        def arrive_late() -> None:
            self.fates[Fate.REQUEST_LATE] += 1
            deed()

        match fate:
            case Fate.REQUEST_LOST | Fate.CUT_OFF:
                give_up(fate, 0.0)
            case Fate.REQUEST_LATE:
                self._after(timeout_s, lambda: deliver(NOT_ANSWERED))
                self._after(timeout_s + late_s, arrive_late)
            case Fate.ANSWERED | Fate.ANSWER_LOST:
                self._after(there_s, arrive)


class InstantStore:
    """A `MemoryStore` for code that awaits: the store of quick tests."""

    def __init__(self, truth: MemoryStore | None = None) -> None:
        self.truth = MemoryStore() if truth is None else truth
        self._inboxes: set[asyncio.Queue[Row | None]] = set()
        self._closed = False

    async def transact(self, txn: Txn) -> Result:
        self._check_open()
        return self.truth.apply(txn)

    async def take_term(self, at_least: int, leader: str) -> int:
        self._check_open()
        return self.truth.take_term(at_least, leader)

    async def get(self, key: str) -> Row:
        self._check_open()
        return self.truth.get(key)

    async def range(self, prefix: str, after_key: str = "", limit: int = 1000) -> tuple[Row, ...]:
        self._check_open()
        return self.truth.range(prefix, after_key, limit)

    async def watch(self, prefix: str, from_revision: int) -> AsyncGenerator[Row, None]:
        self._check_open()
        inbox: asyncio.Queue[Row | None] = asyncio.Queue()
        for row in self.truth.changes(prefix, from_revision):
            inbox.put_nowait(row)
        forget = self.truth.on_change(prefix, inbox.put_nowait)
        self._inboxes.add(inbox)
        try:
            while (change := await inbox.get()) is not None:
                if change.revision >= from_revision:
                    yield change
        finally:
            self._inboxes.discard(inbox)
            forget()

    async def close(self) -> None:
        self._closed = True
        for inbox in self._inboxes:
            inbox.put_nowait(None)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")
