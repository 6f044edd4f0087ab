"""Whether a VM may have its files where it is asked for, and which nodes reach them."""

import re

from coordinator.requests import CreateVm, Declined
from coordinator.scene import Scene
from coordinator.storage import disks, leavings, needs
from protocol.names import NodeName, VmName, VmSpec

SECTOR_BYTES = 512
DISK_BYTES_MAX = 2040 * 1024**3
"""Of a VHD, as the format has it."""

PATH = re.compile(r"[A-Za-z0-9_.-]{1,64}(/[A-Za-z0-9_.-]{1,64}){0,7}")
PATH_CHARS_MAX = 255


def check_place(body: CreateVm) -> Declined | None:
    """Why its files cannot be in all the places that the words of the request name at once."""
    on_volume = bool(body.spec.home)
    if body.local and (body.spec.disks or on_volume):
        sentence = (
            "A VM with a volume or a virtual disk is on shared storage: leave these out, or local."
        )
        return Declined(422, "local-with-volume", sentence)
    if body.disk and (body.local or on_volume):
        sentence = "A VM's files are on a disk of its own or on a volume: name one of the two."
        return Declined(422, "disk-and-volume", sentence)
    return None


def check_volumes(scene: Scene, vm: VmName, spec: VmSpec, start: bool) -> Declined | None:
    """Why a VM cannot be created with these files."""
    for volume in spec.volumes:
        row = disks.volume_row(scene, volume)
        if row is None or not disks.is_csv(row):
            known = [r.volume for r in disks.ordered(scene) if disks.is_csv(r)]
            there = f"name one of {', '.join(known)}" if known else "add one first (`csv add`)"
            sentence = f"There is no shared volume {volume!r} (5945): {there}."
            return Declined(404, "unknown-volume", sentence)
    if refusal := check_files(scene, vm, spec):
        return refusal
    if refusal := leavings.check_none(scene, vm, spec):
        return refusal
    return _too_large(scene, spec) or (_check_start(scene, spec) if start else None)


def check_files(scene: Scene, vm: VmName, spec: VmSpec) -> Declined | None:
    """Why its virtual disks cannot have these paths and sizes, on whatever volume."""
    for disk in spec.disks:
        parts = disk.path.split("/")
        proper = PATH.fullmatch(disk.path) and len(disk.path) <= PATH_CHARS_MAX
        if not proper or any(part in (".", "..") for part in parts):
            sentence = (
                f"{disk.path[:80]!r} is no path on a volume (5950): write it without a slash in"
                " front, such as sql01/disk1.vhd, in letters, digits, hyphens, underscores, dots."
            )
            return Declined(422, "bad-path", sentence)
        if disk.size_bytes % SECTOR_BYTES or not 0 < disk.size_bytes <= DISK_BYTES_MAX:
            sentence = (
                f"A virtual disk cannot have {disk.size_bytes} bytes: it is a multiple of"
                f" {SECTOR_BYTES}, up to {DISK_BYTES_MAX}."
            )
            return Declined(422, "bad-disk-size", sentence)
        if owner := _taken(scene, vm, disk.volume, disk.path):
            sentence = f"{disk.volume}/{disk.path} belongs to VM {owner}: choose another path."
            return Declined(409, "file-exists", sentence)
    return None


def _too_large(scene: Scene, spec: VmSpec) -> Declined | None:
    """What could never be there. Whether it fits now is known only when its files are made."""
    for volume in spec.volumes:
        row = disks.volume_row(scene, volume)
        owner = None if row is None else scene.agents.living(row.owner, row.owner_incarnation)
        seen = None if row is None else disks.access_of(owner, row.id)
        wanted = sum(disk.size_bytes for disk in spec.disks if disk.volume == volume)
        if seen is not None and 0 < seen.size_bytes < wanted:
            sentence = (
                f"The VM wants {wanted} bytes of {volume}, which has {seen.size_bytes} in all:"
                " make its disks smaller, or name a larger volume."
            )
            return Declined(409, "volume-too-small", sentence)
    return None


def _taken(scene: Scene, vm: VmName, volume: str, path: str) -> str:
    for row in scene.book.vms.values():
        if row.name != vm and any((d.volume, d.path) == (volume, path) for d in row.spec.disks):
            return row.name
    return ""


def _check_start(scene: Scene, spec: VmSpec) -> Declined | None:
    if why := needs.why_waits(scene, spec):
        sentence = f"The VM cannot be started now: {why}. Wait, or create it with --off."
        return Declined(409, "volume-offline", sentence)
    return None


def without_volumes(scene: Scene, spec: VmSpec) -> set[NodeName]:
    """The nodes that do not reach all the volumes that the VM has files on."""
    if not spec.volumes:
        return set()
    return {node for node in scene.book.nodes if not needs.is_reached(scene, node, spec)}


def check_reached(scene: Scene, node: NodeName, spec: VmSpec) -> Declined | None:
    """Why the VM cannot go to `node`, as far as its files are concerned."""
    if not spec.volumes or needs.is_reached(scene, node, spec):
        return None
    sentence = (
        f"Node {node} does not reach {', '.join(spec.volumes)} (5142), where the VM has files:"
        " choose a node that does, or look at its paths to the storage."
    )
    return Declined(409, "volume-not-reached", sentence)
