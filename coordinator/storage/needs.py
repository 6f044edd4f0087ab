"""What a VM needs of shared storage before a node may be told to run it."""

from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.storage import disks, fences, vm_disks
from coordinator.store.disk_rows import DiskRow, disk_key
from coordinator.store.rows import VmRow
from protocol.disks import VolumeAccess
from protocol.names import NodeName, VmSpec

USABLE = (VolumeAccess.DIRECT, VolumeAccess.REDIRECTED)


def only_node(scene: Scene, vm: VmRow) -> NodeName | None:
    """The one node that a VM stays on which is not highly available; None: it may be anywhere.

    Where there are shared volumes, what is not on shared storage belongs to its node alone. In a
    cluster without any all VMs are as good as each other: they have no files at all.
    """
    if vm.spec.volumes or vm.owner not in scene.book.nodes:
        return None
    return vm.owner if any(disks.is_csv(row) for row in scene.book.disks.values()) else None


def check_may_leave(scene: Scene, vm: VmRow) -> Declined | None:
    """Why no other node can be asked to take the VM."""
    if only_node(scene, vm) is None:
        return None
    sentence = (
        f"VM {vm.name} is not on shared storage, so it is not highly available and stays on node"
        f" {vm.owner}: create it on a shared volume to have it moved."
    )
    return Declined(409, "not-highly-available", sentence)


def rows_for(scene: Scene, spec: VmSpec) -> list[DiskRow | None]:
    """The disk of each volume that the VM has files on; None for a volume that is not there."""
    return [disks.volume_row(scene, volume) for volume in spec.volumes]


def keys_for(scene: Scene, spec: VmSpec) -> tuple[str, ...]:
    """The rows that a decision about the VM rests on."""
    return tuple(disk_key(row.id) for row in rows_for(scene, spec) if row is not None)


def why_waits(scene: Scene, spec: VmSpec) -> str:
    """Why no node at all may start it now; empty if one may."""
    for volume, row in zip(spec.volumes, rows_for(scene, spec), strict=True):
        if row is None:
            return f"there is no shared volume {volume}, where it has files"
        if row.maintenance:
            return f"{volume}, where it has files, is in maintenance mode"
        if out := fences.departed(scene, row):
            names = ", ".join(life.incarnation for life in out)
            return f"{names} may still write to {volume}, and no node has removed that yet"
        if not row.is_served and not vm_disks.is_private(row):
            why = f": {row.reason}" if row.reason else ""
            return f"{volume}, where it has files, has no owner{why}"
    return ""


def may_start(scene: Scene, spec: VmSpec) -> bool:
    """Nobody who is out can write where its files are, and each shared volume has an owner."""
    return not spec.volumes or not why_waits(scene, spec)


def is_reached(scene: Scene, node: NodeName, spec: VmSpec) -> bool:
    """`node` says that it reaches every volume of the VM, at the owner of this very epoch; a disk
    of the VM's own group it could own.
    """
    agent = scene.agents.at(node)
    for row in rows_for(scene, spec):
        if row is not None and vm_disks.is_private(row):
            if not any(able == node for _, _, able in disks.candidates(scene, row)):
                return False
            continue
        access = None if row is None else disks.access_of(agent, row.id)
        if row is None or agent is None or access is None or access.epoch != row.epoch:
            return False
        if access.access is VolumeAccess.DIRECT and not disks.reaches(agent, row):
            return False
        if access.access not in USABLE or access.is_read_only:
            return False
    return True


def may_run(scene: Scene, node: NodeName, spec: VmSpec) -> bool:
    """It may be started on `node` now, as far as storage is concerned."""
    return not spec.volumes or (may_start(scene, spec) and is_reached(scene, node, spec))
