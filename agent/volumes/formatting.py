"""Make a volume on a disk, and never over something that nobody has agreed to lose."""

from agent.volumes import checkpoint, layout
from agent.volumes.directory import Metadata
from agent.volumes.errors import Damaged, ForeignContent
from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.journal import Journal
from agent.volumes.layout import SUPERBLOCK_PLACES, Superblock
from agent.volumes.transaction import Transaction, Write


def format_volume(
    head: bytes, blocks: int, uuid: bytes, label: str, epoch: int, force: bool = False
) -> Transaction:
    """`head`: the disk's first `HEAD_BLOCKS` blocks as they are now; `uuid` must be new.

    `force` agrees to lose what the disk holds, but not to take it from a newer owner. Raises
    `DiskTooSmall`, `BadName` for the label, `ForeignContent` or `Deposed`.
    """
    superblock = layout.planned(blocks, uuid, label, epoch)
    _refuse(head, epoch, force)
    return laid_out(superblock)


def laid_out(superblock: Superblock) -> Transaction:
    """An empty volume. The old superblocks go first and the new ones come last, so that a disk is
    never half of one volume and half of another."""
    assert len(superblock.uuid) == 16, "a uuid has 16 bytes"
    journal = Journal(superblock, 0, 0, 0)
    empty = checkpoint.encode(Metadata())
    slots = [journal.checkpoint(empty, superblock.epoch) for _ in superblock.slots]
    # Records of an older volume name its uuid, so the ring needs no zeros.
    return Transaction(
        (
            tuple(Write(place, bytes(BLOCK_BYTES)) for place in SUPERBLOCK_PLACES),
            tuple(slots),
            tuple(Write(place, superblock.to_bytes()) for place in SUPERBLOCK_PLACES),
        )
    )


def _refuse(head: bytes, epoch: int, force: bool) -> None:
    try:
        ours = [copy for copy in layout.copies(head) if copy is not None]
    except Damaged:
        ours = []  # of a version unknown here, so foreign
    for copy in ours:
        layout.refuse_if_deposed(copy, epoch)
    if force or not any(head):
        return
    if ours:
        raise ForeignContent(
            f"the disk holds the volume {ours[0].label!r} already: mount it, or format it with"
            " force and lose it"
        )
    raise ForeignContent(
        "the disk holds something that is not a volume: format it with force if that may be lost"
    )
