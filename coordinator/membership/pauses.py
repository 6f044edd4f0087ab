"""Pausing and draining nodes: the rows, and which VM a drain moves next."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from coordinator.events import RequestId
from coordinator.migration import admission
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.storage import disks, needs
from coordinator.store.rows import NodeRow, node_key
from protocol.names import NodeName, NodeState, VmName


@dataclass(frozen=True, slots=True)
class Pause:
    """Suspend-ClusterNode: no new groups; with `drain` its VMs move away, too."""

    request: RequestId
    node: NodeName
    drain: bool

    def draft(self, scene: Scene) -> Draft | Declined:
        row = scene.book.nodes.get(self.node)
        if row is None:
            return admission.unknown_node(self.node)
        state = scene.node_state(self.node)
        if state not in (NodeState.UP, NodeState.PAUSED):
            sentence = f"Node {self.node} is {state.value}: only a node that is Up can be paused."
            return Declined(409, f"node-{state.value.lower()}", sentence)
        if row.paused and (row.draining or not self.drain):
            sentence = f"Node {self.node} is paused already: resume it first."
            return Declined(409, "node-paused", sentence)
        paused = replace(row, paused=True, draining=self.drain)
        note = chronicle.node_paused(self.node, self.drain)
        return Draft(puts=((node_key(self.node), paused.data()),), notes=(note,))


@dataclass(frozen=True, slots=True)
class Resume:
    """Resume-ClusterNode: the node accepts groups again; a drain of it ends."""

    request: RequestId
    node: NodeName

    def draft(self, scene: Scene) -> Draft | Declined:
        row = scene.book.nodes.get(self.node)
        if row is None:
            return admission.unknown_node(self.node)
        if not row.paused:
            sentence = f"Node {self.node} is not paused: there is nothing to resume."
            return Declined(409, "node-not-paused", sentence)
        resumed = replace(row, paused=False, draining=False)
        note = chronicle.node_resumed(self.node)
        return Draft(puts=((node_key(self.node), resumed.data()),), notes=(note,))


@dataclass(frozen=True, slots=True)
class EndDrain:
    """No VM is left that the drain could move; the node stays paused."""

    node: NodeName

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.nodes.get(self.node)
        if row is None or not row.draining:
            return None
        ended = replace(row, draining=False)
        note = chronicle.drain_ended(self.node, still_on(scene, self.node))
        return Draft(puts=((node_key(self.node), ended.data()),), notes=(note,))


def still_on(scene: Scene, node: NodeName) -> tuple[VmName, ...]:
    """VMs that run, or are meant to, on `node`."""
    rows = scene.book.vms.values()
    return tuple(sorted(vm.name for vm in rows if vm.owner == node and vm.on and vm.live))


def next_to_move(
    scene: Scene, row: NodeRow, tries: Mapping[VmName, int]
) -> VmName | EndDrain | None:
    """The next VM of a draining node that can go now; EndDrain when none ever will; None: wait.

    What is not highly available stays, and is told of when the drain ends. Disks go first: a VM
    whose volume changes hands while it moves would wait at the worst moment.
    """
    held = scene.held
    life = None if held is None else held.incarnation_of(row.name)
    if life is not None and disks.holds_back(scene, life):
        return None
    candidates = [
        vm
        for vm in still_on(scene, row.name)
        if tries.get(vm, 0) < scene.config.drain_tries
        and needs.only_node(scene, scene.book.vms[vm]) is None
    ]
    if not candidates:
        return None if admission.taking_part(scene, row.name) else EndDrain(row.name)
    for vm in candidates:
        if not isinstance(admission.migration_target(scene, vm, None), Declined):
            return vm
    return None
