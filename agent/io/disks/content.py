"""Reads what a disk holds before anybody has mounted it, and makes a volume there."""

import uuid

from agent.disks.content import Content, content_in, why_unfit
from agent.io.disks.mount import blocks_of, carry_out, read_blocks
from agent.volumes.device import BlockDevice
from agent.volumes.errors import DiskError, NotMountable
from agent.volumes.formatting import format_volume
from agent.volumes.layout import HEAD_BLOCKS
from protocol.disks import DiskContent
from protocol.names import Epoch


async def content_of(device: BlockDevice) -> Content:
    """Raises nothing: what cannot be read is unknown."""
    blocks = blocks_of(device)
    if unfit := why_unfit(device.block_bytes, blocks):
        return Content(DiskContent.FOREIGN, reason=unfit)
    try:
        head = await read_blocks(device, 0, HEAD_BLOCKS)
        tail = await read_blocks(device, blocks - 1, 1)
    except DiskError as error:
        return Content(reason=error.sentence)
    return content_in(head, tail, blocks)


async def format_disk(device: BlockDevice, label: str, epoch: Epoch, force: bool) -> None:
    """An empty volume. Nothing is done if that one is there: its answer was lost.

    Raises `VolumeError` if the disk stays as it is, `DiskError` if it failed on the way.
    """
    content = await content_of(device)
    if content.is_ours and content.label == label:
        return
    blocks = blocks_of(device)
    if unfit := why_unfit(device.block_bytes, blocks):
        raise NotMountable(unfit)
    head = await read_blocks(device, 0, HEAD_BLOCKS)
    new = uuid.uuid4().bytes
    made = format_volume(head, blocks, new, label, int(epoch), force)
    await carry_out(device, made)
