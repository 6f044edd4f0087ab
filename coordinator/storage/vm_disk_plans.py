"""A VM that is created on a disk of Available Storage: the disk becomes part of its group."""

from dataclasses import replace

from coordinator.groups.placement import best_node, free_bytes
from coordinator.migration import admission
from coordinator.requests import CreateVm, Declined
from coordinator.scene import Scene
from coordinator.storage import disks, fences
from coordinator.storage.disk_plans import busy, not_available_storage
from coordinator.storage.disk_states import moved
from coordinator.storage.vm_files import check_files
from coordinator.storage.volume_plans import content_of, new_label, unfit
from coordinator.store.disk_rows import DiskRow, DiskState
from protocol.disks import DiskContent, DiskRole
from protocol.names import NodeName, VmSpec, VolumeName

SPARE_BYTES = 8 * 1024 * 1024
"""Of a disk that is not for virtual disks: journal, tables, and the VM's configuration."""


def wanted_disk(scene: Scene, body: CreateVm) -> DiskRow | Declined:
    """The disk that the VM is to have, as it is now."""
    row = disks.by_name(scene, body.disk)
    if row is None:
        return disks.unknown_disk(body.disk)
    if row.role is not DiskRole.AVAILABLE:
        return not_available_storage(row)
    if row.state is not DiskState.ONLINE or row.maintenance or not fences.may_move(scene, row):
        return busy(row)
    spec = on_disk(body.spec, row)
    if refusal := unfit(scene, row, force=False) or check_files(scene, body.vm, spec):
        return refusal
    needed = sum(disk.size_bytes for disk in body.spec.disks) + SPARE_BYTES
    if needed > row.size_bytes:
        sentence = (
            f"{row.name} has {row.size_bytes} bytes, and the virtual disks with what is beside them"
            f" need {needed}: make them smaller, or take a larger LUN."
        )
        return Declined(409, "disk-too-small", sentence)
    return row


def on_disk(spec: VmSpec, row: DiskRow) -> VmSpec:
    """`spec` with all its files on the disk, which goes by its own name among volumes."""
    volume = VolumeName(row.name)
    placed = tuple(replace(disk, volume=volume) for disk in spec.disks)
    return replace(spec, disks=placed, home=volume)


def in_group(scene: Scene, row: DiskRow, node: NodeName) -> DiskRow:
    """`row` as a part of a VM's group, on its way to `node`, which formats it if it is blank."""
    formats = content_of(scene, row) is DiskContent.BLANK
    taken = moved(row, "remount" if row.owner == node else "move")
    assert taken is not None, row.state
    return replace(
        taken,
        role=DiskRole.VM,
        volume=VolumeName(row.name),
        format_as=new_label(scene, row) if formats else "",
        overwrite=False,
        redirected=False,
        move_to=None,
    )


def node_for(scene: Scene, body: CreateVm, row: DiskRow) -> NodeName | Declined:
    """The node that the operator named or that placement finds, of those that reach the disk."""
    size = body.spec.memory_bytes
    able = {node for _, _, node in disks.candidates(scene, row)}
    if body.node is None:
        away = set(scene.book.nodes) - able
        return best_node(scene, size, away) or admission.no_room(scene, size)
    if refusal := admission.check_receiving(scene, body.node):
        return refusal
    if body.node not in able:
        sentence = (
            f"Node {body.node} does not reach {row.name}, which VM {body.vm} is to have: choose a"
            " node that does, or look at its paths to the storage."
        )
        return Declined(409, "disk-not-reached", sentence)
    if free_bytes(scene, body.node) < size:
        return admission.too_little(scene, body.node, size)
    return body.node
