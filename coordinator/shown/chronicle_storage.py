"""What the event log says of disks, their owners, and shared volumes."""

from coordinator.shown.chronicle import Note
from protocol.names import Epoch, Incarnation, NodeName, VmName, VolumeName


def _called(disk: str, volume: VolumeName) -> str:
    return f"{disk} ({volume})" if volume not in ("", disk) else disk


def disk_added(disk: str, size_bytes: int) -> Note:
    return Note(9060, "info", f"{disk} of {size_bytes} bytes was added to Available Storage.")


def disk_removed(disk: str) -> Note:
    return Note(9061, "info", f"{disk} was removed from the cluster.")


def disk_pending(disk: str, node: NodeName, epoch: Epoch) -> Note:
    text = f"{disk} is coming online on node {node}, its owner under epoch {epoch}."
    return Note(9062, "info", text, node, epoch=epoch)


def disk_online(disk: str, volume: VolumeName, node: NodeName, epoch: Epoch) -> Note:
    text = f"{_called(disk, volume)} is online on node {node} under epoch {epoch}."
    return Note(9063, "info", text, node, epoch=epoch)


def disk_moving(disk: str, volume: VolumeName, node: NodeName, why: str) -> Note:
    text = f"{_called(disk, volume)} is released by node {node}: {why}."
    return Note(9064, "info", text, node)


def fenced(disk: str, lives: tuple[Incarnation, ...]) -> Note:
    text = f"The keys of {', '.join(lives)} were removed from {disk}: they cannot write to it."
    return Note(9065, "warning", text)


def forced(disk: str, volume: VolumeName, lives: tuple[Incarnation, ...]) -> Note:
    text = (
        f"{_called(disk, volume)} was forced: an operator has sworn that the nodes of"
        f" {', '.join(lives)} are off. Their keys were not removed; if one of them still writes,"
        " data are destroyed."
    )
    return Note(9075, "critical", text)


def disk_owner_lost(disk: str, volume: VolumeName, node: NodeName, epoch: Epoch) -> Note:
    text = (
        f"{_called(disk, volume)} has lost its owner, node {node}, which was removed: it moves once"
        " that node can write to it no more."
    )
    return Note(9066, "warning", text, node, epoch=epoch)


def owner_gave_up(disk: str, volume: VolumeName, node: NodeName, reason: str) -> Note:
    text = f"Node {node} gave up {_called(disk, volume)}: {reason.rstrip('.')}."
    return Note(9067, "warning", text, node)


def disk_failed(disk: str, volume: VolumeName, node: NodeName, reason: str) -> Note:
    """5150 for a shared volume, the failed resource's own id for another disk."""
    text = f"{_called(disk, volume)} cannot come online on node {node}: {reason.rstrip('.')}."
    return Note(5150 if volume else 1069, "error", text, node)


def volumes_enabled(root: str) -> Note:
    return Note(9068, "info", f"Cluster Shared Volumes are enabled; all nodes have them in {root}.")


def volume_added(disk: str, volume: VolumeName) -> Note:
    return Note(9069, "info", f"{disk} is the shared volume {volume} on all nodes now.")


def volume_removed(disk: str, volume: VolumeName) -> Note:
    text = f"{disk}, which was the shared volume {volume}, is in Available Storage again."
    return Note(5133, "info", text)


def volume_renamed(disk: str, before: VolumeName, after: VolumeName) -> Note:
    return Note(9070, "info", f"The shared volume of {disk} is called {after} now, not {before}.")


def files_removed(vm: VmName, volume: VolumeName) -> Note:
    text = f"The files of VM {vm}, which was deleted, are gone from {volume}."
    return Note(9074, "info", text, vm=vm)


def disk_joined_group(disk: str, vm: VmName) -> Note:
    return Note(9077, "info", f"{disk} belongs to group {vm} now, and is where its VM is.")


def disk_left_group(disk: str) -> Note:
    text = f"{disk}, whose VM was deleted, is in Available Storage again."
    return Note(9078, "info", text)


def redirection_set(disk: str, volume: VolumeName, on: bool) -> Note:
    if on:
        text = f"An operator has turned on redirected access for {_called(disk, volume)}."
        return Note(5136, "info", text)
    return Note(9071, "info", f"Redirected access for {_called(disk, volume)} was turned off.")


