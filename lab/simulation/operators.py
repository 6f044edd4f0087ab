"""People at work on a simulated cluster: they create, start, stop, move, drain, whatever breaks."""

from random import Random
from typing import Any

from agent.policies import DEFAULT_POLICY
from coordinator.requests import (
    Accepted,
    CreateVm,
    DeleteVm,
    FailResource,
    JoinNode,
    MigrateVm,
    MoveGroup,
    PauseNode,
    Request,
    Response,
    ResumeNode,
    SetGroup,
    SetProperties,
    StartNode,
    StartVm,
    StopVm,
)
from lab.simulation.cluster import SimCluster
from protocol.names import PAGE_BYTES, Fill, NodeName, Verify, VmName, VmSpec, Workload

PAGES = 16
POST_COPY = "post-copy"
POLICIES = (
    *(DEFAULT_POLICY, DEFAULT_POLICY),
    *("downtime", "clark", "auto-converge", "ramp", POST_COPY),
)
"""What operators ask for, the usual one most often."""

PROPERTIES: dict[str, tuple[int, ...]] = {
    "SameSubnetDelay": (1500, 1800, 2000),
    "SameSubnetThreshold": (3, 4, 5),
    "QuorumGraceTime": (5, 20, 40),
    "QuorumArbitrationTimeMax": (10, 20, 30),
}
"""Between what operators choose when they turn at the cluster's clocks."""

JOINS = 0.03
"""How often an idea is to let a node join that is out: who was evicted comes back some time."""


def wave_vm(steps_per_s: int, seed: int = 1, pages: int = PAGES) -> VmSpec:
    """A VM whose memory proves itself."""
    work = Workload("wave", steps_per_s * PAGE_BYTES)
    return VmSpec(pages * PAGE_BYTES, work, Fill.ZERO, seed)


class Operators:
    """They ask for something every few seconds, and take no notice of refusals."""

    def __init__(self, cluster: SimCluster, pause_s: tuple[float, float] = (1.5, 6.0)) -> None:
        self.cluster = cluster
        self.random: Random = cluster.world.stream("operators")
        self.works = True
        self.accepted = 0
        self._pause_s = pause_s
        self._last_vm = 0
        self.policies: tuple[str, ...] = POLICIES
        self._policies: Random = cluster.world.stream("policies")

    def begin(self) -> None:
        for _ in self.cluster.machines:
            self._create()
        self._rest()

    def stop(self) -> None:
        """From now on they only put back what they have paused, and let spare nodes join."""
        self.works = False
        self.cluster.checker.expected.update(self.cluster.machines)
        self._tidy()

    def _rest(self) -> None:
        self.cluster.world.after(self.random.uniform(*self._pause_s), self._work)

    def _work(self) -> None:
        if not self.works:
            return
        request = self._idea()
        if request is not None:
            self._ask(request)
        self._rest()

    def _ask(self, request: Request) -> None:
        self.cluster.detail(f"operators: {request}")
        self.cluster.ask(request, self._answered)

    def _answered(self, response: Response) -> None:
        self.accepted += isinstance(response, Accepted)

    def _tidy(self) -> None:
        for node in self._rows_with("stopped"):
            self._ask(StartNode(node))
        for node in self._rows_with("paused"):
            self._ask(ResumeNode(node))
        for node in self.cluster.unjoined():
            self._ask(JoinNode(node))
        self.cluster.world.after(3.0, self._tidy)

    def _rows_with(self, mark: str) -> list[NodeName]:
        """The nodes whose row says that they are paused, or stopped."""
        rows = self.cluster.truth.range("node/")
        return [NodeName(row.value["name"]) for row in rows if row.value and row.value[mark]]

    def _idea(self) -> Request | None:
        random, rows = self.random, self.cluster.checker.vms
        chance = random.random()
        names = sorted(rows)
        unjoined = self.cluster.unjoined()
        if unjoined and chance > 1.0 - JOINS:
            return JoinNode(random.choice(unjoined))
        if not names and chance > 0.5 and (paused := self._rows_with("paused")):
            return ResumeNode(paused[0])  # no VM can be created where all are paused
        if not names or (chance < 0.04 and len(names) < 2 * len(self.cluster.machines)):
            self._create()
            return None
        vm = VmName(random.choice(names))
        row = rows[vm]
        if row["wish"] == "off":
            return DeleteVm(vm) if chance < 0.2 else self._start(vm)
        if chance < 0.12:
            return StopVm(vm)
        if chance < 0.16:
            return self._rarity(vm)
        if chance < 0.28:
            paused = self._rows_with("paused")
            if paused:
                return ResumeNode(paused[0])
            node = random.choice(sorted(self.cluster.machines))
            return PauseNode(node, drain=random.random() < 0.7)
        return self._migration(vm)

    def _rarity(self, vm: VmName) -> Request:
        """What is asked for now and then."""
        random = self.random
        match random.randrange(4):
            case 0:
                name = random.choice(sorted(PROPERTIES))
                return SetProperties(((name, random.choice(PROPERTIES[name])),))
            case 1:
                preferred = (random.choice(sorted(self.cluster.machines)),)
                wishes: list[tuple[str, Any]] = [
                    ("PreferredOwners", preferred),
                    ("FailoverThreshold", 5),
                    ("FailoverPeriod", 1),
                    ("AutoFailbackType", 1),
                ]
                setting = random.choice(wishes)
                return SetGroup(vm, (setting,))
            case 2:
                return FailResource(f"Virtual Machine {vm}")
        return MoveGroup(vm, random.choice([None, *sorted(self.cluster.machines)]))

    def _start(self, vm: VmName) -> StartVm:
        """Some change their mind at once."""
        if self.random.random() < 0.3:
            after_s = self.random.uniform(0.0, 0.15)
            self.cluster.world.after(after_s, self._ask, StopVm(vm))
        return StartVm(vm)

    def _migration(self, vm: VmName) -> MigrateVm:
        random = self.random
        owner = self.cluster.checker.vms[vm]["owner"]
        others = [node for node in sorted(self.cluster.machines) if node != owner]
        target = random.choice(others) if random.random() < 0.9 else None
        policy = self._policies.choice(self.policies)
        return MigrateVm(vm, target, policy, random.choice([Verify.OFF, Verify.FULL]))

    def _create(self) -> None:
        """Names come back now and then, after they were deleted."""
        known = self.cluster.checker.vms
        if self._last_vm and self.random.random() < 0.3:
            number = self.random.randint(1, self._last_vm)
        else:
            self._last_vm += 1
            number = self._last_vm
        vm = VmName(f"vm{number}")
        if vm in known:
            return
        spec = wave_vm(self.random.choice([2, 5, 10, 25]), self.random.randrange(1000))
        node = self.random.choice([None, *sorted(self.cluster.machines)])
        self._ask(CreateVm(vm, spec, node, start=True))
