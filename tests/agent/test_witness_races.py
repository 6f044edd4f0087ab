"""Several carriers at one witness, with clocks that drift, answers that are late or lost, writes
that are done long after they were given up, and nodes that freeze.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.actions import ReadWitness, WriteWitness
from agent.events import WitnessFailed, WitnessRead, WitnessWritten
from agent.lease import NEVER
from agent.witness import Carrier, Deed
from agent.witness_record import NOBODY, WitnessRecord
from agent.witness_states import Around
from protocol.names import (
    NodeName,
    Timing,
    View,
    ViewNumber,
    VoteConfig,
    Witness,
    WitnessKind,
)
from tests.agent.ground import CLUSTER, life, member

DRIFT = 0.05
TIMING = Timing(drift_rate=DRIFT)
SHARE = Witness("w", WitnessKind.SHARE, "/w")
NAMES = [NodeName(name) for name in "abc"]
VOTES = VoteConfig(1, tuple((name, 1) for name in "ab"), witness=SHARE, witness_votes=1)  # type: ignore[misc]
MEMBERS = tuple(member(name) for name in NAMES)
UNTIL_S = 120.0
ANSWER_MAX_S = 4.0


@dataclass(frozen=True, slots=True)
class Use:
    """The vote was promised or counted by `node` under `view`, in true time."""

    node: NodeName
    view: int
    begins_s: float
    ends_s: float


class Race:
    """The world of one run. All that is random comes from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.true_s = 0.0
        self.version = 0
        self.record: WitnessRecord | None = None
        self.uses: list[Use] = []
        self.vouched: list[tuple[float, int]] = []
        self.takes = 0
        self._order = itertools.count()
        self._calendar: list[tuple[float, int, Callable[[], None]]] = []
        self.racers = [Racer(self, name) for name in NAMES]

    def after(self, true_s: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._calendar, (self.true_s + true_s, next(self._order), call))

    def run(self) -> "Race":
        for racer in self.racers:
            racer.tick()
        while self._calendar and self._calendar[0][0] < UNTIL_S:
            self.true_s, _, call = heapq.heappop(self._calendar)
            call()
        return self

    def latency_s(self) -> float:
        return self.random.choice([0.0, 0.01, 0.3, self.random.uniform(0.0, 25.0)])


class Racer:
    """One node: its clock, its view, and an edge that forgets nothing that it ever began."""

    def __init__(self, race: Race, name: NodeName) -> None:
        self.race = race
        self.name = name
        self.rate = race.random.uniform(1 - DRIFT, 1 + DRIFT)
        self.offset_s = race.random.uniform(0.0, 1e6)
        self.carrier = Carrier(name, life(name), CLUSTER, VOTES, TIMING)
        self.view = View(ViewNumber(1), MEMBERS, VOTES)
        self.carrier.live_by(self.view, CLUSTER, self.now)
        self.frozen_until_s = 0.0
        self.spent_s = NEVER
        self.lease_end_s = 0.0

    @property
    def now(self) -> float:
        return self.race.true_s * self.rate + self.offset_s

    def tick(self) -> None:
        race = self.race
        race.after(race.random.uniform(0.05, 0.6), self.tick)
        if race.true_s < self.frozen_until_s:
            return
        if race.random.random() < 0.01:
            self.frozen_until_s = race.true_s + race.random.uniform(0.0, 20.0)
            return
        if race.random.random() < 0.02:
            newer = max(racer.view.number for racer in race.racers)
            self.view = View(
                ViewNumber(newer + race.random.randint(0, 1)), MEMBERS, self.view.votes
            )
            self.carrier.live_by(self.view, CLUSTER, self.now)
        if race.random.random() < 0.05:
            self.lease_end_s = self.now + race.random.choice([0.0, 5.0])
        if race.random.random() < 0.01:
            self.carrier.ask(VOTES, CLUSTER, self.now)
        helped = race.random.random() < 0.2
        supporters = frozenset(NAMES) if helped else frozenset({self.name})
        near = Around(self.lease_end_s, supporters, False, (), self.spent_s)
        for deed in self.carrier.due(self.now, near):
            race.after(race.latency_s(), lambda deed=deed: self.arrives(deed))  # type: ignore[misc]
            race.after(ANSWER_MAX_S, lambda deed=deed: self.gives_up(deed))  # type: ignore[misc]
        self.use()

    def use(self) -> None:
        """Promise the vote to a peer, and count it: each for as long as that may be."""
        usable_s = self.carrier.usable_until_s
        left_s = min(TIMING.support_s, usable_s - self.now)
        if left_s <= 0.0:
            return
        true_s = self.race.true_s
        slow = true_s + left_s / (1 - DRIFT)  # the clock of whoever was promised
        own = true_s + left_s / self.rate
        self.race.uses.append(Use(self.name, self.view.number, true_s, max(slow, own)))
        self.spent_s = max(self.spent_s, self.now + TIMING.outlast_s)

    def arrives(self, deed: Deed) -> None:
        """At the witness. Whether the answer finds its way back is another matter."""
        race = self.race
        answer: WitnessRead | WitnessWritten
        match deed:
            case ReadWitness():
                answer = WitnessRead(race.version, race.record, deed.begun_at)
            case WriteWitness(_, version, record):
                done = race.version == version
                if done:
                    race.takes += record.holder not in (NOBODY, self.holder())
                    race.version, race.record = version + 1, record
                answer = WitnessWritten(version, done, deed.begun_at)
        if race.random.random() < 0.9:
            race.after(race.latency_s(), lambda: self.hears(answer))

    def holder(self) -> str:
        return "" if self.race.record is None else self.race.record.holder

    def hears(self, answer: WitnessRead | WitnessWritten) -> None:
        race = self.race
        if race.true_s < self.frozen_until_s:
            race.after(self.frozen_until_s - race.true_s, lambda: self.hears(answer))
            return
        did = self.carrier.vouches_for(self.view)
        match answer:
            case WitnessRead():
                self.carrier.read(answer, self.now)
            case WitnessWritten():
                self.carrier.written(answer, self.now)
        if not did and self.carrier.vouches_for(self.view):
            race.vouched.append((race.true_s, self.view.number))
        self.use()

    def gives_up(self, deed: Deed) -> None:
        self.carrier.failed(WitnessFailed("no answer", deed.begun_at), self.now)


def overlapping(uses: list[Use]) -> tuple[Use, Use] | None:
    """Two uses by different nodes at one time; `uses` are in the order of their beginnings."""
    last: dict[NodeName, Use] = {}
    for use in uses:
        for other in last.values():
            if other.node != use.node and other.ends_s > use.begins_s:
                return other, use
        if use.node not in last or use.ends_s > last[use.node].ends_s:
            last[use.node] = use
    return None


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_no_two_nodes_use_the_vote_at_the_same_time(seed: int) -> None:
    race = Race(seed).run()

    assert overlapping(race.uses) is None


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_what_the_witness_has_vouched_for_ends_every_use_under_an_older_view(seed: int) -> None:
    race = Race(seed).run()

    for at_s, number in race.vouched:
        older = [use for use in race.uses if use.view < number and use.begins_s > at_s]
        assert older == []


def test_the_races_are_no_walks() -> None:
    races = [Race(seed).run() for seed in range(40)]

    assert sum(race.takes for race in races) > 100
    assert sum(len(race.uses) for race in races) > 2_000
    assert sum(len(race.vouched) for race in races) > 100
    assert sum(len({use.node for use in race.uses}) > 1 for race in races) > 15
