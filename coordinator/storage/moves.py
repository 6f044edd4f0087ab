"""Storage migration: the transactions that begin, decide and close a move of a VM's files.

A move is a part of the VM's row, so whatever else happens to the VM happens before or after its
decision, never beside it.
"""

from dataclasses import dataclass, replace
from typing import Any

from coordinator.events import RequestId
from coordinator.migration import admission
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle_storage as chronicle
from coordinator.shown.chronicle import Note
from coordinator.storage import disks, leavings, needs, vm_files
from coordinator.store.disk_rows import DiskRow, disk_key
from coordinator.store.move_rows import StorageMove
from coordinator.store.rows import VIEW, VmRow, vm_key
from protocol.names import Decision, Incarnation, Outcome, VmName, VmSpec, VolumeName
from protocol.workload import format_size

ROUND_BYTES = 64 * 1024
"""What a file may need beside its content: its footer, its place in the tables."""

Puts = list[tuple[str, dict[str, Any]]]


def moved_spec(spec: VmSpec, volume: VolumeName) -> VmSpec:
    """All files under the same paths on `volume`."""
    there = tuple(replace(disk, volume=volume) for disk in spec.disks)
    return replace(spec, disks=there, home=volume if spec.home else spec.home)


def movers_to(scene: Scene, volume: VolumeName) -> tuple[VmName, ...]:
    """The VMs whose files are on their way to the volume."""
    found = (vm for vm in scene.book.vms.values() if vm.move is not None and vm.storage_moves)
    return tuple(sorted(vm.name for vm in found if vm.move and vm.move.volume == volume))


@dataclass(frozen=True, slots=True)
class OpenMove:
    """The checks, and the move in the VM's row."""

    request: RequestId
    vm: VmName
    volume: str

    def draft(self, scene: Scene) -> Draft | Declined:
        vm = scene.book.vms.get(self.vm)
        if vm is None:
            return admission.unknown_vm(self.vm)
        if refusal := admission.check_source(scene, vm):
            return refusal
        row = disks.by_name(scene, self.volume)
        if row is None or not disks.is_csv(row):
            return disks.unknown_volume(self.volume)
        sources = needs.rows_for(scene, vm.spec)
        if not sources or not all(source and disks.is_csv(source) for source in sources):
            sentence = f"VM {vm.name} has no files on shared volumes that could be moved."
            return Declined(409, "no-files", sentence)
        if row.volume in vm.spec.volumes:
            sentence = f"VM {vm.name} has its files on {row.volume} already: name another volume."
            return Declined(409, "same-volume", sentence)
        spec = moved_spec(vm.spec, row.volume)
        if refusal := _check_target(scene, vm, row, spec):
            return refusal
        assert vm.owner_incarnation is not None, vm.name
        number = 1 if vm.move is None else vm.move.number + 1
        move = StorageMove(
            *(number, row.volume, spec, vm.epoch, vm.owner_incarnation), asked_at=scene.wall
        )
        note = chronicle.storage_moving(vm.name, vm.owner, vm.spec.volumes, row.volume)
        return Draft(
            relies=(VIEW, disk_key(row.id)),
            puts=((vm_key(vm.name), replace(vm, move=move).data()),),
            notes=(note,),
        )

    def answer(self, scene: Scene) -> dict[str, object]:
        vm = scene.book.vms.get(self.vm)
        return {"vm": self.vm, "move": 0 if vm is None or vm.move is None else vm.move.number}


def _check_target(scene: Scene, vm: VmRow, row: DiskRow, spec: VmSpec) -> Declined | None:
    if why := needs.why_waits(scene, spec):
        sentence = f"VM {vm.name} cannot have its files on {row.volume} now: {why}."
        return Declined(409, "volume-offline", sentence)
    refusal = (
        vm_files.check_reached(scene, vm.owner, spec)
        or vm_files.check_volumes(scene, vm.name, spec, start=False)
        or leavings.check_none(scene, vm.name, spec)
    )
    if refusal is not None:
        return refusal
    wanted = sum(disk.size_bytes for disk in spec.disks) + ROUND_BYTES * (1 + len(spec.disks))
    owner = None if row.owner is None else scene.agents.at(row.owner)
    access = disks.access_of(owner, row.id)
    if access is not None and access.size_bytes and access.free_bytes < wanted:
        sentence = (
            f"{row.volume} has {format_size(access.free_bytes)} free and VM {vm.name} needs"
            f" {format_size(wanted)}: choose another volume or make room."
        )
        return Declined(409, "no-space", sentence)
    return None


