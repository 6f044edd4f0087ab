"""Goes through every execution of a story within a bound, each state once, and judges all of them.

Depth first: before every event each possible deviation is tried on a copy. Where nothing is under
way the state is remembered with what of the budget is left; a state that was met before, with as
much left, leads nowhere new.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field

from lab.exploration.acting import step
from lab.exploration.deviations import Budget, Deviation, apply, deviations
from lab.exploration.fingerprint import fingerprint
from lab.exploration.judge import Broken, Judge
from lab.exploration.world import TIMING, World

OUTAGE_MAX_S = 4 * (TIMING.support_s + TIMING.delay_s + TIMING.outlast_s)
"""No copy may be missing for longer where liveness is promised: detection, promises that run out
and a start wait, and all of it again for what goes wrong on the way.
"""

NOTHING_LEFT = Budget(0, 0, 0, 0, 0)

CALM_S = 3 * TIMING.support_s
"""So long all must have been well before an execution counts as ended."""


@dataclass(slots=True)
class Tally:
    """What was seen."""

    states: int = 0
    """Different ones, where nothing was under way."""

    events: int = 0
    executions: int = 0
    merged: int = 0
    longest_outage_s: float = 0.0
    unpromised: int = 0
    """Executions that ended without a copy where nothing is promised: no quorum was left."""

    broken: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    is_complete: bool = True

    def add(self, other: "Tally") -> None:
        self.states += other.states
        self.events += other.events
        self.executions += other.executions
        self.merged += other.merged
        self.unpromised += other.unpromised
        self.longest_outage_s = max(self.longest_outage_s, other.longest_outage_s)
        self.broken += other.broken
        self.is_complete &= other.is_complete


class Explorer:
    """One story, one bound. `is_over` ends it early; then the tally says that it is incomplete."""

    def __init__(
        self,
        is_open: Callable[[World], bool],
        is_over: Callable[[], bool] = lambda: False,
        stops_at_first: bool = False,
    ) -> None:
        self.tally = Tally()
        self._is_open = is_open
        self._is_over = is_over
        self._stops_at_first = stops_at_first
        self._judge = Judge()
        self._met: dict[int, list[Budget]] = {}

    def first(self, world: World, budget: Budget) -> list[tuple[bytes, Budget]]:
        """The executions with one deviation, not yet gone through: work that can be shared."""
        begun: list[tuple[bytes, Budget]] = []
        self._run(world, budget, lambda kept, left, _: begun.append((kept, left)))
        return begun

    def explore(self, world: World, budget: Budget) -> None:
        """This execution from here on, and all that deviate from it."""
        self._run(world, budget, lambda kept, left, _: self.explore(pickle.loads(kept), left))

    def _run(
        self, world: World, budget: Budget, branch: Callable[[bytes, Budget, Deviation], None]
    ) -> None:
        calm_since, looks_at_s = None, world.now
        while True:
            if self._is_over() or (self.tally.broken and self._stops_at_first):
                self.tally.is_complete = False
                return
            is_open = budget.total > 0 and self._is_open(world)
            if not world.queue and (is_open or world.now >= looks_at_s):
                looks_at_s = world.now + TIMING.delay_s
                if self._was_met(world, budget if is_open else NOTHING_LEFT):
                    self.tally.merged += 1
                    return
            if is_open:
                self._deviate(world, budget, branch)
            try:
                step(world)
                self._judge.look(world)
            except Exception as wrong:
                words = str(wrong) if isinstance(wrong, Broken) else f"{wrong!r}"
                self.tally.broken.append((words, tuple(world.trail)))
                return
            self.tally.events += 1
            if world.queue:
                continue
            outage_s = world.now - world.none_since_s
            promised = self._judge.is_promised(world)
            if promised:
                self.tally.longest_outage_s = max(self.tally.longest_outage_s, outage_s)
            if self._judge.is_well(world):
                calm_since = world.now if calm_since is None else calm_since
                if world.now - calm_since >= CALM_S and not self._is_open(world):
                    self.tally.executions += 1
                    return
                continue
            calm_since = None
            if outage_s > OUTAGE_MAX_S and not self._is_open(world):
                self.tally.executions += 1
                if promised:
                    words = f"no copy has run for {outage_s:.1f} s: {self._judge.why(world)}"
                    self.tally.broken.append((words, tuple(world.trail)))
                else:
                    self.tally.unpromised += 1
                return

    def _deviate(
        self, world: World, budget: Budget, branch: Callable[[bytes, Budget, Deviation], None]
    ) -> None:
        kept = b""
        for deviation in deviations(world, budget):
            kept = kept or pickle.dumps(world)
            child: World = pickle.loads(kept)
            try:
                apply(child, deviation)
                self._judge.look(child)
            except Exception as wrong:
                self.tally.broken.append((f"{wrong!r}", tuple(child.trail)))
                continue
            branch(pickle.dumps(child), budget.less(deviation.kind), deviation)

    def _was_met(self, world: World, budget: Budget) -> bool:
        met = self._met.setdefault(fingerprint(world), [])
        if any(_covers(known, budget) for known in met):
            return True
        if not met:
            self.tally.states += 1
        met.append(budget)
        return False


def _covers(known: Budget, budget: Budget) -> bool:
    return (
        known.crashes >= budget.crashes
        and known.messages >= budget.messages
        and known.expiries >= budget.expiries
        and known.leaders >= budget.leaders
        and known.total >= budget.total
    )
