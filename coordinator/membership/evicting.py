"""Remove-ClusterNode: a node and its vote go for good, and the node is told when it can be."""

import math
from dataclasses import dataclass, replace

from coordinator.events import RequestId
from coordinator.groups.placement import best_node
from coordinator.membership import properties
from coordinator.membership.views import OPERATOR_EVICTED, left_by, next_number
from coordinator.migration import admission
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.store.rows import (
    VIEW,
    Dropped,
    EvictedRow,
    ViewRow,
    VmRow,
    evicted_key,
    node_key,
    vm_key,
)
from coordinator.votes import dealing as votes
from protocol.names import NodeName, NodeState, View


@dataclass(frozen=True, slots=True)
class Evict:
    """The node's row and vote go, and a view without it comes, all in one transaction."""

    request: RequestId
    node: NodeName
    answered_when_held = True

    def draft(self, scene: Scene) -> Draft | Declined:
        row, node = scene.book.view, self.node
        refusal = check_evictable(scene, node)
        if refusal is not None:
            return refusal
        assert row is not None
        members = tuple(member for member in row.view.members if member.node != node)
        dropped = tuple(
            Dropped(member.node, member.incarnation, OPERATOR_EVICTED)
            for member in row.view.members
            if member.node == node
        )
        view = View(next_number(scene), members, votes.next_config(scene, without=node))
        written = ViewRow(
            view, row.held, scene.term, changed=True, dropped=dropped, left=left_by(row, members)
        )
        puts = [(VIEW, written.data()), (evicted_key(node), EvictedRow(node, scene.wall).data())]
        puts += [(vm_key(vm.name), vm.data()) for vm in _inherited(scene, node)]
        return Draft(
            puts=tuple(puts), deletes=(node_key(node),), notes=(chronicle.node_evicted(node),)
        )

    def answer(self, scene: Scene) -> dict[str, object]:
        return {"node": self.node}


def check_evictable(scene: Scene, node: NodeName) -> Declined | None:
    """Why `node` cannot be evicted now; what would help first comes first."""
    row, book = scene.book.view, scene.book
    if row is None or node not in book.nodes:
        return admission.unknown_node(node)
    if len(book.nodes) == 1:
        sentence = f"Node {node} is the last of the cluster (5939): destroy the cluster instead."
        return Declined(409, "last-node", sentence)
    running = sorted(vm.name for vm in book.vms.values() if vm.owner == node and vm.live)
    if running and scene.node_state(node) is not NodeState.DOWN:
        sentence = f"Node {node} runs {', '.join(running)}: drain it before you evict it."
        return Declined(409, "node-owns-groups", sentence)
    if refusal := admission.check_idle(scene, node):
        return refusal
    if not row.holds or scene.now < scene.calm_until:
        sentence = "The membership is changing just now: ask again in some seconds."
        return Declined(409, "view-pending", sentence)
    return votes.would_lose_quorum(scene, node, evict=True)


def _inherited(scene: Scene, node: NodeName) -> list[VmRow]:
    """VMs that are off on the node belong to another from now on."""
    others = sorted(scene.book.nodes.keys() - {node})
    return [
        replace(vm, owner=best_node(scene, vm.spec.memory_bytes, avoid={node}) or others[0])
        for vm in scene.book.vms.values()
        if vm.owner == node and not vm.live
    ]


def check_delay(scene: Scene, node: NodeName) -> Declined | None:
    """Why a node that was evicted cannot be added yet (AddEvictDelay)."""
    row = scene.book.evicted.get(node)
    if row is None:
        return None
    delay_s = properties.number(scene.book, "AddEvictDelay")
    # The wall clock of another coordinator may be behind: nobody waits longer than the delay.
    left_s = min(delay_s, row.at + delay_s - scene.wall)
    if left_s <= 0:
        return None
    sentence = (
        f"Node {node} was evicted and may be added again in {math.ceil(left_s)} s (AddEvictDelay):"
        " ask again then."
    )
    return Declined(409, "evict-delay", sentence)
