"""Stop-ClusterNode and Start-ClusterNode: an operator takes a node's cluster service away.

The node's row says that it is stopped. Then its groups are stopped there, cleanly, and started
elsewhere; once it has none it leaves the view, and nobody waits for silence. Its agent stays
connected, is shown Down, and is in no view until the node is started again.
"""

from dataclasses import dataclass, replace

from coordinator.events import RequestId
from coordinator.migration import admission
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.storage import disks
from coordinator.store.rows import node_key
from coordinator.votes import dealing as votes
from protocol.names import Member, NodeName

OPERATOR_STOPPED = "an operator has stopped it"


def must_give_away(scene: Scene, node: NodeName) -> bool:
    """Whether the groups of this node have to go elsewhere: an operator has stopped it."""
    row = scene.book.nodes.get(node)
    return row is not None and row.stopped


def why_leaving(scene: Scene, member: Member) -> str:
    """Why a member goes of its own accord: it is stopped and has nothing left; empty if not so."""
    if not must_give_away(scene, member.node) or has_groups(scene, member):
        return ""
    if disks.holds_back(scene, member.incarnation):
        return ""
    return OPERATOR_STOPPED


def has_groups(scene: Scene, member: Member) -> bool:
    """Whether this life still has a VM, or takes part in an attempt."""
    life, book = member.incarnation, scene.book
    return any(vm.live and vm.owner_incarnation == life for vm in book.vms.values()) or any(
        life in (attempt.source_incarnation, attempt.target_incarnation)
        for attempt in book.unclosed.values()
    )


@dataclass(frozen=True, slots=True)
class Stop:
    """Write that the node is stopped. What follows is done by tending and by the next view."""

    request: RequestId
    node: NodeName

    def draft(self, scene: Scene) -> Draft | Declined:
        row = scene.book.nodes.get(self.node)
        if row is None:
            return admission.unknown_node(self.node)
        if row.stopped:
            sentence = f"Node {self.node} is stopped already: start it first."
            return Declined(409, "node-stopped", sentence)
        refusal = check_votes(scene, self.node) or admission.check_idle(scene, self.node)
        if refusal is not None:
            return refusal
        stopped = replace(row, stopped=True, draining=False)
        note = chronicle.node_stopped(self.node)
        return Draft(puts=((node_key(self.node), stopped.data()),), notes=(note,))

    def answer(self, scene: Scene) -> dict[str, object]:
        return {"node": self.node, "state": scene.node_state(self.node).value}


def check_votes(scene: Scene, node: NodeName) -> Declined | None:
    """Without a member the cluster would stop: that is asked for by another word."""
    if scene.held is None or scene.held.incarnation_of(node) is None:
        return None
    refusal = votes.would_lose_quorum(scene, node)
    if refusal is None:
        return None
    sentence = f"{refusal.sentence} To stop all of them, stop the cluster (Stop-Cluster)."
    return replace(refusal, sentence=sentence)


@dataclass(frozen=True, slots=True)
class Start:
    """Take the stop back: the node joins as soon as it is connected."""

    request: RequestId
    node: NodeName

    def draft(self, scene: Scene) -> Draft | Declined:
        row = scene.book.nodes.get(self.node)
        if row is None:
            return admission.unknown_node(self.node)
        if not row.stopped:
            sentence = f"Node {self.node} is not stopped: there is nothing to start."
            return Declined(409, "node-not-stopped", sentence)
        started = replace(row, stopped=False)
        note = chronicle.node_started(self.node)
        return Draft(puts=((node_key(self.node), started.data()),), notes=(note,))

    def answer(self, scene: Scene) -> dict[str, object]:
        return {"node": self.node, "state": scene.node_state(self.node).value}
