"""What a disk holds, before anybody has mounted it."""

import uuid
from dataclasses import dataclass

from agent.disks.witness_area import is_witness
from agent.io.disks.mount import blocks_of, carry_out, read_blocks
from agent.volumes.device import BlockDevice
from agent.volumes.errors import DiskError, ForeignContent, NotMountable
from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.formatting import format_volume
from agent.volumes.layout import HEAD_BLOCKS, read_superblock
from protocol.disks import DiskContent
from protocol.names import Epoch


@dataclass(frozen=True, slots=True)
class Content:
    """As the first and last blocks tell it."""

    kind: DiskContent = DiskContent.UNKNOWN
    label: str = ""
    epoch: Epoch = Epoch(0)
    reason: str = ""

    @property
    def is_ours(self) -> bool:
        return self.kind is DiskContent.OURS


async def content_of(device: BlockDevice) -> Content:
    """Raises nothing: what cannot be read is unknown."""
    blocks = blocks_of(device)
    if BLOCK_BYTES % device.block_bytes:
        odd = f"A disk with blocks of {device.block_bytes} bytes carries no volume."
        return Content(DiskContent.FOREIGN, reason=odd)
    if blocks <= HEAD_BLOCKS:
        return Content(DiskContent.FOREIGN, reason="It is too small for a volume.")
    try:
        head = await read_blocks(device, 0, HEAD_BLOCKS)
        tail = await read_blocks(device, blocks - 1, 1)
    except DiskError as error:
        return Content(reason=error.sentence)
    if not any(head) and not any(tail):
        return Content(DiskContent.BLANK)
    if is_witness(head):
        return Content(DiskContent.WITNESS)
    try:
        superblock = read_superblock(head, blocks)
    except ForeignContent as error:
        return Content(DiskContent.FOREIGN, reason=error.sentence)
    except NotMountable as error:
        return Content(DiskContent.DAMAGED, reason=error.sentence)
    return Content(DiskContent.OURS, superblock.label, Epoch(superblock.epoch))


async def format_disk(device: BlockDevice, label: str, epoch: Epoch, force: bool) -> None:
    """An empty volume. Nothing is done if that one is there: its answer was lost."""
    content = await content_of(device)
    if content.is_ours and content.label == label:
        return
    if BLOCK_BYTES % device.block_bytes:
        raise NotMountable(content.reason)
    head = await read_blocks(device, 0, HEAD_BLOCKS)
    new = uuid.uuid4().bytes
    made = format_volume(head, blocks_of(device), new, label, int(epoch), force)
    await carry_out(device, made)
