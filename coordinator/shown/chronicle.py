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
    VoteConfig,
)
from protocol.workload import format_size


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
    return Note(9001, "info", f"Coordinator {leader} leads under term {term}.")


def node_configured(node: NodeName) -> Note:
    return Note(9002, "info", f"Node {node} was added to the cluster and has a vote.", node)


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


def quorum_changed(mode: str, witness: str | None) -> Note:
    told = "without a witness" if witness is None else f"with the witness {witness}"
    return Note(9010, "info", f"The quorum mode is now {mode}, {told}.")


def witness_wanting(nodes: int) -> Note:
    text = (
        f"The cluster has an even number of nodes ({nodes}) and no witness: half of them cannot"
        " run without the other half. Configure a disk or file share witness."
    )
    return Note(9011, "warning", text)


def witness_misplaced(witness: str, reason: str) -> Note:
    return Note(1559, "error", f"The witness {witness} was refused: {reason}")


def witness_taken(witness: str, node: NodeName) -> Note:
    return Note(
        9012, "info", f"Node {node} holds the witness {witness} and carries its vote.", node
    )


def witness_failed(witness: str, reason: str) -> Note:
    text = f"The witness {witness} has no holder: {reason}. Its vote does not count meanwhile."
    return Note(1558, "warning", text)


def witness_unreachable(witness: str, node: NodeName, is_share: bool) -> Note:
    text = f"Node {node} cannot reach the witness {witness}."
    return Note(1562 if is_share else 1557, "warning", text, node)


def node_weighed(node: NodeName, weight: int) -> Note:
    return Note(9013, "info", f"The NodeWeight of node {node} was set to {weight}.", node)


def votes_dealt(config: VoteConfig) -> Note:
    voters = ", ".join(node for node, votes in config.votes if votes) or "no node"
    witness = " and the witness" if config.witness_votes else ""
    return Note(9014, "info", f"Votes follow who is up: {voters}{witness} vote from now on.")


def store_is_stale(missing: tuple[NodeName, ...]) -> Note:
    text = (
        "The store is older than what nodes or the witness remember, so nothing was decided before"
        f" every node was heard; still missing: {', '.join(missing) or 'none'}."
    )
    return Note(1561, "critical", text)


def copy_not_kept(node: NodeName, reason: str) -> Note:
    text = f"Node {node} could not write the cluster database to the disk witness: {reason}."
    return Note(1557, "warning", text, node)


def database_waits(missing: tuple[NodeName, ...]) -> Note:
    text = (
        "The disk witness has a copy of the cluster database that this store has lost. It is put"
        f" back once every node of it was heard; still missing: {', '.join(missing)}."
    )
    return Note(1561, "critical", text)


def copy_is_useless(reason: str) -> Note:
    text = f"The copy of the cluster database on the disk witness was not put back: {reason}."
    return Note(1561, "critical", text)


def database_put_back(term: Term, revision: int, rows: int) -> Note:
    text = (
        f"The cluster database was put back from the copy on the disk witness: {rows} rows, as"
        f" revision {revision} of term {term} had them."
    )
    return Note(9017, "warning", text)


def quorum_forced(nodes: tuple[NodeName, ...]) -> Note:
    text = (
        f"The cluster was forced to run without a quorum on {', '.join(nodes)}: an operator has"
        " sworn that no other node runs anything. What the others decided meanwhile is lost."
    )
    return Note(9015, "critical", text)


def force_ended() -> Note:
    return Note(9016, "info", "Enough nodes are back: the cluster runs by its own quorum again.")


def node_paused(node: NodeName, draining: bool) -> Note:
    text = f"Node {node} was paused: it accepts no groups."
    if draining:
        text = f"Node {node} was paused and is being drained: its VMs move away."
    return Note(9020, "info", text, node)


def node_resumed(node: NodeName) -> Note:
    return Note(9021, "info", f"Node {node} was resumed and accepts groups again.", node)


def node_stopped(node: NodeName) -> Note:
    text = f"Node {node} was stopped by an operator: its groups move and it leaves the membership."
    return Note(9022, "info", text, node)


