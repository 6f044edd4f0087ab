"""The pen: every change of the store goes through it, one transaction at a time.

A plan is a small value. It becomes a transaction only when the pen is free, from the rows as they
are then, and compares every row that it relies on. An indefinite answer is met by the identical
transaction: either it is applied now, or the conflict shows the counter row with this very
transaction's stamp, and it was applied before. Nothing is ever decided by reading alone.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from coordinator.actions import Transact
from coordinator.events import WorkId
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown.chronicle import Note
from coordinator.store.interface import (
    Applied,
    Compare,
    Conflict,
    Delete,
    Indefinite,
    Put,
    Result,
    Row,
    Txn,
)
from coordinator.store.rows import COUNTER, CounterRow, event_key
from protocol.names import AttemptId

REPEAT_FIRST_S = 0.05
REPEAT_LAST_S = 1.0


@dataclass(frozen=True, slots=True)
class Draft:
    """What a plan wants written. `relies`: what must be as it was, besides what is written."""

    relies: tuple[str, ...] = ()
    puts: tuple[tuple[str, dict[str, Any]], ...] = ()
    deletes: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    attempt: AttemptId | None = None
    """The id that the plan takes for a new attempt; the counter follows it."""

    answer: Declined | None = None
    """Written, and still a refusal: the record of one."""


class Plan(Protocol):
    """Frozen and hashable: a plan that is waiting already is not taken twice.

    One that an operator waits for has a `request`, and may say with `answer(scene)` what is told
    once it is written; with `answered_when_held` set, once the newest view holds.
    """

    def draft(self, scene: Scene) -> Draft | Declined | None:
        """What to write; a refusal; or None when there is nothing to do any more."""


@dataclass(frozen=True, slots=True)
class Written:
    """The store has it, as of now for everybody."""

    plan: Plan
    draft: Draft


@dataclass(frozen=True, slots=True)
class Dropped:
    """Nothing was written: the plan was refused, or had become pointless (`why` is None)."""

    plan: Plan
    why: Declined | None


@dataclass(frozen=True, slots=True)
class Lost:
    """The store's term is another's: nothing was written, and nothing ever will be under ours."""

    term: int


Outcome = Written | Dropped | Lost


@dataclass(slots=True)
class _Writing:
    plan: Plan
    draft: Draft
    txn: Txn
    stamp: list[int]
    work: WorkId | None
    tries: int = 1
    repeat_at: float = field(default=float("inf"))


class Pen:
    """Feeds one plan at a time to the store. `take` and `answered` tell what has come of plans."""

    def __init__(self) -> None:
        self._waiting: deque[Plan] = deque()
        self._known: set[Plan] = set()
        self._writing: _Writing | None = None
        self._seq = 0

    @property
    def free(self) -> bool:
        return self._writing is None

    @property
    def idle(self) -> bool:
        return self._writing is None and not self._waiting

    def put(self, plan: Plan, urgent: bool = False) -> None:
        """Enter a plan; an urgent one goes before all that wait (a guest is paused for it)."""
        if plan in self._known:
            return
        self._known.add(plan)
        if urgent:
            self._waiting.appendleft(plan)
        else:
            self._waiting.append(plan)

    def clear(self) -> tuple[tuple[Plan, bool], ...]:
        """Forget all plans; with each whether it may have been written all the same."""
        plans = [(plan, False) for plan in self._waiting]
        if self._writing is not None:
            plans.insert(0, (self._writing.plan, True))
        self._waiting.clear()
        self._known.clear()
        self._writing = None
        return tuple(plans)

    def wake_at(self) -> float:
        return float("inf") if self._writing is None else self._writing.repeat_at

    def take(self, scene: Scene, work: WorkId) -> tuple[list[Outcome], Transact | None]:
        """Begin the next transaction, or repeat an indefinite one whose time has come."""
        if self._writing is not None:
            return [], self._repeat(self._writing, scene.now, work)
        outcomes: list[Outcome] = []
        while self._waiting:
            plan = self._waiting.popleft()
            self._known.discard(plan)
            draft = plan.draft(scene)
            if not isinstance(draft, Draft):
                outcomes.append(Dropped(plan, draft))
                continue
            self._known.add(plan)
            self._seq += 1
            stamp = [int(scene.term), self._seq]
            txn = _transaction(draft, scene, stamp)
            self._writing = _Writing(plan, draft, txn, stamp, work)
            return outcomes, Transact(work, txn)
        return outcomes, None

    def answered(self, work: WorkId, result: Result, scene: Scene) -> list[Outcome]:
        """What the store said. An answer to a question that was given up is not looked at."""
        writing = self._writing
        if writing is None or writing.work != work:
            return []
        match result:
            case Applied(revision):
                return [self._applied(writing, revision, scene)]
            case Indefinite():
                writing.work = None
                wait_s = 0.0 if writing.tries == 1 else REPEAT_FIRST_S * 2 ** (writing.tries - 2)
                writing.repeat_at = scene.now + min(wait_s, REPEAT_LAST_S)
                return []
            case Conflict(rows):
                for row in rows:
                    if row.key == COUNTER and _stamp(row) == writing.stamp:
                        return [self._applied(writing, row.revision, scene)]
                for row in rows:
                    scene.book.learn_row(row)
                self._writing = None
                self._waiting.appendleft(writing.plan)
                return []
            case _:
                writing.work = None
                if writing.tries == 1:
                    self._writing = None  # it never happened, and its asker is told so by `clear`
                    self._waiting.appendleft(writing.plan)
                return [Lost(result.term)]

    def _repeat(self, writing: _Writing, now: float, work: WorkId) -> Transact | None:
        if writing.work is not None or now < writing.repeat_at:
            return None
        writing.work = work
        writing.tries += 1
        writing.repeat_at = float("inf")
        return Transact(work, writing.txn)

    def _applied(self, writing: _Writing, revision: int, scene: Scene) -> Outcome:
        for put in writing.txn.puts:
            scene.book.learn(put.key, revision, put.value)
        for delete in writing.txn.deletes:
            scene.book.learn(delete.key, revision, None)
        self._known.discard(writing.plan)
        self._writing = None
        return Written(writing.plan, writing.draft)


def _stamp(row: Row) -> list[int]:
    return [] if row.value is None else list(row.value.get("by", ()))


def _transaction(draft: Draft, scene: Scene, stamp: list[int]) -> Txn:
    """The draft with its event rows, the counter, the stamp, and a compare for every row in it."""
    if not (draft.puts or draft.deletes or draft.notes):
        return Txn(int(scene.term))
    book = scene.book
    counter = book.counter
    puts = [Put(key, {**value, "by": stamp}) for key, value in draft.puts]
    for index, note in enumerate(draft.notes, start=counter.events + 1):
        puts.append(Put(event_key(index), note.data(scene.wall, scene.term)))
    attempts = counter.attempts if draft.attempt is None else int(draft.attempt)
    counted = CounterRow(counter.events + len(draft.notes), attempts)
    puts.append(Put(COUNTER, {**counted.data(), "by": stamp}))
    compared = dict.fromkeys(
        (*draft.relies, *(key for key, _ in draft.puts), *draft.deletes, COUNTER)
    )
    return Txn(
        term=int(scene.term),
        compares=tuple(Compare(key, book.revision(key)) for key in compared),
        puts=tuple(puts),
        deletes=tuple(Delete(key) for key in draft.deletes),
    )
