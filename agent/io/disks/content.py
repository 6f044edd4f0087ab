"""What a disk holds, before anybody has mounted it."""

from dataclasses import dataclass

from agent.io.disks.mount import blocks_of, read_blocks
from agent.volumes.device import BlockDevice
from agent.volumes.errors import DiskError, ForeignContent, NotMountable
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
    if blocks <= HEAD_BLOCKS:
        return Content(DiskContent.FOREIGN, reason="It is too small for a volume.")
    try:
        head = await read_blocks(device, 0, HEAD_BLOCKS)
        tail = await read_blocks(device, blocks - 1, 1)
    except DiskError as error:
        return Content(reason=error.sentence)
    if not any(head) and not any(tail):
        return Content(DiskContent.BLANK)
    try:
        superblock = read_superblock(head, blocks)
    except ForeignContent as error:
        return Content(DiskContent.FOREIGN, reason=error.sentence)
    except NotMountable as error:
        return Content(DiskContent.DAMAGED, reason=error.sentence)
    return Content(DiskContent.OURS, superblock.label, Epoch(superblock.epoch))
