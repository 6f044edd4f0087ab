"""Where on the disk the blocks of a file lie, and which of them were ever written.

A file's extents stand in the order of the file and cover it without a gap. An extent that is not
`written` reads as zeros, whatever lies on the disk: that is why a new file of 10 GiB costs one
record in the journal and shows nothing of the files that had its blocks before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agent.volumes.errors import BadRange

BLOCK_BYTES = 4096
"""The file system's block, whatever the disk's own block is."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Neighbouring blocks of the disk, counted in the file system's blocks."""

    start: int
    blocks: int
    written: bool = False

    @property
    def end(self) -> int:
        return self.start + self.blocks


@dataclass(frozen=True, slots=True)
class Run:
    """A part of a request that lies in one piece on the disk, in bytes."""

    disk_offset: int
    length_bytes: int
    written: bool


def blocks_for(size_bytes: int) -> int:
    return -(-size_bytes // BLOCK_BYTES)


def total_blocks(extents: Iterable[Extent]) -> int:
    return sum(extent.blocks for extent in extents)


def merged(extents: Iterable[Extent]) -> tuple[Extent, ...]:
    """The same blocks in as few extents as can be; the order stays."""
    out: list[Extent] = []
    for extent in extents:
        if extent.blocks == 0:
            continue
        if out and out[-1].end == extent.start and out[-1].written == extent.written:
            out[-1] = replace(out[-1], blocks=out[-1].blocks + extent.blocks)
        else:
            out.append(extent)
    return tuple(out)


def part(extents: Sequence[Extent], first: int, blocks: int) -> tuple[Extent, ...]:
    """Blocks `first` to `first + blocks` of the file; less if the file ends before."""
    out, at = [], 0
    last = first + blocks
    for extent in extents:
        low, high = max(first, at), min(last, at + extent.blocks)
        if low < high:
            out.append(Extent(extent.start + low - at, high - low, extent.written))
        at += extent.blocks
        if at >= last:
            break
    return tuple(out)


def with_written(extents: Sequence[Extent], first: int, blocks: int) -> tuple[Extent, ...]:
    """The same extents after blocks `first` to `first + blocks` were written."""
    middle = (replace(extent, written=True) for extent in part(extents, first, blocks))
    behind = first + blocks
    return merged(
        [
            *part(extents, 0, first),
            *middle,
            *part(extents, behind, max(0, total_blocks(extents) - behind)),
        ]
    )


def runs(extents: Sequence[Extent], offset: int, length_bytes: int) -> tuple[Run, ...]:
    """Where the bytes `offset` to `offset + length_bytes` of a file lie.

    What lies past the last extent is an error: the caller holds reads to the size of the file.
    """
    if offset < 0 or length_bytes < 0:
        raise BadRange(f"an offset of {offset} and a length of {length_bytes} make no range")
    out, at, last = [], 0, offset + length_bytes
    for extent in extents:
        high = at + extent.blocks * BLOCK_BYTES
        if high > offset and at < last:
            low, until = max(offset, at), min(last, high)
            disk = extent.start * BLOCK_BYTES + low - at
            out.append(Run(disk, until - low, extent.written))
        at = high
        if at >= last:
            break
    if at < last:
        raise BadRange(f"the file's blocks end at byte {at}, and byte {last} was asked for")
    return tuple(out)
