"""What operators ask of shared volumes: from Available Storage and back, names, redirection."""

from dataclasses import dataclass, replace

from coordinator.events import RequestId
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle_storage as chronicle
from coordinator.storage import disks, moves, removals
from coordinator.storage.csv_settings import FOLDER, PROPER, csv_enabled
from coordinator.storage.disk_plans import busy, not_available_storage
from coordinator.storage.disk_states import as_available, moved
from coordinator.store.disk_rows import DiskRow, DiskState, disk_key
from coordinator.store.rows import CLUSTER
from protocol.disks import DiskContent, DiskRole
from protocol.names import VolumeName

SIZE_MIN_BYTES = 16 * 1024 * 1024
"""Of a LUN that is to carry a volume: journal, tables and one file have to fit."""


@dataclass(frozen=True, slots=True)
class AddVolume:
    """Add-ClusterSharedVolume: a disk of Available Storage becomes a volume on all nodes.

    A blank disk is formatted; one that holds a volume of ours keeps it; over anything else only
    with `force`.
    """

    request: RequestId
    disk: str
    force: bool = False

    def draft(self, scene: Scene) -> Draft | Declined:
        if not csv_enabled(scene.book.cluster):
            sentence = "Cluster Shared Volumes are not enabled: enable them first (`csv enable`)."
            return Declined(409, "csv-disabled", sentence)
        row = disks.by_name(scene, self.disk)
        if row is None:
            return disks.unknown_disk(self.disk)
        if row.role is not DiskRole.AVAILABLE:
            return not_available_storage(row)
        if row.state is not DiskState.ONLINE or row.owner is None or row.maintenance:
            return busy(row)
        refusal = unfit(scene, row, self.force)
        if refusal is not None:
            return refusal
        pending = moved(row, "remount")
        assert pending is not None, row.state
        content = content_of(scene, row)
        formats = self.force or content in (DiskContent.BLANK, DiskContent.WITNESS)
        volume = free_name(scene)
        row = replace(
            pending,
            role=DiskRole.CSV,
            volume=volume,
            format_as=new_label(scene, row) if formats else "",
            overwrite=self.force,
            reason="",
        )
        note = chronicle.volume_added(row.name, volume)
        return Draft(relies=(CLUSTER,), puts=((disk_key(row.id), row.data()),), notes=(note,))

    def answer(self, scene: Scene) -> dict[str, object]:
        row = disks.by_name(scene, self.disk)
        return {"disk": self.disk, "volume": "" if row is None else row.volume}


def content_of(scene: Scene, row: DiskRow) -> DiskContent:
    """What the disk's owner found on it."""
    status = None if row.owner is None else disks.seen_by(scene, row.id).get(row.owner)
    return DiskContent.UNKNOWN if status is None else status.content


def new_label(scene: Scene, row: DiskRow) -> str:
    """Of a volume that is to be made on the disk: no other has it, nor had."""
    cluster = scene.book.cluster
    return f"{'' if cluster is None else cluster.id}.{row.number}.{row.epoch}"


def unfit(scene: Scene, row: DiskRow, force: bool) -> Declined | None:
    """Why the disk cannot carry a volume of ours."""
    if row.size_bytes < SIZE_MIN_BYTES:
        sentence = (
            f"{row.name} has {row.size_bytes} bytes, and a volume needs {SIZE_MIN_BYTES}: take a"
            " larger LUN (5964)."
        )
        return Declined(409, "disk-too-small", sentence)
    content = content_of(scene, row)
    if content is DiskContent.UNKNOWN:
        sentence = f"Nobody has read {row.name} yet: wait a moment and ask again."
        return Declined(409, "disk-unread", sentence)
    if content in (DiskContent.FOREIGN, DiskContent.DAMAGED) and not force:
        sentence = (
            f"{row.name} holds {content.value} (5964): what is there would be lost. Say --force"
            " to `csv add` to format it all the same."
        )
        return Declined(409, "disk-not-blank", sentence)
    return None


def free_name(scene: Scene) -> VolumeName:
    """The next number behind all that there are."""
    taken = {row.volume.lower() for row in scene.book.disks.values()}
    number = next(n for n in range(1, len(taken) + 2) if f"volume{n}" not in taken)
    return VolumeName(f"Volume{number}")


def _volume(scene: Scene, word: str) -> DiskRow | Declined:
    row = disks.by_name(scene, word)
    return row if row is not None and disks.is_csv(row) else disks.unknown_volume(word)


def _used(scene: Scene, row: DiskRow) -> Declined | None:
    users = *disks.users_of(scene, row.volume), *moves.movers_to(scene, row.volume)
    if not users:
        return None
    sentence = (
        f"{row.volume} has files of {', '.join(users)} (5947): move or delete these VMs first."
    )
    return Declined(409, "volume-in-use", sentence)


@dataclass(frozen=True, slots=True)
class RemoveVolume:
    """Remove-ClusterSharedVolume: back to Available Storage, once no VM has files there."""

    request: RequestId
    volume: str

    def draft(self, scene: Scene) -> Draft | Declined:
        row = _volume(scene, self.volume)
        if isinstance(row, Declined):
            return row
        if refusal := _used(scene, row) or removals.check_none_left(scene, row):
            return refusal
        if row.state in (DiskState.PENDING, DiskState.RELEASING):
            return busy(row)
        note = chronicle.volume_removed(row.name, row.volume)
        back = as_available(moved(row, "remount") or row)
        return Draft(puts=((disk_key(row.id), back.data()),), notes=(note,))

    def answer(self, scene: Scene) -> dict[str, object]:
        return {"volume": self.volume}


@dataclass(frozen=True, slots=True)
class RenameVolume:
    """Another folder for the volume, on all nodes."""

    request: RequestId
    volume: str
    name: str

    def draft(self, scene: Scene) -> Draft | Declined:
        row = _volume(scene, self.volume)
        if isinstance(row, Declined):
            return row
        if not FOLDER.fullmatch(self.name):
            sentence = f"{self.name[:80]!r} is no name for a volume: {PROPER}"
            return Declined(422, "bad-name", sentence)
        others = {r.volume.lower() for r in scene.book.disks.values() if r.id != row.id}
        if self.name.lower() in others or self.name == row.volume:
            sentence = f"A volume {self.name!r} exists already: choose another name."
            return Declined(409, "volume-exists", sentence)
        if refusal := _used(scene, row):
            return refusal
        if row.state in (DiskState.PENDING, DiskState.RELEASING):
            return busy(row)
        note = chronicle.volume_renamed(row.name, row.volume, VolumeName(self.name))
        renamed = replace(moved(row, "remount") or row, volume=VolumeName(self.name))
        return Draft(puts=((disk_key(row.id), renamed.data()),), notes=(note,))

    def answer(self, scene: Scene) -> dict[str, object]:
        return {"volume": self.name}


@dataclass(frozen=True, slots=True)
class SetRedirected:
    """Turn redirected access on or off: for all nodes but the owner."""

    request: RequestId
    volume: str
    on: bool

    def draft(self, scene: Scene) -> Draft | Declined:
        row = _volume(scene, self.volume)
        if isinstance(row, Declined):
            return row
        if row.redirected == self.on:
            sentence = f"Redirected access of {row.volume} is {'on' if self.on else 'off'} already."
            return Declined(409, "as-it-was", sentence)
        note = chronicle.redirection_set(row.name, row.volume, self.on)
        changed = replace(row, redirected=self.on)
        return Draft(puts=((disk_key(row.id), changed.data()),), notes=(note,))

    def answer(self, scene: Scene) -> dict[str, object]:
        return {"volume": self.volume, "redirected": self.on}
