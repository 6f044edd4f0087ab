"""Files that moves of storage have left on volumes: their owners are told until these are gone."""

from dataclasses import dataclass, replace
from typing import Any

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
from coordinator.store.disk_rows import DiskState
from coordinator.store.move_rows import LeftRow, left_key
from protocol.messages import FilesRemoved, RemoveFiles
from protocol.names import Epoch, Incarnation, VmName, VmSpec, VolumeName

REST_S = 10.0
"""Once they are gone: so long nothing of the VM comes to lie there, for an order to remove files
may still be under way.
"""


def puts(
    scene: Scene, vm: VmName, epoch: Epoch, volumes: tuple[VolumeName, ...]
) -> list[tuple[str, dict[str, Any]]]:
    """What the VM has there under epochs up to this one is to go."""
    rows = [disks.volume_row(scene, volume) for volume in volumes]
    left = [LeftRow(row.id, vm, epoch) for row in rows if row is not None]
    return [(left_key(row.disk, row.vm), row.data()) for row in left]


def check_none(scene: Scene, vm: VmName, spec: VmSpec) -> Declined | None:
    """Why nothing of a VM of this name can be put there yet."""
    for volume in spec.volumes:
        row = disks.volume_row(scene, volume)
        if row is not None and f"{row.id}/{vm}" in scene.book.left:
            sentence = (
                f"Files of {vm} from an earlier move are still being removed from {volume}: wait"
                " until they are gone."
            )
            return Declined(409, "files-remain", sentence)
    return None


@dataclass(frozen=True, slots=True)
class TakeGone:
    """The owner has removed them, or found nothing of them."""

    left: LeftRow
    owner: Incarnation
    epoch: Epoch

    def draft(self, scene: Scene) -> Draft | None:
        left, row = self.left, scene.book.disks.get(self.left.disk)
        if scene.book.left.get(f"{left.disk}/{left.vm}") != left or left.gone_at is not None:
            return None
        if row is None or not owned_at(row, self.owner, self.epoch):
            return None
        gone = replace(left, gone_at=scene.wall)
        note = chronicle.moved_files_removed(left.vm, row.volume)
        return Draft(puts=((left_key(left.disk, left.vm), gone.data()),), notes=(note,))


@dataclass(frozen=True, slots=True)
class ForgetLeft:
    """Nothing is left of it, or nobody could remove it any more."""

    left: LeftRow

    def draft(self, scene: Scene) -> Draft | None:
        if scene.book.left.get(f"{self.left.disk}/{self.left.vm}") != self.left:
            return None
        return Draft(deletes=(left_key(self.left.disk, self.left.vm),))


class Leavings:
    """Remembers only what it has said, and when."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pace = Pace()

    def forget_links(self, links: set[LinkId]) -> None:
        self._pace.keep(links)

    def tick(self) -> None:
        scene = self._desk.scene
        for left in list(scene.book.left.values()):
            is_over = left.gone_at is not None and scene.wall - left.gone_at >= REST_S
            if is_over or left.disk not in scene.book.disks:
                self._desk.pen.put(ForgetLeft(left))
            elif left.gone_at is None:
                self._ask(left)

    def _ask(self, left: LeftRow) -> None:
        """Not before the VM's node has left them."""
        scene, row = self._desk.scene, self._desk.scene.book.disks[left.disk]
        vm = scene.book.vms.get(left.vm)
        if (vm is not None and vm.storage_moves) or row.maintenance or not disks.is_csv(row):
            return
        owner = scene.agents.living(row.owner, row.owner_incarnation)
        if row.state is not DiskState.ONLINE or owner is None:
            return
        head = self._desk.cluster, scene.term, owner.incarnation
        order = RemoveFiles(*head, row.id, row.epoch, left.vm, left.epoch)
        if self._pace.may_say((owner.link, row.id, left.vm), order, scene.now):
            self._desk.send(owner, order)

    def told(self, agent: Agent, said: FilesRemoved) -> None:
        """With a reason it was not done: it is asked again."""
        left = self._desk.scene.book.left.get(f"{said.disk}/{said.vm}")
        if left is not None and left.epoch == said.vm_epoch and not said.reason:
            self._desk.pen.put(TakeGone(left, agent.incarnation, said.epoch))
