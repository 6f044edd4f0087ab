"""Plays one shape of a broken network: a calm lab with a VM on each node, the cuts, what has to
come of them in time, and the healing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from coordinator.requests import CreateVm
from lab.simulation.cluster import WITNESS_OF, Setting, SimCluster
from lab.simulation.faults import Cut
from lab.simulation.operators import wave_vm
from lab.simulation.partitions import (
    Promise,
    Shape,
    failover_max_s,
    heal_max_s,
    is_whole,
    needs_pruning,
    promise,
    shapes,
)
from lab.simulation.witness import way_to
from protocol.names import NodeName, QuorumMode, Timing, VmName

TIMING = Timing(1.0, 3, grace_s=12.0)
SIZES = (3, 4, 5, 7)
NOBODY_S = 17.0
"""How long a break lasts of which nothing is promised but safety."""

LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one shape: without `trouble`, all that was promised, within the bounds."""

    name: str
    events: int
    is_promised: bool
    failed_over_s: float
    healed_s: float
    trouble: str = ""


def all_shapes(sizes: tuple[int, ...] = SIZES) -> Iterator[tuple[Shape, QuorumMode]]:
    for count in sizes:
        for mode in QuorumMode:
            for shape in shapes(count, mode, TIMING):
                yield shape, mode


def play(shape: Shape, mode: QuorumMode) -> Played:
    return _Play(shape, mode).play()


class _Play:
    """One shape, from the calm lab to the calm lab."""

    def __init__(self, shape: Shape, mode: QuorumMode) -> None:
        self.shape, self.mode = shape, mode
        networks = ("lan", "migration") if shape.one_network_only else ("lan",)
        self.cluster = SimCluster(
            len(shape.nodes),
            Setting(
                nodes=shape.nodes,
                networks=networks,
                timing=TIMING,
                mode=mode,
                homes=(shape.home, "c2"),
            ),
        )
        self.count = len(shape.nodes)
        cut_on = networks[:1]
        ways = [(network, *pair) for network in cut_on for pair in sorted(shape.cuts)]
        ways += [way_to(node) for node in sorted(shape.blind)]
        self.cut = Cut(self.cluster, tuple(ways))
        self.is_cut = False

    def play(self) -> Played:
        cluster, shape = self.cluster, self.shape
        name = f"{self.count} nodes, {self.mode.value}: {shape.name}"
        cluster.start()
        for node in shape.nodes:
            vm = VmName(f"vm-{node}")
            cluster.ask(CreateVm(vm, wave_vm(5), NodeName(node), start=True))
        cluster.run(2.0)
        if complaints := cluster.settle(15.0):
            return Played(name, 0, False, 0.0, 0.0, f"not well before: {complaints}")
        promised = promise(shape, self.mode, cluster.holder(WITNESS_OF[self.mode]))
        before = self._places()
        failed_over_s, trouble = self._break(promised, before)
        began = cluster.world.now
        if self.is_cut:
            self._toggle()
        bound_s = heal_max_s(TIMING, self.count, self.mode)
        complaints = cluster.settle(bound_s)
        if complaints and not trouble:
            trouble = f"not well {bound_s:.0f} s after it healed: {'; '.join(complaints)}"
        healed_s = cluster.world.now - began
        is_promised = bool(promised.sides) and shape.is_steady()
        return Played(name, cluster.world.events, is_promised, failed_over_s, healed_s, trouble)

    def _break(self, promised: Promise, before: dict[str, list[str]]) -> tuple[float, str]:
        """Cut, and see what comes of it in time; how long that took, and what is wrong with it."""
        cluster, began = self.cluster, self.cluster.world.now
        self._toggle()
        bound_s = failover_max_s(TIMING, self.count, self.mode, needs_pruning(self.shape))
        if not self.shape.is_steady():
            self._flap(until_s=began + 10 * TIMING.support_s)
            return 0.0, ""
        if not promised.sides:
            cluster.run(NOBODY_S)
            return 0.0, self._strangers(promised)
        while wrong := self._unfulfilled(promised, before):
            if cluster.world.now - began >= bound_s:
                return bound_s, f"{bound_s:.0f} s after the break: {wrong}"
            cluster.run(LOOK_S)
        took_s = cluster.world.now - began
        cluster.run(max(0.0, TIMING.witness_hold_s + 2 * TIMING.support_s - took_s))
        return took_s, self._strangers(promised) or self._misplaced(promised, before)

    def _toggle(self) -> None:
        self.is_cut = not self.is_cut
        if not self.is_cut:
            self.cut.end()
        elif self.cut.ways:
            self.cut.begin()

    def _flap(self, until_s: float) -> None:
        while self.cluster.world.now < until_s:
            self.cluster.run(self.shape.flaps_s)
            self._toggle()

    # ---- looking

    def _places(self) -> dict[str, list[str]]:
        """On which nodes each VM runs at this moment."""
        running = self.cluster.checker.running()
        return {vm: sorted(w.incarnation for w in running.get(vm, ())) for vm in self._vms()}

    def _vms(self) -> list[VmName]:
        return [VmName(f"vm-{node}") for node in self.shape.nodes]

    def _unfulfilled(self, promised: Promise, before: dict[str, list[str]]) -> str:
        return self._misplaced(promised, before) or self._view_is_torn()

    def _misplaced(self, promised: Promise, before: dict[str, list[str]]) -> str:
        """What is not yet as it was promised to whoever is on the right side."""
        now = self._places()
        for vm, places in now.items():
            if len(places) != 1:
                return f"{vm} runs {len(places)} times"
        nodes = {vm: places[0].rpartition("-")[0] for vm, places in now.items()}
        side = next((s for s in promised.sides if set(nodes.values()) <= s), None)
        if side is None:
            return f"not all run on one of {[sorted(s) for s in promised.sides]}: {nodes}"
        if len(promised.sides) == 1:
            for node in sorted(side):
                if now[f"vm-{node}"] != before[f"vm-{node}"]:
                    return f"vm-{node} has moved, and nothing was wrong with {node}"
        return ""

    def _view_is_torn(self) -> str:
        view = self.cluster.checker.view
        if view is None or not view["held"]:
            return "the newest view does not hold"
        members = [member["node"] for member in view["members"]]
        if not is_whole(self.shape, members):
            return f"not all of the view's members hear each other: {members}"
        return ""

    def _strangers(self, promised: Promise) -> str:
        """Guests run on nodes whose friends, and the witness, have not the votes together."""
        running = [w for copies in self.cluster.checker.running().values() for w in copies]
        for worker in running:
            node = worker.incarnation.rpartition("-")[0]
            if node not in promised.may_run:
                return f"{worker.vm} runs on {node}, which nobody can have given a lease"
        return ""
