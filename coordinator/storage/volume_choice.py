"""Which shared volume a new VM is proposed, if nobody has named one."""

from dataclasses import replace

from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.storage import disks
from coordinator.store.disk_rows import DiskRow, DiskState
from protocol.names import VmSpec


def proposed(scene: Scene, spec: VmSpec) -> VmSpec | Declined:
    """`spec` with its files on the volume that has the most room; as it is where one is named, or
    the cluster has none.
    """
    if spec.volumes:
        return spec
    rows = [row for row in disks.ordered(scene) if disks.is_csv(row)]
    if not rows:
        return _without(spec)
    needed = sum(disk.size_bytes for disk in spec.disks)
    found = [(free_bytes(scene, row), -row.number, row.volume) for row in rows]
    free, _, volume = max(found)
    if free < max(needed, 1):
        names = ", ".join(row.volume for row in rows)
        sentence = (
            f"None of {names} is online with {needed} bytes free for the VM's files: wait, make"
            " room, name a volume, or keep the VM off shared storage (local)."
        )
        return Declined(409, "no-volume", sentence)
    there = tuple(replace(disk, volume=volume) for disk in spec.disks)
    return replace(spec, home=volume, disks=there)


def free_bytes(scene: Scene, row: DiskRow) -> int:
    """As its owner has it; nothing where a VM could not be made now."""
    if row.state is not DiskState.ONLINE or row.maintenance:
        return 0
    access = disks.access_of(scene.agents.living(row.owner, row.owner_incarnation), row.id)
    if access is None or access.epoch != row.epoch or access.is_read_only:
        return 0
    return access.free_bytes


def _without(spec: VmSpec) -> VmSpec | Declined:
    if not spec.disks:
        return spec
    sentence = (
        "A virtual disk is a file on a shared volume, and the cluster has none: add one first"
        " (`csv add`)."
    )
    return Declined(422, "disk-without-volume", sentence)
