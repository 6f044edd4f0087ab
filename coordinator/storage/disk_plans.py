"""What operators ask of clustered disks: add, remove, another owner, maintenance."""

import re
from dataclasses import dataclass, replace

from coordinator.events import RequestId
from coordinator.migration import admission
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle_storage as chronicle
from coordinator.storage import disks, quorum_disk, vm_disks
from coordinator.storage.disk_owners import removed
from coordinator.storage.disk_states import moved
from coordinator.store.disk_rows import (
    DiskRow,
    DiskState,
    disk_key,
    gone_disk_key,
)
from coordinator.store.rows import CLUSTER, vm_key
from protocol.disks import DiskId, DiskRole
from protocol.names import NodeName

DISKS_MAX = 256
DISK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
NO_CLUSTER = Declined(409, "no-cluster", "There is no cluster yet: form one first.")


@dataclass(frozen=True, slots=True)
class AddDisk:
    """Add-ClusterDisk: a disk that all nodes see becomes a resource in Available Storage."""

    request: RequestId
    disk: DiskId

    def draft(self, scene: Scene) -> Draft | Declined:
        book = scene.book
        if book.cluster is None:
            return NO_CLUSTER
        if self.disk in book.disks:
            sentence = f"{book.disks[self.disk].name} is that disk: it is in the cluster already."
            return Declined(409, "disk-exists", sentence)
        if quorum_disk.is_witness(scene, self.disk):
            sentence = f"Disk {self.disk} is the witness of the quorum: it is nothing else."
            return Declined(409, "disk-is-witness", sentence)
        found = disks.available(scene).get(self.disk)
        if found is None:
            return _not_available(scene, self.disk)
        if not DISK_ID.fullmatch(self.disk) or len(book.disks) >= DISKS_MAX:
            sentence = f"A cluster has at most {DISKS_MAX} disks, each with a proper id."
            return Declined(409, "too-many-disks", sentence)
        row = disks.new_row(scene, found)
        gone = (gone_disk_key(self.disk),) if self.disk in book.gone_disks else ()
        return Draft(
            relies=(CLUSTER,),
            puts=((disk_key(row.id), row.data()),),
            deletes=gone,
            notes=(chronicle.disk_added(row.name, row.size_bytes),),
        )

    def answer(self, scene: Scene) -> dict[str, object]:
        return {"disk": scene.book.disks[self.disk].name}


def _not_available(scene: Scene, disk: DiskId) -> Declined:
    seen = disks.seen_by(scene, disk)
    missing = sorted(a.node for a in disks.members(scene) if a.node not in seen)
    if not seen:
        sentence = f"No node sees a disk {disk!r}: name one that `disk list --available` shows."
        return Declined(404, "unknown-disk", sentence)
    sentence = (
        f"Disk {disk} is not seen by {', '.join(missing)}: a clustered disk must be seen by all"
        " nodes."
    )
    return Declined(409, "disk-not-shared", sentence)


@dataclass(frozen=True, slots=True)
class RemoveDisk:
    """Remove-ClusterResource of a disk: only from Available Storage. Its owner clears the keys."""

    request: RequestId
    disk: str

    def draft(self, scene: Scene) -> Draft | Declined:
        row = disks.by_name(scene, self.disk)
        if row is None:
            return disks.unknown_disk(self.disk)
        if row.role is not DiskRole.AVAILABLE:
            return not_available_storage(row)
        if row.state is DiskState.OFFLINE:
            return removed(row, cleared=False)
        leaving = moved(row, "move")
        if leaving is None or row.owner is None:
            return busy(row)
        leaving = replace(leaving, leaving=True)
        note = chronicle.disk_moving(row.name, row.volume, row.owner, "it leaves the cluster")
        return Draft(puts=((disk_key(row.id), leaving.data()),), notes=(note,))

    def answer(self, scene: Scene) -> dict[str, object]:
        return {"disk": self.disk}


