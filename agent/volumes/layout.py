"""Where things lie on the disk of a volume, and the superblock that says so."""

import struct
from dataclasses import dataclass, replace

from crc32c import crc32c

from agent.volumes.errors import BadName, Damaged, Deposed, DiskTooSmall, ForeignContent
from agent.volumes.extents import BLOCK_BYTES, Extent

HEAD_BLOCKS = 16
SUPERBLOCK_PLACES = (0, HEAD_BLOCKS - 1)
"""Two copies, so far apart that what overwrites the first sectors of a disk spares the second."""

MAGIC = b"HVLABVOL"
VERSION = 1
LABEL_BYTES_MAX = 64
MIB_BLOCKS = (1 << 20) // BLOCK_BYTES
DISK_BLOCKS_MIN = 16 * MIB_BLOCKS
JOURNAL_BLOCKS_MIN = 4

_FIELDS = struct.Struct(">8sII16s64sQIIQQ")
_CHECKSUM = struct.Struct(">I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Superblock:
    """All that must be known before anything else of a volume can be read."""

    uuid: bytes
    label: str
    blocks: int
    journal_blocks: int
    """Of each of the two mirrors."""

    slot_blocks: int
    """Of each of the two slots for checkpoints."""

    epoch: int = 0
    generation: int = 0
    """Raised whenever the superblock is written: the copy with the higher one counts."""

    @property
    def journals(self) -> tuple[int, int]:
        return HEAD_BLOCKS, HEAD_BLOCKS + self.journal_blocks

    @property
    def slots(self) -> tuple[int, int]:
        first = HEAD_BLOCKS + 2 * self.journal_blocks
        return first, first + self.slot_blocks

    @property
    def metadata(self) -> Extent:
        """Both journals and both slots: what a mount reads behind the head."""
        return Extent(HEAD_BLOCKS, 2 * (self.journal_blocks + self.slot_blocks))

    @property
    def data(self) -> Extent:
        return Extent(self.metadata.end, self.blocks - self.metadata.end)

    def to_bytes(self) -> bytes:
        fields = _FIELDS.pack(
            *(MAGIC, VERSION, BLOCK_BYTES, self.uuid, self.label.encode(), self.blocks),
            *(self.journal_blocks, self.slot_blocks, self.epoch, self.generation),
        )
        body = fields.ljust(BLOCK_BYTES - _CHECKSUM.size, b"\0")
        return body + _CHECKSUM.pack(crc32c(body))


def planned(blocks: int, uuid: bytes, label: str, epoch: int) -> Superblock:
    """How a disk of `blocks` is divided: about a thirtieth for metadata, never over 24 MiB."""
    if blocks < DISK_BLOCKS_MIN:
        raise DiskTooSmall(
            f"the disk has {blocks * BLOCK_BYTES} bytes, and a volume needs at least"
            f" {DISK_BLOCKS_MIN * BLOCK_BYTES}"
        )
    if len(label.encode()) > LABEL_BYTES_MAX or "\0" in label:
        raise BadName(f"the label {label!r} is not one of at most {LABEL_BYTES_MAX} bytes")
    share = blocks // 128
    return Superblock(
        uuid=uuid,
        label=label,
        blocks=blocks,
        journal_blocks=min(max(share, MIB_BLOCKS // 4), 4 * MIB_BLOCKS),
        slot_blocks=min(max(share, MIB_BLOCKS // 4), 8 * MIB_BLOCKS),
        epoch=epoch,
        generation=1,
    )


def parsed(block: bytes) -> Superblock | None:
    """The superblock in this block, or None if it is not a whole one of ours."""
    body, checksum = block[: -_CHECKSUM.size], block[-_CHECKSUM.size :]
    if not block.startswith(MAGIC) or _CHECKSUM.unpack(checksum) != (crc32c(body),):
        return None
    _, version, block_bytes, uuid, label, *numbers = _FIELDS.unpack_from(body)
    if version != VERSION or block_bytes != BLOCK_BYTES:
        raise Damaged(
            f"the volume is of version {version} with blocks of {block_bytes} bytes; this program"
            f" knows version {VERSION} with {BLOCK_BYTES}"
        )
    blocks, journal_blocks, slot_blocks, epoch, generation = numbers
    return Superblock(
        uuid=uuid,
        label=label.rstrip(b"\0").decode(errors="replace"),
        blocks=blocks,
        journal_blocks=journal_blocks,
        slot_blocks=slot_blocks,
        epoch=epoch,
        generation=generation,
    )


def copies(head: bytes) -> list[Superblock | None]:
    """Both copies, in the order of their places."""
    if len(head) < HEAD_BLOCKS * BLOCK_BYTES:
        raise DiskTooSmall(f"the disk has only {len(head)} bytes: too few for a volume")
    return [
        parsed(head[place * BLOCK_BYTES : (place + 1) * BLOCK_BYTES]) for place in SUPERBLOCK_PLACES
    ]


def read_superblock(head: bytes, blocks: int) -> Superblock:
    """The newest whole copy; `head` is the disk's first `HEAD_BLOCKS` blocks. Raises
    `ForeignContent`, `DiskTooSmall` or `Damaged`.
    """
    whole = [copy for copy in copies(head) if copy is not None]
    if not whole:
        if MAGIC in (head[place * BLOCK_BYTES :][: len(MAGIC)] for place in SUPERBLOCK_PLACES):
            raise Damaged("there was a volume on the disk, but neither superblock is whole")
        what = "something else than a volume" if any(head) else "nothing"
        raise ForeignContent(f"the disk holds {what}; format it before it is mounted")
    newest = max(whole, key=lambda copy: copy.generation)
    if newest.blocks > blocks:
        raise DiskTooSmall(
            f"the volume has {newest.blocks} blocks, and its disk only {blocks}:"
            " give the disk its size back"
        )
    if (
        newest.journal_blocks < JOURNAL_BLOCKS_MIN
        or not newest.slot_blocks
        or newest.data.blocks < 0
    ):
        raise Damaged(
            f"the superblock leaves {newest.journal_blocks} blocks for each journal and"
            f" {newest.slot_blocks} for each checkpoint of {newest.blocks} in all: no volume is"
            " divided so"
        )
    return newest


def refuse_if_deposed(superblock: Superblock, epoch: int) -> None:
    if superblock.epoch > epoch:
        raise Deposed(
            f"the disk was mounted under epoch {superblock.epoch}, and {epoch} is older:"
            " somebody else owns it now"
        )


def raised(superblock: Superblock, epoch: int) -> Superblock:
    return replace(superblock, epoch=epoch, generation=superblock.generation + 1)
