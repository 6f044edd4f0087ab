"""Ordinary clustered disks: each belongs to one VM's group, and is where that VM is.

Nobody but the VM's node mounts it. It comes before the VM when the VM starts somewhere, and moves
at S10 of a live migration, while the guest stands still.
"""

from collections.abc import Container
from dataclasses import dataclass, replace

from coordinator.pen import Draft
from coordinator.scene import Scene
from coordinator.shown import chronicle_storage as chronicle
from coordinator.shown.chronicle import Note
from coordinator.storage import disks, fences
from coordinator.storage.disk_states import as_available, moved
from coordinator.store.disk_rows import DiskRow, DiskState, disk_key
from coordinator.store.rows import VIEW, AttemptRow, VmRow, attempt_key, vm_key
from protocol.disks import DiskId, DiskRole, VolumeAccess
from protocol.names import AttemptId, Decision, NodeName, VmSpec


def is_private(row: DiskRow) -> bool:
    return row.role is DiskRole.VM and bool(row.volume)


def rows_of(scene: Scene, spec: VmSpec) -> list[DiskRow]:
    """The disks of the VM's group."""
    found = (disks.volume_row(scene, volume) for volume in spec.volumes)
    return [row for row in found if row is not None and is_private(row)]


def vm_of(scene: Scene, row: DiskRow) -> VmRow | None:
    if not is_private(row):
        return None
    return next((vm for vm in scene.book.vms.values() if row.volume in vm.spec.volumes), None)


def open_attempt(scene: Scene, vm: VmRow) -> AttemptRow | None:
    """The live migration that nobody has decided yet."""
    attempt = None if vm.attempt is None else scene.book.attempts.get(vm.attempt)
    return attempt if attempt is not None and attempt.decision is Decision.OPEN else None


def place(scene: Scene, row: DiskRow, found: list[NodeName]) -> NodeName | None:
    """Which of the nodes that could own the disk is to: the VM's. None while nobody is.

    A disk that was handed over stays with the target until the attempt is decided. If it is
    aborted the VM's node is the source still, and so the disk goes back.
    """
    vm = vm_of(scene, row)
    if vm is None:
        return _resting(row, row.owner, found)
    attempt = open_attempt(scene, vm)
    if attempt is not None and attempt.target is not None and _handed_over(row, attempt):
        return attempt.target if attempt.target in found else None
    if vm.live:
        return vm.owner if vm.owner in found else None
    if vm.on and not vm.failed:
        return None  # where it will run is decided first
    return _resting(row, vm.owner, found)


def _resting(row: DiskRow, first: NodeName | None, found: list[NodeName]) -> NodeName | None:
    """Of a disk that nobody runs from: rather where it is than anywhere else."""
    for node in (first, row.owner, *found):
        if node in found:
            return node
    return None


def _handed_over(row: DiskRow, attempt: AttemptRow) -> bool:
    has_it = row.is_served and row.owner_incarnation == attempt.target_incarnation
    return has_it or row.move_to == attempt.target


def follows(scene: Scene, row: DiskRow) -> NodeName | None:
    """Where a disk that is online ought to go now; None if it is where it belongs."""
    if row.state is not DiskState.ONLINE or not fences.may_move(scene, row):
        return None
    found = [node for _, _, node in disks.candidates(scene, row)]
    wanted = place(scene, row, found)
    return None if wanted == row.owner else wanted


def stranded(scene: Scene, row: DiskRow, shunned: Container[NodeName]) -> VmRow | None:
    """The VM that was given to a node which cannot bring its disk online."""
    vm = vm_of(scene, row)
    if vm is None or not (vm.live and vm.on) or open_attempt(scene, vm) is not None:
        return None
    if scene.agents.living(vm.owner, vm.owner_incarnation) is None:
        return None
    has_it = row.is_served and row.owner_incarnation == vm.owner_incarnation
    if has_it or not fences.may_move(scene, row):
        return None
    able = {node for _, _, node in disks.candidates(scene, row)}
    return None if vm.owner in able and vm.owner not in shunned else vm