def maintenance_set(disk: str, volume: VolumeName, on: bool) -> Note:
    text = f"Maintenance mode of {_called(disk, volume)} was turned {'on' if on else 'off'}."
    return Note(9072, "info", text)


# ---- what nodes report


def disk_missing(disk: str, node: NodeName) -> Note:
    text = f"Node {node} does not find {disk}: look at its paths to the storage."
    return Note(1034, "error", text, node)


def disk_unreadable(disk: str, node: NodeName, reason: str) -> Note:
    text = f"Node {node} finds what is on {disk} corrupt: {reason.rstrip('.')}."
    return Note(1035, "error", text, node)


def reservation_lost(disk: str, node: NodeName, reason: str) -> Note:
    text = f"Node {node} has lost its right to write to {disk}: {reason.rstrip('.')}."
    return Note(1038, "critical", text, node)


def request_refused(vm: VmName, node: NodeName, epoch: Epoch, deed: str) -> Note:
    text = (
        f"Node {node} refused a request ({deed}) of VM {vm} to its disk under epoch {epoch}: the"
        " guest stands still there for a migration."
    )
    return Note(9076, "error", text, node, vm, epoch)


def volume_paused(volume: VolumeName, node: NodeName, reason: str) -> Note:
    text = f"I/O of node {node} to {volume} waits: {_reason(reason, 'its owner is not reached')}."
    return Note(5120, "warning", text, node)


def volume_redirected(volume: VolumeName, node: NodeName, reason: str) -> Note:
    why = _reason(reason, "the node has no path of its own")
    text = f"Node {node} reaches {volume} through its owner, no longer directly: {why}."
    return Note(5121, "warning", text, node)


def volume_direct(volume: VolumeName, node: NodeName) -> Note:
    return Note(9073, "info", f"Node {node} reaches {volume} directly again.", node)


def volume_unreached(volume: VolumeName, node: NodeName, reason: str) -> Note:
    why = _reason(reason, "it has neither a path nor an owner to go through")
    return Note(5142, "error", f"Node {node} cannot reach {volume}: {why}.", node)


def root_failed(root: str, node: NodeName, reason: str) -> Note:
    text = f"Node {node} could not make the folder {root}: {_reason(reason, 'nobody knows why')}."
    return Note(5122, "error", text, node)


def root_renamed(root: str, node: NodeName, reason: str) -> Note:
    what = _reason(reason, "it was renamed")
    text = f"Node {node} had a folder {root} that was not of the cluster: {what}."
    return Note(5123, "warning", text, node)


def _reason(given: str, otherwise: str) -> str:
    return given.rstrip(".") or otherwise


def storage_moving(
    vm: VmName, node: NodeName, before: tuple[VolumeName, ...], volume: VolumeName
) -> Note:
    text = f"The files of VM {vm} are being moved from {', '.join(before)} to {volume}."
    return Note(9080, "info", text, node, vm)


def storage_moved(
    vm: VmName, node: NodeName, before: tuple[VolumeName, ...], volume: VolumeName
) -> Note:
    text = f"VM {vm} has its files on {volume} now, and not on {', '.join(before)} any more."
    return Note(9081, "info", text, node, vm)


def storage_move_failed(vm: VmName, node: NodeName, volume: VolumeName, reason: str) -> Note:
    text = f"The files of VM {vm} could not be moved to {volume}: {reason.rstrip('.')}."
    return Note(9082, "warning", text, node, vm)


def storage_move_cancelled(vm: VmName, node: NodeName, volume: VolumeName, reason: str) -> Note:
    text = f"The files of VM {vm} are not moved to {volume}: {reason.rstrip('.')}."
    return Note(9083, "info", text, node, vm)


def moved_files_removed(vm: VmName, volume: VolumeName) -> Note:
    text = f"What a move of its storage had left of VM {vm} on {volume} is gone."
    return Note(9084, "info", text, vm=vm)


def disk_is_witness(disk: str) -> Note:
    return Note(9090, "info", f"{disk} is the disk witness of the quorum, and nothing else.")


def disk_was_witness(disk: str) -> Note:
    return Note(9091, "info", f"{disk} is the disk witness no more: it is in Available Storage.")