@dataclass(frozen=True, slots=True)
class MoveDisk:
    """Another owner, planned: the one there is lets go first. Without `node` the best one."""

    request: RequestId | None
    disk: str
    node: NodeName | None = None
    volumes_only: bool = False

    def draft(self, scene: Scene) -> Draft | Declined | None:
        row = _wanted(scene, self.disk, self.volumes_only)
        if isinstance(row, Declined):
            return row if self.request is not None else None
        if self.request is not None and disks.is_csv(row) and not self.volumes_only:
            sentence = (
                f"{row.name} is the shared volume {row.volume} (5948): move it with"
                f" `csv move {row.volume}`."
            )
            return Declined(409, "use-csv", sentence)
        if vm_disks.is_private(row):
            return _moves_with_group(scene, row) if self.request is not None else None
        target = self._target(scene, row)
        if isinstance(target, Declined):
            return target if self.request is not None else None
        leaving = moved(row, "move")
        if leaving is None or row.owner is None:
            return busy(row) if self.request is not None else None
        why = f"it moves to node {target}" if self.request else f"node {row.owner} gives it away"
        note = chronicle.disk_moving(row.name, row.volume, row.owner, why)
        leaving = replace(leaving, move_to=target)
        return Draft(puts=((disk_key(row.id), leaving.data()),), notes=(note,))

    def _target(self, scene: Scene, row: DiskRow) -> NodeName | Declined:
        able = [node for _, _, node in disks.candidates(scene, row, {row.owner or NodeName("")})]
        if self.node is None:
            if able:
                return able[0]
            sentence = f"No other node could own {row.name}: none has a path to it and is Up."
            return Declined(409, "no-other-owner", sentence)
        if self.node not in scene.book.nodes:
            return admission.unknown_node(self.node)
        if self.node == row.owner and row.is_served:
            sentence = f"Node {self.node} owns {row.name} already: choose another node."
            return Declined(409, "same-node", sentence)
        if self.node not in able:
            sentence = (
                f"Node {self.node} could not own {row.name} now: it must be Up, and have a path to"
                " the disk and a registration there."
            )
            return Declined(409, "cannot-own", sentence)
        return self.node

    def answer(self, scene: Scene) -> dict[str, object]:
        row = disks.by_name(scene, self.disk)
        to = None if row is None else row.move_to or row.owner
        return {"disk": self.disk, "node": to}


@dataclass(frozen=True, slots=True)
class Release:
    """A disk that leaves the cluster has an owner again, after the first one died: it clears it."""

    disk: DiskId

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.disks.get(self.disk)
        leaving = None if row is None or not row.leaving else moved(row, "move")
        if leaving is None:
            return None
        return Draft(puts=((disk_key(leaving.id), leaving.data()),))


@dataclass(frozen=True, slots=True)
class SetMaintenance:
    """Maintenance mode. VMs with files there are turned off, and started by hand afterwards."""

    request: RequestId
    disk: str
    on: bool
    volumes_only: bool = False

    def draft(self, scene: Scene) -> Draft | Declined:
        row = _wanted(scene, self.disk, self.volumes_only)
        if isinstance(row, Declined):
            return row
        if row.role is DiskRole.WITNESS:
            return not_available_storage(row)
        if row.maintenance == self.on:
            sentence = f"Maintenance mode of {row.name} is {'on' if self.on else 'off'} already."
            return Declined(409, "as-it-was", sentence)
        puts = [(disk_key(row.id), replace(row, maintenance=self.on).data())]
        for name in disks.users_of(scene, row.volume) if self.on else ():
            vm = scene.book.vms[name]
            if refusal := admission.check_at_rest(vm):
                return refusal
            if vm.on:
                puts.append((vm_key(name), replace(vm, on=False, waiting="").data()))
        note = chronicle.maintenance_set(row.name, row.volume, self.on)
        return Draft(puts=tuple(puts), notes=(note,))

    def answer(self, scene: Scene) -> dict[str, object]:
        return {"disk": self.disk, "maintenance": self.on}


def _wanted(scene: Scene, word: str, volumes_only: bool) -> DiskRow | Declined:
    row = disks.by_name(scene, word)
    if volumes_only:
        return row if row is not None and disks.is_csv(row) else disks.unknown_volume(word)
    return disks.unknown_disk(word) if row is None else row


def _moves_with_group(scene: Scene, row: DiskRow) -> Declined:
    vm = vm_disks.vm_of(scene, row)
    if vm is None:
        return busy(row)
    sentence = (
        f"{row.name} belongs to group {vm.name} and is where that is: move the group"
        f" (`group move {vm.name}`), or live migrate the VM."
    )
    return Declined(409, "use-group", sentence)


def not_available_storage(row: DiskRow) -> Declined:
    back = (
        f"first remove the shared volume {row.volume} (`csv remove {row.volume}`)"
        if row.role is DiskRole.CSV
        else "first delete the VM that it belongs to"
        if row.role is DiskRole.VM
        else "first choose another witness, or a mode without one (`quorum set`)"
        if row.role is DiskRole.WITNESS
        else "first take away what uses it"
    )
    sentence = f"{row.name} is not in Available Storage (5965), it is {row.role.value}: {back}."
    return Declined(409, "not-available-storage", sentence)


def busy(row: DiskRow) -> Declined:
    sentence = (
        f"{row.name} is {row.state.value}: wait until it is Online"
        f"{f' ({row.reason})' if row.reason else ''}."
    )
    return Declined(409, "disk-busy", sentence)