def is_spare(scene: Scene, row: DiskRow) -> bool:
    """Its VM was deleted, and so were the VM's files."""
    return (
        is_private(row)
        and row.state is DiskState.ONLINE
        and vm_of(scene, row) is None
        and not any(row.id in gone.files for gone in scene.book.deleted.values())
    )


def is_ready(scene: Scene, vm: VmRow) -> bool:
    """All disks of its group are online where it is to run, and mounted there."""
    for row in rows_of(scene, vm.spec):
        access = disks.access_of(scene.agents.living(vm.owner, vm.owner_incarnation), row.id)
        here = row.state is DiskState.ONLINE and row.owner_incarnation == vm.owner_incarnation
        if not here or access is None or access.epoch != row.epoch:
            return False
        if access.access is not VolumeAccess.DIRECT:
            return False
    return True


def are_with(scene: Scene, vm: VmRow, attempt: AttemptRow) -> bool:
    """The target has all disks of the group: the VM may be given to it."""
    return all(
        row.state is DiskState.ONLINE and row.owner_incarnation == attempt.target_incarnation
        for row in rows_of(scene, vm.spec)
    )


def way_back(scene: Scene, attempt: AttemptRow) -> str:
    """What the record of an aborted attempt says of disks that the source has not any more."""
    vm = scene.book.vms.get(attempt.vm)
    away = [
        row.name
        for row in ([] if vm is None else rows_of(scene, vm.spec))
        if row.state is not DiskState.ONLINE or row.owner_incarnation != attempt.source_incarnation
    ]
    if not away:
        return ""
    names = ", ".join(away)
    return f"; {names} goes back to node {attempt.source}, and the guest stands still until then"


@dataclass(frozen=True, slots=True)
class Follow:
    """The disk goes where its VM is: who has it lets go first."""

    disk: DiskId

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.disks.get(self.disk)
        node = None if row is None else follows(scene, row)
        if row is None or node is None or row.owner is None:
            return None
        return Draft(relies=(VIEW,), puts=(_leaving(row, None),), notes=(_note(row, node),))


@dataclass(frozen=True, slots=True)
class HandOver:
    """S10: the guest stands still on the source, and the disks of its group go to the target."""

    attempt: AttemptId

    def draft(self, scene: Scene) -> Draft | None:
        attempt = scene.book.attempts.get(self.attempt)
        vm = None if attempt is None else scene.book.vms.get(attempt.vm)
        if attempt is None or vm is None or attempt.decision is not Decision.OPEN:
            return None
        if not vm.live or vm.owner_incarnation != attempt.source_incarnation:
            return None
        target = attempt.target
        going = [row for row in rows_of(scene, vm.spec) if _can_go(scene, row, attempt)]
        if target is None or not going:
            return None
        return Draft(
            relies=(VIEW, attempt_key(attempt.id), vm_key(vm.name)),
            puts=tuple(_leaving(row, target) for row in going),
            notes=tuple(_note(row, target) for row in going),
        )


@dataclass(frozen=True, slots=True)
class GiveBack:
    """To Available Storage, once nothing of the VM is left on it. What else is there stays."""

    disk: DiskId

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.disks.get(self.disk)
        if row is None or not is_spare(scene, row):
            return None
        pending = moved(row, "remount")
        assert pending is not None, row.state
        back = as_available(pending)
        note = chronicle.disk_left_group(row.name)
        return Draft(puts=((disk_key(row.id), back.data()),), notes=(note,))


def _can_go(scene: Scene, row: DiskRow, attempt: AttemptRow) -> bool:
    if row.state is not DiskState.ONLINE or not fences.may_move(scene, row):
        return False
    if row.owner_incarnation != attempt.source_incarnation:
        return False
    return any(node == attempt.target for _, _, node in disks.candidates(scene, row))


def _leaving(row: DiskRow, to: NodeName | None) -> tuple[str, dict[str, object]]:
    leaving = moved(row, "move")
    assert leaving is not None, row.state
    return disk_key(row.id), replace(leaving, move_to=to).data()


def _note(row: DiskRow, node: NodeName) -> Note:
    assert row.owner is not None, row.id
    return chronicle.disk_moving(row.name, row.volume, row.owner, f"it goes to node {node}")