@dataclass(frozen=True, slots=True)
class SwitchMove:
    """open -> committed, and the VM's files are where the move has brought them, or neither."""

    vm: VmName
    number: int
    incarnation: Incarnation

    def draft(self, scene: Scene) -> Draft | None:
        vm = scene.book.vms.get(self.vm)
        move = open_move(vm, self.number)
        if vm is None or move is None or not belongs(vm, move):
            return None
        row = disks.volume_row(scene, move.volume)
        if self.incarnation != move.incarnation or row is None or not disks.is_csv(row):
            return None
        decided = replace(
            move, decision=Decision.COMMITTED, outcome=Outcome.COMPLETED, decided_at=scene.wall
        )
        switched = replace(vm, spec=move.spec, move=decided)
        note = chronicle.storage_moved(vm.name, vm.owner, vm.spec.volumes, move.volume)
        return Draft(
            relies=(VIEW, disk_key(row.id)),
            puts=(
                (vm_key(vm.name), switched.data()),
                *leavings.puts(scene, vm.name, move.epoch, vm.spec.volumes),
            ),
            notes=(note,),
        )


@dataclass(frozen=True, slots=True)
class AbortMove:
    """open -> aborted: the files stay where they are. Without a number the one that is open."""

    vm: VmName
    number: int | None
    reason: str
    cancelled: bool = False
    request: RequestId | None = None

    def draft(self, scene: Scene) -> Draft | Declined | None:
        vm = scene.book.vms.get(self.vm)
        move = None if vm is None else open_move(vm, self.number)
        if vm is None or move is None:
            return None if self.request is None else self._too_late(vm)
        row, puts, notes = _aborted(scene, vm, move, self.reason, self.cancelled)
        if not belongs(vm, move):
            row = replace(row, move=row.move and replace(row.move, ended_at=scene.wall))
        return Draft(puts=((vm_key(vm.name), row.data()), *puts), notes=tuple(notes))

    def _too_late(self, vm: VmRow | None) -> Declined:
        if vm is None:
            return admission.unknown_vm(self.vm)
        sentence = f"The files of VM {self.vm} are not being moved: there is nothing to cancel."
        return Declined(409, "no-move", sentence)

    def answer(self, scene: Scene) -> dict[str, object]:
        vm = scene.book.vms.get(self.vm)
        return {"vm": self.vm, "move": 0 if vm is None or vm.move is None else vm.move.number}


@dataclass(frozen=True, slots=True)
class CloseMove:
    """The node lives by the decision."""

    vm: VmName
    number: int
    incarnation: Incarnation

    def draft(self, scene: Scene) -> Draft | None:
        vm = scene.book.vms.get(self.vm)
        move = None if vm is None else vm.move
        if vm is None or move is None or move.number != self.number or move.is_closed:
            return None
        if move.is_open or move.incarnation != self.incarnation:
            return None
        closed = replace(vm, move=replace(move, ended_at=scene.wall))
        return Draft(puts=((vm_key(vm.name), closed.data()),))


def open_move(vm: VmRow | None, number: int | None) -> StorageMove | None:
    move = None if vm is None else vm.move
    if move is None or not move.is_open or number not in (None, move.number):
        return None
    return move


def belongs(vm: VmRow, move: StorageMove) -> bool:
    """The VM is still with the life, and under the epoch, that move its files."""
    return vm.live and (vm.owner_incarnation, vm.epoch) == (move.incarnation, move.epoch)


def cut_short(scene: Scene, vm: VmRow) -> tuple[VmRow, Puts, list[Note]]:
    """`vm` is taken from its owner: a move that is open stays undone, and none goes on."""
    move = vm.move
    if move is None or move.is_closed:
        return vm, [], []
    row, puts, notes = vm, Puts(), list[Note]()
    if move.is_open:
        reason = f"the VM does not run on node {vm.owner} any more"
        row, puts, notes = _aborted(scene, vm, move, reason, cancelled=False)
    assert row.move is not None, vm.name
    return replace(row, move=replace(row.move, ended_at=scene.wall)), puts, notes


def _aborted(
    scene: Scene, vm: VmRow, move: StorageMove, reason: str, cancelled: bool
) -> tuple[VmRow, Puts, list[Note]]:
    decided = replace(
        move,
        decision=Decision.ABORTED,
        outcome=Outcome.CANCELLED if cancelled else Outcome.FAILED,
        reason=reason,
        decided_at=scene.wall,
    )
    word = chronicle.storage_move_cancelled if cancelled else chronicle.storage_move_failed
    note = word(vm.name, vm.owner, move.volume, reason)
    puts = leavings.puts(scene, vm.name, move.epoch, move.spec.volumes)
    return replace(vm, move=decided), puts, [note]
