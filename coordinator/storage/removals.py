"""Files of VMs that were deleted: the owner of their volume is told until it says they are gone.

What has still to go is kept with the VM's name, so another leader and another owner carry on.
Orders and answers name the VM's last epoch, so that a late one does nothing to a newer VM of that
name.
"""

from dataclasses import dataclass, replace

from coordinator.desk import Desk
from coordinator.events import LinkId
from coordinator.membership.agents import Agent
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle_storage as chronicle
from coordinator.storage import disks
from coordinator.storage.disk_states import owned_at
from coordinator.storage.telling import Pace
from coordinator.store.disk_rows import DiskRow, DiskState
from coordinator.store.rows import DeletedRow, deleted_key
from protocol.disks import DiskId
from protocol.messages import FilesRemoved, RemoveFiles
from protocol.names import Epoch, Incarnation, VmName, VmSpec

ORDERS_MAX = 32
"""So many VMs at once: the next ones follow when these are done."""


def disks_of(scene: Scene, spec: VmSpec) -> tuple[DiskId, ...]:
    """Where a VM has files, by disks: their volumes may be renamed meanwhile."""
    rows = [disks.volume_row(scene, volume) for volume in spec.volumes]
    return tuple(row.id for row in rows if row is not None and disks.has_files(row))


def left_on(scene: Scene, disk: DiskId) -> list[DeletedRow]:
    """The deleted VMs that have files on the disk, by name."""
    found = (gone for gone in scene.book.deleted.values() if disk in gone.files)
    return sorted(found, key=lambda gone: gone.name)


def check_gone(scene: Scene, earlier: DeletedRow) -> Declined | None:
    """Why the name cannot be used again yet. A disk that is no volume any more keeps its files."""
    rows = [scene.book.disks.get(disk) for disk in earlier.files]
    volumes = [row.volume for row in rows if row is not None and disks.has_files(row)]
    if not volumes:
        return None
    sentence = (
        f"Files of an earlier VM {earlier.name!r} are still being removed from"
        f" {', '.join(volumes)}: wait until they are gone, or choose another name."
    )
    return Declined(409, "files-remain", sentence)


def check_none_left(scene: Scene, row: DiskRow) -> Declined | None:
    """Why the volume cannot be given back yet. On a disk that nobody sees nothing can be removed;
    then the files stay there.
    """
    left = [gone.name for gone in left_on(scene, row.id)]
    if not left or not disks.seen_by(scene, row.id):
        return None
    sentence = (
        f"Files of deleted VMs ({', '.join(left)}) are still being removed from {row.volume}: wait"
        " until they are gone."
    )
    return Declined(409, "files-remain", sentence)


@dataclass(frozen=True, slots=True)
class TakeFilesRemoved:
    """The owner has removed what the VM had on its disk, or found nothing of it there."""

    disk: DiskId
    vm: VmName
    vm_epoch: Epoch
    owner: Incarnation
    epoch: Epoch

    def draft(self, scene: Scene) -> Draft | None:
        gone, row = scene.book.deleted.get(self.vm), scene.book.disks.get(self.disk)
        if gone is None or gone.epoch != self.vm_epoch or self.disk not in gone.files:
            return None
        if row is None or not owned_at(row, self.owner, self.epoch):
            return None
        left = replace(gone, files=tuple(disk for disk in gone.files if disk != self.disk))
        note = chronicle.files_removed(self.vm, row.volume)
        return Draft(puts=((deleted_key(self.vm), left.data()),), notes=(note,))


class Removals:
    """Remembers only what it has said, and when."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pace = Pace()

    def forget_links(self, links: set[LinkId]) -> None:
        self._pace.keep(links)

    def tell(self, owner: Agent, row: DiskRow) -> None:
        """`owner` serves the volume: it is told of every VM that has files left there."""
        scene = self._desk.scene
        if row.state is not DiskState.ONLINE or not disks.has_files(row) or row.maintenance:
            return
        head = self._desk.cluster, scene.term, owner.incarnation
        for gone in left_on(scene, row.id)[:ORDERS_MAX]:
            order = RemoveFiles(*head, row.id, row.epoch, gone.name, gone.epoch)
            if self._pace.may_say((owner.link, row.id, gone.name), order, scene.now):
                self._desk.send(owner, order)

    def told(self, agent: Agent, said: FilesRemoved) -> None:
        """With a reason it was not done: it is asked again."""
        if not said.reason:
            done = said.disk, said.vm, said.vm_epoch, agent.incarnation, said.epoch
            self._desk.pen.put(TakeFilesRemoved(*done))
