"""What a disk holds before anybody has mounted it, as its first and last blocks tell."""

from dataclasses import dataclass

from agent.disks.witness_area import is_witness
from agent.volumes.errors import ForeignContent, NotMountable
from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.layout import HEAD_BLOCKS, read_superblock
from protocol.disks import DiskContent
from protocol.names import Epoch


@dataclass(frozen=True, slots=True)
class Content:
    """Of one disk; label and epoch are those of a volume of ours."""

    kind: DiskContent = DiskContent.UNKNOWN
    label: str = ""
    epoch: Epoch = Epoch(0)
    reason: str = ""

    @property
    def is_ours(self) -> bool:
        return self.kind is DiskContent.OURS


def why_unfit(block_bytes: int, blocks: int) -> str:
    """Why no volume can lie on a disk with blocks of `block_bytes` that has room for `blocks` of
    the file system; empty if one can.
    """
    if BLOCK_BYTES % block_bytes:
        return f"A disk with blocks of {block_bytes} bytes carries no volume."
    return "" if blocks > HEAD_BLOCKS else "It is too small for a volume."


def content_in(head: bytes, tail: bytes, blocks: int) -> Content:
    """`head` is the first `HEAD_BLOCKS` blocks of the file system, `tail` the last of `blocks`."""
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
