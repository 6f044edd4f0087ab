"""Disks of the SAN that are witnesses: found by name, taken out of use, and given back.

A witness is no resource with an owner. Nodes register with it only when they are to hold it, and
who does holds it by its own reservation. So its row says what it is for, and nothing else moves it.
"""

from dataclasses import dataclass, replace

from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle_storage as chronicle
from coordinator.storage import disks
from coordinator.store.disk_rows import DiskRow, DiskState, disk_key
from protocol.disks import (
    WITNESS_BYTES_MIN,
    DiskContent,
    DiskId,
    DiskRole,
    DiskStatus,
    witness_disk,
    witness_path,
)
from protocol.names import NO_VOLUME, Epoch, Witness, WitnessKind

NAMELESS = "Witness"
"""What a witness is called that nobody has given a name."""


def is_folder(path: str) -> bool:
    return path.startswith(("/", "\\\\"))


def found(scene: Scene, witness: Witness) -> Witness | Declined:
    """`witness` with the id of its disk for a path, if it names one by name or id."""
    path = witness.path
    if witness.kind is not WitnessKind.DISK or not path.strip() or is_folder(path):
        return witness
    word = witness_disk(path) or DiskId(path)
    row = disks.by_name(scene, word)
    if row is None and witness_disk(path) is None and word not in disks.available(scene):
        sentence = (
            f"There is no disk {path!r} that could be a witness: name one that `disk list` shows,"
            " or the full path of a folder."
        )
        return Declined(404, "unknown-disk", sentence)
    disk = word if row is None else row.id
    now = None if scene.book.view is None else scene.book.view.view.votes.witness
    if now is not None and now.path == witness_path(disk):
        return now  # it is that one already, whatever it is called here
    name = row.name if row is not None and witness.name == NAMELESS else witness.name
    return replace(witness, name=name, path=witness_path(disk))


def why_unfit(scene: Scene, witness: Witness) -> Declined | None:
    """Why this disk cannot be the witness. What no node has reported yet is not held against it."""
    disk = witness_disk(witness.path)
    if disk is None:
        return None
    if witness.kind is not WitnessKind.DISK:
        sentence = f"{witness.path} is a disk: a file share witness wants the path of a folder."
        return Declined(422, "bad-witness", sentence)
    row, seen = scene.book.disks.get(disk), disks.seen_by(scene, disk)
    name = disk if row is None else row.name
    if row is not None and row.role is DiskRole.WITNESS:
        return None
    if row is not None and (refusal := _why_used(row)):
        return refusal
    reported = [a for a in disks.members(scene) if a.storage is not None]
    if missing := sorted(a.node for a in reported if a.node not in seen):
        sentence = (
            f"Disk {name} is not seen by {', '.join(missing)}: a witness must be reached by all"
            " nodes (5957)."
        )
        return Declined(409, "disk-not-shared", sentence)
    return next((no for s in seen.values() if (no := _why_content_unfit(name, s))), None)


def _why_used(row: DiskRow) -> Declined | None:
    if row.role is not DiskRole.AVAILABLE:
        sentence = (
            f"{row.name} is not in Available Storage (5965), it is {row.role.value}: a witness must"
            " lie on a disk of its own (5928)."
        )
        return Declined(409, "not-available-storage", sentence)
    if row.maintenance or row.leaving or row.state in (DiskState.PENDING, DiskState.RELEASING):
        sentence = f"{row.name} is {row.state.value}, or in maintenance mode: wait until it is not."
        return Declined(409, "disk-busy", sentence)
    return None


def _why_content_unfit(name: str, status: DiskStatus) -> Declined | None:
    if status.size_bytes < WITNESS_BYTES_MIN:
        sentence = (
            f"Disk {name} has {status.size_bytes} bytes, and a witness needs {WITNESS_BYTES_MIN}:"
            " take a larger LUN."
        )
        return Declined(409, "disk-too-small", sentence)
    if status.content in (DiskContent.OURS, DiskContent.FOREIGN, DiskContent.DAMAGED):
        sentence = (
            f"Disk {name} holds {status.content.value}, which a witness would destroy: choose a"
            " disk that is blank."
        )
        return Declined(409, "disk-not-blank", sentence)
    return None


def named(scene: Scene) -> set[DiskId]:
    """The disks that some configuration still in force has for its witness."""
    views = [scene.held] if scene.held is not None else []
    if scene.book.view is not None:
        views.append(scene.book.view.view)
    witnesses = (view.votes.witness for view in views)
    found = (witness_disk(witness.path) for witness in witnesses if witness is not None)
    return {disk for disk in found if disk is not None}


def is_witness(scene: Scene, disk: DiskId) -> bool:
    return disk in named(scene)


def puts_for(scene: Scene, witness: Witness | None) -> tuple[tuple[str, dict[str, object]], ...]:
    """The row of a disk that becomes the witness. Its owner is told that it is in use no more."""
    disk = None if witness is None else witness_disk(witness.path)
    row = None if disk is None else scene.book.disks.get(disk)
    if row is None or row.role is DiskRole.WITNESS:
        return ()
    return ((disk_key(row.id), _as_witness(row).data()),)


def _as_witness(row: DiskRow) -> DiskRow:
    return replace(
        row,
        role=DiskRole.WITNESS,
        state=DiskState.OFFLINE,
        owner=None,
        owner_incarnation=None,
        epoch=Epoch(row.epoch + 1),
        volume=NO_VOLUME,
        move_to=None,
        reason="",
    )


def unsettled(scene: Scene) -> list[DiskId]:
    """The disks whose row says something else than the votes do."""
    wanted, rows = named(scene), scene.book.disks
    wrong = [
        row.id
        for row in disks.ordered(scene)
        if (row.role is DiskRole.WITNESS) != (row.id in wanted)
    ]
    return [*wrong, *(d for d in sorted(wanted) if d not in rows and disks.seen_by(scene, d))]


@dataclass(frozen=True, slots=True)
class Settle:
    """The witness's disk has a row from when a node sees it; when the votes name it no more, and a
    view without it holds, it goes to Available Storage.
    """

    disk: DiskId

    def draft(self, scene: Scene) -> Draft | None:
        if self.disk not in unsettled(scene):
            return None
        row = scene.book.disks.get(self.disk)
        if row is None:
            status = next(iter(disks.seen_by(scene, self.disk).values()))
            row = disks.new_row(scene, status, DiskRole.WITNESS)
            note = chronicle.disk_is_witness(row.name)
        elif row.role is DiskRole.WITNESS:
            row = replace(row, role=DiskRole.AVAILABLE, epoch=Epoch(row.epoch + 1))
            note = chronicle.disk_was_witness(row.name)
        elif row.role is DiskRole.AVAILABLE:
            row, note = _as_witness(row), chronicle.disk_is_witness(row.name)
        else:
            return None
        return Draft(puts=((disk_key(row.id), row.data()),), notes=(note,))
