"""Every step of a migration crossed with who is hurt at it, and how: one small story for each."""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.policies import DEFAULT_POLICY
from coordinator.requests import CreateVm, MigrateVm
from lab.simulation.cluster import Setting, SimCluster
from lab.simulation.faults import Cut, Fault, KillCoordinator, PauseCoordinator, cut_off, ways_of
from lab.simulation.node_faults import Freeze, KillAgent
from lab.simulation.operators import POST_COPY, wave_vm
from protocol.names import AttemptId, NodeName, Step, Timing, Verify, VmName

ACTORS = ("source", "target", "coordinator")
HURTS = {"killed": 9.0, "restarted": 0.3, "paused": 5.0, "cut off": 9.0}
"""What is done to an actor, and for how many seconds; a lease lasts three."""

TIMING = Timing(1.0, 3, grace_s=6.0)
VM = VmName("vm1")
SOURCE, TARGET = NodeName("node1"), NodeName("node2")
WELL_MAX_S = 45.0


@dataclass(frozen=True, slots=True)
class Cell:
    step: Step
    actor: str
    hurt: str

    @property
    def name(self) -> str:
        return f"{self.step.value}, {self.actor} {self.hurt}"


def cells() -> Iterator[Cell]:
    for step in Step:
        for actor in ACTORS:
            for hurt in HURTS:
                yield Cell(step, actor, hurt)


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a cell: how the attempt ended, and where the VM runs."""

    cell: Cell
    was_struck: bool
    decision: str
    owner: str
    well_s: float
    trouble: str = ""


def play(cell: Cell) -> Played:
    return _Play(cell).play()


class _Play:
    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.fault: Fault | None = None
        self.ended_at = 0.0
        self.cluster = SimCluster(3, Setting(timing=TIMING))

    def play(self) -> Played:
        cluster, cell = self.cluster, self.cell
        cluster.start()
        cluster.ask(CreateVm(VM, wave_vm(10), SOURCE, start=True))
        cluster.run(4.0)
        cluster.on_step.append(self._reached)
        policy = POST_COPY if cell.step is Step.PULL else DEFAULT_POLICY
        cluster.ask(MigrateVm(VM, TARGET, policy, Verify.FULL))
        if cell.step is Step.REQUEST:
            self._strike()
        began = cluster.world.now
        cluster.run(12.0)
        complaints = cluster.settle(WELL_MAX_S)
        row, attempts = cluster.checker.vms[VM], cluster.checker.attempts
        decision = attempts[1]["decision"] if attempts else "never opened"
        trouble = "; ".join(complaints) or self._wrong_end(decision, row)
        struck = self.fault is not None and self.fault.took_effect()
        took_s = cluster.world.now - max(began, self.ended_at)
        return Played(cell, struck, decision, row["owner"], took_s, trouble)

    def _wrong_end(self, decision: str, row: object) -> str:
        """Who was not hurt keeps what the decision gave it."""
        assert isinstance(row, dict)
        if self.cell.step is Step.PULL and self.cell.actor == "source":
            return ""  # the target may have lost its VM with what had not come
        keeper, actor = (TARGET, "target") if decision == "committed" else (SOURCE, "source")
        if self.cell.actor != actor and row["owner"] != keeper:
            return f"{decision}: the VM is {row['owner']}'s and not {keeper}'s, which was not hurt"
        return ""

    def _reached(self, step: Step, _: AttemptId) -> None:
        if step is not self.cell.step or self.fault is not None:
            return
        if self.cell.hurt in ("killed", "restarted"):
            self._strike()  # between two actions of whoever has come to the step
        else:
            self.cluster.world.after(0.0, self._strike)

    def _strike(self) -> None:
        if self.fault is None:
            self.fault = self._fault()
            self.fault.begin()
            self.cluster.world.after(HURTS[self.cell.hurt], self._end)

    def _end(self) -> None:
        assert self.fault is not None
        self.fault.end()
        self.ended_at = self.cluster.world.now

    def _fault(self) -> Fault:
        cluster, hurt = self.cluster, self.cell.hurt
        if self.cell.actor == "coordinator":
            if hurt == "paused":
                return PauseCoordinator(cluster, rival=False)
            if hurt == "cut off":
                home, nodes = [cluster.setting.homes[0]], list(cluster.machines)
                ways = (*ways_of(cluster, home, nodes), *ways_of(cluster, nodes, home))
                return Cut(cluster, ways)
            return KillCoordinator(cluster)
        node = SOURCE if self.cell.actor == "source" else TARGET
        if hurt == "paused":
            return Freeze(cluster, node, with_workers=False)
        return cut_off(cluster, node) if hurt == "cut off" else KillAgent(cluster, node)
