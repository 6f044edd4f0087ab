"""The journal: a ring of records, written twice, and checkpoints that let its beginning be
written over.

A record begins on a block of its own, so writing one can never tear an older one. It names the
one before it (sequence and checksum), so that what an earlier lap left in the ring is not taken
for its continuation. It lies in both mirrors before anything in it is answered: after that, one
broken block loses nothing. Of two checkpoints the older is written over, and the ring is kept
back to where the *older* one ends: if the newer turns out broken, the older and the ring give the
same.
"""

import struct
from dataclasses import dataclass

from crc32c import crc32c

from agent.volumes.extents import BLOCK_BYTES, blocks_for
from agent.volumes.layout import Superblock
from agent.volumes.transaction import Write

RECORD, SLOT = b"HVJR", b"HVCP"
_HEADER = struct.Struct(">4sI16sQQIII")
HEADER_BYTES = _HEADER.size
_CHECKSUM_AT = HEADER_BYTES - 4


@dataclass(frozen=True, slots=True)
class Frame:
    """A record, or a checkpoint: then `sequence` and `chain` are those of the last record in it,
    and `position` is where the ring goes on behind it."""

    sequence: int
    epoch: int
    chain: int
    position: int
    payload: bytes
    checksum: int = 0

    @property
    def blocks(self) -> int:
        return blocks_for(HEADER_BYTES + len(self.payload))


def packed(kind: bytes, uuid: bytes, frame: Frame) -> bytes:
    """As whole blocks, with the checksum over all but itself."""
    header = _HEADER.pack(
        *(kind, len(frame.payload), uuid, frame.sequence),
        *(frame.epoch, frame.chain, frame.position, 0),
    )[:_CHECKSUM_AT]
    checksum = crc32c(frame.payload, crc32c(header))
    content = header + checksum.to_bytes(4, "big") + frame.payload
    return content.ljust(frame.blocks * BLOCK_BYTES, b"\0")


def unpacked(kind: bytes, uuid: bytes, area: bytes, at: int, wraps: bool) -> Frame | None:
    """The frame at block `at` of `area`, or None if there is no whole one."""
    start = at * BLOCK_BYTES
    fields = area[start : start + HEADER_BYTES]
    if len(fields) < HEADER_BYTES or not fields.startswith(kind):
        return None
    _, length, whose, sequence, epoch, chain, position, checksum = _HEADER.unpack(fields)
    if whose != uuid or HEADER_BYTES + length > len(area):
        return None
    low, high = start + HEADER_BYTES, start + HEADER_BYTES + length
    if high > len(area) and not wraps:
        return None
    payload = bytes(area[low:high]) + bytes(area[: max(0, high - len(area))])
    if crc32c(payload, crc32c(fields[:_CHECKSUM_AT])) != checksum:
        return None
    return Frame(sequence, epoch, chain, position, payload, checksum)


class Journal:
    """Where the next record and the next checkpoint go. It holds no metadata itself."""

    def __init__(
        self, superblock: Superblock, sequence: int, chain: int, position: int, since: int = 0
    ) -> None:
        """`sequence` and `chain` (its checksum) are those of the newest record, `position` where
        the next one goes, `since` how many blocks of the ring lie behind the newest checkpoint."""
        self._superblock = superblock
        self.sequence = sequence
        self.chain = chain
        self.position = position
        self.since = since
        self.slot = 0
        """Where the next checkpoint goes."""

    @property
    def ring(self) -> int:
        return self._superblock.journal_blocks

    @property
    def payload_bytes_max(self) -> int:
        """What one record can hold: a quarter of the ring."""
        return max(1, self.ring // 4) * BLOCK_BYTES - HEADER_BYTES

    @property
    def checkpoint_bytes_max(self) -> int:
        return self._superblock.slot_blocks * BLOCK_BYTES - HEADER_BYTES

    @property
    def is_due(self) -> bool:
        """A checkpoint is wanted before the next record: two checkpoints then never have more
        than the whole ring behind them."""
        return self.since >= max(1, self.ring // 4)

    def record(self, payload: bytes, epoch: int) -> tuple[Write, ...]:
        """The next record, for both mirrors."""
        assert len(payload) <= self.payload_bytes_max, "one record never takes a whole lap"
        frame = Frame(self.sequence + 1, epoch, self.chain, 0, payload)
        content = packed(RECORD, self._superblock.uuid, frame)
        writes = self.placed(content, self.position)
        self.sequence = frame.sequence
        self.chain = int.from_bytes(content[_CHECKSUM_AT:HEADER_BYTES], "big")
        self.position = (self.position + frame.blocks) % self.ring
        self.since += frame.blocks
        return writes

    def placed(self, content: bytes, position: int) -> tuple[Write, ...]:
        """Where a record's bytes go in both mirrors, around the end of the ring too."""
        room = (self.ring - position) * BLOCK_BYTES
        head, tail = content[:room], content[room:]
        out = []
        for start in self._superblock.journals:
            out.append(Write(start + position, head))
            if tail:
                out.append(Write(start, tail))
        return tuple(out)

    def checkpoint(self, payload: bytes, epoch: int) -> Write:
        """Into the slot of the older one."""
        assert len(payload) <= self.checkpoint_bytes_max, "metadata is refused before it is as big"
        frame = Frame(self.sequence, epoch, self.chain, self.position, payload)
        write = Write(self._superblock.slots[self.slot], packed(SLOT, self._superblock.uuid, frame))
        self.slot = 1 - self.slot
        self.since = 0
        return write
