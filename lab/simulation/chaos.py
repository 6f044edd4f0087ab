"""From a seed to a lab, and to faults that hurt it: at any time, and at every step of a migration.

Faults go on until enough of them took effect and enough migrations came as far as their switch;
then all heals.
"""

import collections
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from lab.simulation.cluster import Setting, SimCluster
from lab.simulation.faults import (
    ATTEMPT_FAULTS,
    FAULTS,
    LAB_FAULTS,
    NODE_FAULTS,
    CancelMigration,
    Fault,
    cut_between,
)
from lab.simulation.net import Weather
from lab.simulation.store import Trouble
from protocol.names import AttemptId, NodeName, Personality, QuorumMode, Step, Timing

NO_STEP = "none"
"""Where a fault is counted that met no migration."""

ARMED_MAX_S = 45.0
"""How long a fault waits for its step; then another one is thought of."""

ACTIVE_MAX = 3
DISTRIBUTION_OF_LENGTHS_S = ((0.05, 1.0), (1.0, 6.0), (6.0, 15.0), (15.0, 40.0))
RATE_OFF_MAX = 0.004
AIMED_MAX = 9
"""How often a cell is aimed at before chance takes over."""

CODED_EVERY = 10
"""In every tenth lab each message becomes bytes on its way."""


MODES = (
    *[QuorumMode.NODE_MAJORITY] * 2,
    *[QuorumMode.NODE_AND_DISK] * 2,
    *[QuorumMode.NODE_AND_SHARE] * 2,
    QuorumMode.DISK_ONLY,
)
"""What a seed chooses its first quorum mode from; operators change it later."""


def setting_of(seed: int, aim: "Cell | None" = None) -> Setting:
    """A lab of two to seven nodes, spare ones among them, a way to count votes, coordinators on
    hosts of their own or on nodes, clocks that differ, and weather.
    """
    random = Random(f"{seed}/setting")
    mode = random.choice(MODES[2:] if aim is not None and "witness" in aim[0] else MODES)
    small = [3, 4] if mode is QuorumMode.NODE_MAJORITY else [2, 2, 4]
    count = random.choice([3, 3, 3, 4, 4, 5, *small, random.choice([5, 7])])
    most = max(5, count)
    names = [
        f"node{number}" for number in range(1, min(most, count + random.choice([0, 0, 1, 2])) + 1)
    ]
    if aim is not None and aim[0] == "join":
        names = [f"node{number}" for number in range(1, count + 3)]
    rates = tuple(1.0 + random.uniform(-RATE_OFF_MAX, RATE_OFF_MAX) for _ in range(len(names) + 2))
    at_home = random.random() < 0.4
    return Setting(
        mode=mode,
        personality=random.choice([Personality.R2008, Personality.R2008, Personality.R2012]),
        homes=(names[0], names[1]) if at_home else ("c1", "c2"),
        nodes=tuple(names[:count]),
        spares=tuple(names[count:]),
        networks=("lan", "migration") if count == 3 and random.random() < 0.3 else ("lan",),
        timing=Timing(random.choice([1.5, 2.0, 2.0]), random.choice([3, 3, 4]), grace_s=20.0),
        rates=rates,
        weather=Weather(
            loss=random.choice([0.0, 0.01, 0.03]),
            duplicates=random.choice([0.0, 0.02]),
            late=random.choice([0.0, 0.02]),
        ),
        trouble=Trouble(
            answer_lost=random.choice([0.0, 0.01]),
            request_lost=random.choice([0.0, 0.005]),
            request_late=random.choice([0.0, 0.01]),
        ),
        pages_per_s=random.choice([20.0, 40.0, 80.0]),
        is_coded=seed % CODED_EVERY == CODED_EVERY - 1,
    )