def node_started(node: NodeName) -> Note:
    return Note(9023, "info", f"Node {node} was started by an operator and may join again.", node)


def node_left(node: NodeName, incarnation: Incarnation, view: ViewNumber, reason: str) -> Note:
    text = f"Node {node} left the active membership in view {view}: {reason}."
    return Note(9024, "info", text, node, incarnation=incarnation)


def node_evicted(node: NodeName) -> Note:
    text = f"Node {node} was evicted from the cluster and has no vote any more."
    return Note(1011, "warning", text, node)


def drain_ended(node: NodeName, left: tuple[VmName, ...]) -> Note:
    if left:
        text = f"The drain of node {node} ended; {', '.join(left)} could not be moved."
        return Note(1137, "error", text, node)
    return Note(9025, "info", f"The drain of node {node} is complete.", node)


def node_limited(node: NodeName, rate_bytes_per_s: int) -> Note:
    text = f"An operator has set node {node}: its migrations {rate_words(rate_bytes_per_s)}."
    return Note(9052, "info", text, node)


def rate_words(rate_bytes_per_s: int) -> str:
    if not rate_bytes_per_s:
        return "have no limit"
    return f"send at most {format_size(rate_bytes_per_s)}/s"


def group_created(vm: VmName, node: NodeName) -> Note:
    return Note(9030, "info", f"The group {vm} with its two resources was created.", node, vm)


def group_deleted(vm: VmName, node: NodeName) -> Note:
    return Note(9031, "info", f"The group {vm} was deleted.", node, vm)


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


def group_failed(vm: VmName, node: NodeName, why: str) -> Note:
    return Note(1254, "error", f"Group {vm} stays failed: {why}.", node, vm)


def group_failing_over(vm: VmName, node: NodeName, target: NodeName) -> Note:
    text = f"Group {vm} fails over from node {node} to node {target}: its restarts are used up."
    return Note(1153, "info", text, node, vm)


def group_retried(vm: VmName, node: NodeName) -> Note:
    text = f"Group {vm}, which had failed, is tried again after its RetryPeriodOnFailure."
    return Note(9033, "info", text, node, vm)


def group_stays_offline(vm: VmName, node: NodeName) -> Note:
    text = f"Group {vm} stays offline after the cold start: its PersistentState is 0."
    return Note(1204, "info", text, node, vm)


def group_configured(vm: VmName, what: str, settings: str) -> Note:
    return Note(9032, "info", f"{what} was changed: {settings}.", vm=vm)


def group_moved(vm: VmName, node: NodeName, target: NodeName, how: str) -> Note:
    text = f"Group {vm} is moving from node {node} to node {target}: {how}."
    return Note(1641, "info", text, node, vm)


def resource_failed(
    vm: VmName, node: NodeName, epoch: Epoch, reason: str, kind: str = "Virtual Machine"
) -> Note:
    text = f"Resource {kind} {vm} in group {vm} failed on node {node}: {reason}."
    return Note(1069, "error", text, node, vm, epoch)


def resource_deadlocked(vm: VmName, node: NodeName, epoch: Epoch, reason: str) -> tuple[Note, Note]:
    text = f"Resource Virtual Machine {vm} did not answer within DeadlockTimeout: {reason}."
    host = f"What hosts resource Virtual Machine {vm} on node {node} counts as stuck."
    return (
        Note(1230, "error", text, node, vm, epoch),
        Note(1146, "critical", host, node, vm, epoch),
    )


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


def migration_queued(vm: VmName, attempt: AttemptId, priority: str, reason: str) -> Note:
    text = f"Live migration of {vm} waits with {priority} priority: {reason}"
    return Note(9041, "info", text, vm=vm, attempt=attempt)


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
    return Note(9040, "info", text, source, vm, epoch, attempt=attempt)


def migration_refused(vm: VmName, attempt: AttemptId, reason: str) -> Note:
    return Note(
        21111, "error", f"Live migration of {vm} was refused: {reason}", vm=vm, attempt=attempt
    )
