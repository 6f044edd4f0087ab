"""The event log: ids and levels of the field, sentences of our own."""

from dataclasses import dataclass
from typing import Any

from protocol.names import (
    AttemptId,
    Epoch,
    Incarnation,
    NodeName,
    Term,
    ViewNumber,
    VmName,
)


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the log, without the time and the term, which it gets when it is written."""

    id: int
    level: str
    text: str
    node: NodeName | None = None
    vm: VmName | None = None
    epoch: Epoch | None = None
    incarnation: Incarnation | None = None
    attempt: AttemptId | None = None

    def data(self, at: float, term: Term) -> dict[str, Any]:
        return {
            "at": at,
            "id": self.id,
            "level": self.level,
            "node": self.node,
            "group": self.vm,
            "text": self.text,
            "term": term,
            "epoch": self.epoch,
            "incarnation": self.incarnation,
            "vm": self.vm,
            "attempt": self.attempt,
        }


def cluster_formed(name: str, nodes: tuple[NodeName, ...]) -> Note:
    return Note(1061, "info", f"The cluster {name} was formed of {', '.join(nodes)}.")


def leader_began(leader: str, term: Term) -> Note:
    return Note(1060, "info", f"Coordinator {leader} leads under term {term}.")


def node_configured(node: NodeName) -> Note:
    return Note(1063, "info", f"Node {node} was added to the cluster and has a vote.", node)


def node_joined(node: NodeName, incarnation: Incarnation, view: ViewNumber) -> Note:
    text = f"Node {node} joined the active membership in view {view}."
    return Note(1062, "info", text, node, incarnation=incarnation)


def node_removed(node: NodeName, incarnation: Incarnation, view: ViewNumber, reason: str) -> Note:
    text = f"Node {node} was removed from the active membership in view {view}: {reason}."
    return Note(1135, "critical", text, node, incarnation=incarnation)


def quorum_lost(present: int, needed: int, total: int) -> Note:
    text = (
        f"Quorum was lost for a while: {present} of {total} votes were heard and {needed} are"
        " needed. Decisions waited; guests ran on where they had a lease."
    )
    return Note(1177, "critical", text)


def node_paused(node: NodeName, draining: bool) -> Note:
    text = f"Node {node} was paused: it accepts no groups."
    if draining:
        text = f"Node {node} was paused and is being drained: its VMs move away, one at a time."
    return Note(1674, "info", text, node)


def node_resumed(node: NodeName) -> Note:
    return Note(1671, "info", f"Node {node} was resumed and accepts groups again.", node)


def drain_ended(node: NodeName, left: tuple[VmName, ...]) -> Note:
    if left:
        text = f"The drain of node {node} ended; {', '.join(left)} could not be moved."
        return Note(1137, "error", text, node)
    return Note(1136, "info", f"The drain of node {node} is complete.", node)


def group_created(vm: VmName, node: NodeName) -> Note:
    return Note(1206, "info", f"The group {vm} with its two resources was created.", node, vm)


def group_deleted(vm: VmName, node: NodeName) -> Note:
    return Note(1207, "info", f"The group {vm} was deleted.", node, vm)


def group_coming_online(vm: VmName, node: NodeName, epoch: Epoch, text: str = "") -> Note:
    text = text or f"Group {vm} is coming online on node {node}."
    return Note(1200, "info", text, node, vm, epoch)


def group_online(vm: VmName, node: NodeName, epoch: Epoch) -> Note:
    return Note(1201, "info", f"Group {vm} is online on node {node}.", node, vm, epoch)


def group_going_offline(vm: VmName, node: NodeName, epoch: Epoch) -> Note:
    return Note(1203, "info", f"Group {vm} is going offline on node {node}.", node, vm, epoch)


def group_offline(vm: VmName, node: NodeName, epoch: Epoch) -> Note:
    return Note(1204, "info", f"Group {vm} is offline on node {node}.", node, vm, epoch)


def group_without_place(vm: VmName, reason: str) -> Note:
    return Note(1205, "error", f"Group {vm} is not online: {reason}.", vm=vm)


def group_failed(vm: VmName, node: NodeName, restarts: int) -> Note:
    text = f"Group {vm} exceeded its failover threshold after {restarts} restarts and stays failed."
    return Note(1254, "error", text, node, vm)


def resource_failed(vm: VmName, node: NodeName, epoch: Epoch, reason: str) -> Note:
    text = f"Resource Virtual Machine {vm} in group {vm} failed on node {node}: {reason}."
    return Note(1069, "error", text, node, vm, epoch)


def owner_lost(vm: VmName, node: NodeName, epoch: Epoch) -> Note:
    text = f"Resource Virtual Machine {vm} was lost with node {node}; its memory with it."
    return Note(1069, "error", text, node, vm, epoch)


def group_moving(
    vm: VmName, attempt: AttemptId, source: NodeName, target: NodeName, epoch: Epoch
) -> Note:
    text = f"Group {vm} is moving from node {source} to node {target}."
    return Note(1641, "info", text, source, vm, epoch, attempt=attempt)


def migration_started(
    vm: VmName, attempt: AttemptId, source: NodeName, target: NodeName, epoch: Epoch
) -> Note:
    text = f"Live migration of {vm} from node {source} to node {target} has started."
    return Note(20417, "info", text, source, vm, epoch, attempt=attempt)


def migration_committed(vm: VmName, attempt: AttemptId, target: NodeName, epoch: Epoch) -> Note:
    text = f"Live migration of {vm} has completed: it belongs to node {target}."
    return Note(20418, "info", text, target, vm, epoch, attempt=attempt)


def migration_failed(
    vm: VmName, attempt: AttemptId, source: NodeName, epoch: Epoch, reason: str
) -> Note:
    text = f"Live migration of {vm} failed: {reason}."
    return Note(21502, "error", text, source, vm, epoch, attempt=attempt)


def migration_cancelled(
    vm: VmName, attempt: AttemptId, source: NodeName, epoch: Epoch, reason: str
) -> Note:
    text = f"Live migration of {vm} was cancelled: {reason}."
    return Note(20419, "info", text, source, vm, epoch, attempt=attempt)


def migration_refused(vm: VmName, attempt: AttemptId, reason: str) -> Note:
    return Note(
        21111, "error", f"Live migration of {vm} was refused: {reason}", vm=vm, attempt=attempt
    )
