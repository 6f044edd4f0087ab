"""A simulated witness: one record that changes only against the version that was read, in a place
that every node may or may not reach.

It promises no more than the real one (a locked folder): an answer may be lost, a write may land
long after its writer gave up, and a record that was wiped or put back begins anew.
"""

import collections
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, ClassVar

from lab.simulation.net import Network, Way
from lab.simulation.store import Fate, Trouble
from lab.simulation.world import World

HOST = "witness"
"""What the witness is called where cuts are made: the way ("witness", node, "witness")."""

TIMEOUT_S = 2.0
NOT_ANSWERED = "the witness did not answer in time"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a read finds: version 0 is a place where nothing was ever written."""

    version: int
    record: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing is known: a write may have been done, or may still be."""

    reason: str


def way_to(node: str) -> Way:
    """The way from `node` to the witness, for cuts."""
    return (HOST, node, HOST)


class SimWitness:
    """The register itself, and every node's way to it."""

    CALM: ClassVar = Trouble(timeout_s=TIMEOUT_S)

    def __init__(self, world: World, net: Network, name: str) -> None:
        self.name = name
        self.version = 0
        self.record: Any = None
        self.copy: Any = None
        """The newest copy of the cluster database."""

        self.is_down = False
        self.trouble: Trouble = self.CALM
        self.fates: collections.Counter[Fate] = collections.Counter()
        self.on_write: list[Callable[[Any, Any], None]] = []
        """Called with the record before and after every write that was done."""

        self._world = world
        self._net = net
        self._random: Random = world.stream(f"witness {name}")
        self._random_of_copies: Random = world.stream(f"copies {name}")
        self._kept: tuple[int, Any] = (0, None)

    # ---- what nodes do with it

    def read(self, node: str, deliver: Callable[[Seen | Failed], None]) -> None:
        self._send(node, lambda: Seen(self.version, self.record), deliver)

    def write_if(
        self, node: str, version: int, record: Any, deliver: Callable[[bool | Failed], None]
    ) -> None:
        """Write `record` if the version is still the one that was read."""
        self._send(node, partial(self._write, version, record), deliver)

    def keep_copy(self, node: str, copy: Any, deliver: Callable[[Failed | None], None]) -> None:
        """Have a copy of the database beside the record; one that is newer stays."""
        self._send(node, partial(self._keep_copy, copy), deliver, self._random_of_copies)

    def _keep_copy(self, copy: Any) -> None:
        if self.copy is None or self.copy.name < copy.name:
            self.copy = copy

    def newest_copy(self, node: str, deliver: Callable[[Any], None]) -> None:
        """A copy, or None, or `Failed`."""
        self._send(node, lambda: self.copy, deliver, self._random_of_copies)

    def _write(self, version: int, record: Any) -> bool:
        if version != self.version:
            return False
        before, self.record = self.record, record
        self.version += 1
        self._tell(before)
        return True

    # ---- what happens to it

    def keep(self) -> None:
        """Make a copy that `put_back` brings back."""
        self._kept = (self.version, self.record)

    def put_back(self) -> None:
        """Somebody restores an old copy; versions still only grow, as names of files do."""
        before, self.record = self.record, self._kept[1]
        self.version += 1
        self._tell(before)

    def wipe(self) -> None:
        """Somebody empties it."""
        before, self.record = self.record, None
        self.version, self.copy = 0, None
        self._tell(before)

    def _tell(self, before: Any) -> None:
        for call in self.on_write:
            call(before, self.record)

    # ---- the way there and back

    def _send(
        self,
        node: str,
        deed: Callable[[], Any],
        deliver: Callable[[Any], None],
        random: Random | None = None,
    ) -> None:
        trouble, random, world = self.trouble, random or self._random, self._world
        fate = trouble.fate(random.random())
        there_s = random.uniform(*trouble.delay_s)
        back_s = random.uniform(*trouble.delay_s)
        late_s = random.uniform(*trouble.late_s)
        began = world.now

        def give_up(why: Fate) -> None:
            self.fates[why] += 1
            world.at(began + trouble.timeout_s, deliver, Failed(NOT_ANSWERED))

        def arrive() -> None:
            if self.is_down or self._net.blocks(way_to(node)):
                return give_up(Fate.CUT_OFF)
            answer = deed()
            if fate is Fate.ANSWER_LOST:
                return give_up(fate)
            world.after(back_s, come_back, answer)

        def come_back(answer: Any) -> None:
            if self._net.blocks(way_to(node)):
                return give_up(Fate.CUT_OFF)
            self.fates[Fate.ANSWERED] += 1
            deliver(answer)

        def arrive_late() -> None:
            if not self.is_down:
                deed()

        if fate is Fate.REQUEST_LOST:
            give_up(fate)
        elif fate is Fate.REQUEST_LATE:
            give_up(fate)
            world.after(trouble.timeout_s + late_s, arrive_late)
        else:
            world.after(there_s, arrive)