@dataclass(slots=True)
class Struck:
    """A fault that was begun, and the step of the migration that it met."""

    name: str
    step: str
    fault: Fault
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The next fault: which, on whom, how long, and at which step (None: at once)."""

    name: str
    role: str
    lasts_s: float
    step: Step | None


Cell = tuple[str, Step]
"""A fault, and the step of a migration that it meets."""

CELLS: tuple[Cell, ...] = tuple(
    (fault, step)
    for fault in FAULTS
    for step in list(Step)[1:]
    if fault != "storage fails" or step in (Step.RESERVE, Step.ROUND)
)
"""All that can meet; storage fails at S10 if it was told so before."""


class Chaos:
    """Hurts a cluster by a seed's own chance, until it is told to stop.

    With `aim` it tries that cell first, and chance has the rest.
    """

    def __init__(
        self,
        cluster: SimCluster,
        rest_s: tuple[float, float] = (2.0, 20.0),
        aim: Cell | None = None,
    ) -> None:
        self.cluster = cluster
        self._rest_s = rest_s
        self._aim, self._aimed = aim, 0
        self.random: Random = cluster.world.stream("chaos")
        self.struck: list[Struck] = []
        self.goes_on = True
        self._armed: Plan | None = None
        self._armed_number = 0
        cluster.on_step.append(self._step_reached)

    def begin(self) -> None:
        self._rest()

    def stop(self) -> None:
        """Heal everything, in another order than it was broken."""
        self.goes_on, self._armed = False, None
        active = [struck for struck in self.struck if not struck.is_over]
        self.random.shuffle(active)
        for struck in active:
            self._heal(struck)
        self.cluster.start_a_coordinator("c1")

    def effective(self) -> list[Struck]:
        return [struck for struck in self.struck if struck.fault.took_effect()]

    def coverage(self) -> collections.Counter[tuple[str, str]]:
        """How often each fault took effect at each step."""
        return collections.Counter((struck.step, struck.name) for struck in self.effective())

    # ---- one fault after the other

    def _rest(self) -> None:
        self.cluster.world.after(self.random.uniform(*self._rest_s), self._next)

    def _next(self) -> None:
        if not self.goes_on:
            return
        active = sum(not struck.is_over for struck in self.struck)
        if active >= ACTIVE_MAX or self._armed is not None:
            self._rest()
            return
        plan = self._plan()
        if plan.step is None:
            self._strike(plan, None, NO_STEP)
        else:
            self._armed = plan
            self._armed_number += 1
            self.cluster.world.after(ARMED_MAX_S, self._disarm, self._armed_number)
        self._rest()

    def _plan(self) -> Plan:
        random = self.random
        if (aimed := self._aimed_plan()) is not None:
            return aimed
        name = random.choice(FAULTS)
        if name == "storage fails":
            return Plan(name, "target", 20.0, random.choice([Step.RESERVE, Step.ROUND]))
        low, high = random.choice(DISTRIBUTION_OF_LENGTHS_S)
        needs_step = name in ATTEMPT_FAULTS or random.random() < 0.7
        return Plan(
            name,
            random.choice(["source", "target", "other"]),
            random.uniform(low, high),
            random.choice(list(Step)[1:]) if needs_step else None,
        )

    def _aimed_plan(self) -> Plan | None:
        if self._aim is None or self._aimed >= AIMED_MAX:
            return None
        name, step = self._aim
        if self._aimed and self.coverage()[step.value, name]:
            return None
        self._aimed += 1
        low, high = self.random.choice(DISTRIBUTION_OF_LENGTHS_S[1:3])
        role = self.random.choice(["source", "target", "other"])
        return Plan(
            name,
            "target" if name == "storage fails" else role,
            self.random.uniform(low, high),
            step,
        )

    def _disarm(self, number: int) -> None:
        if self._armed_number == number:
            self._armed = None

    def _step_reached(self, step: Step, attempt: AttemptId) -> None:
        plan = self._armed
        if plan is None or plan.step is not step:
            return
        self._armed = None
        # Now, between two actions of whoever has come to the step, or a moment later.
        delay_s = self.random.choice([0.0, self.random.uniform(0.0, 0.02)])
        if delay_s:
            self.cluster.world.after(delay_s, self._strike, plan, attempt, step.value)
        else:
            self._strike(plan, attempt, step.value)

    # ---- strike and heal

    def _strike(self, plan: Plan, attempt: AttemptId | None, step: str) -> None:
        if not self.goes_on:
            return
        fault = self._fault(plan, attempt)
        if fault is None or not fault.begin():
            return
        struck = Struck(plan.name, step if attempt is not None else self._step_now(), fault)
        self.struck.append(struck)
        self.cluster.tell(f"# {plan.name} ({plan.role}) at {struck.step} for {plan.lasts_s:.2f} s")
        self.cluster.world.after(plan.lasts_s, self._heal, struck)

    def _heal(self, struck: Struck) -> None:
        if not struck.is_over:
            struck.is_over = True
            struck.fault.end()

    def _step_now(self) -> str:
        """The step of a migration that is under way."""
        for number, row in sorted(self.cluster.checker.attempts.items(), reverse=True)[:3]:
            step = self.cluster.steps.get(AttemptId(number))
            if row["ended_at"] is None and step is not None:
                return step.value
        return NO_STEP

    def _fault(self, plan: Plan, attempt: AttemptId | None) -> Fault | None:
        cluster = self.cluster
        if plan.name in LAB_FAULTS:
            return LAB_FAULTS[plan.name](cluster)
        row = None if attempt is None else cluster.checker.attempts.get(attempt)
        if plan.name in NODE_FAULTS:
            return NODE_FAULTS[plan.name](cluster, self._victim(plan.role, row))
        if attempt is None or row is None:
            return None
        if plan.name == "cancel":
            return CancelMigration(cluster, attempt)
        return cut_between(cluster, row["source"], row["target"])

    def _victim(self, role: str, row: Mapping[str, Any] | None) -> NodeName:
        nodes = sorted(self.cluster.machines)
        if row is not None and role in ("source", "target"):
            return NodeName(row[role])
        if row is not None:
            others = [node for node in nodes if node not in (row["source"], row["target"])]
            nodes = others or nodes
        return self.random.choice(nodes)
