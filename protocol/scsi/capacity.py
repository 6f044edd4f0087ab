"""How large a unit is, and which units there are."""

import struct
from dataclasses import dataclass

from protocol.scsi.errors import BadResponse

LAST_LBA_MAX = 0xFFFFFFFF
GIVES_BACK, READS_ZEROS = 0x80, 0x40
"""LBPME and LBPRZ of READ CAPACITY (16)."""

LUN_MAX = 16383
"""The last one of flat space addressing (SAM-5)."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """`thin` units give blocks back and read them as zeros."""

    blocks: int
    block_bytes: int
    thin: bool = True
    physical_exponent: int = 0

    def write10(self) -> bytes:
        """What does not fit into 32 bits shows as the largest number: ask for 16 then."""
        return struct.pack(">II", min(self.blocks - 1, LAST_LBA_MAX), self.block_bytes)

    def write16(self) -> bytes:
        flags = GIVES_BACK | READS_ZEROS if self.thin else 0
        head = (self.blocks - 1, self.block_bytes, self.physical_exponent, flags)
        return struct.pack(">QIxBB17x", *head)

    @classmethod
    def read10(cls, data: bytes) -> "Capacity":
        if len(data) < 8:
            raise BadResponse(f"READ CAPACITY (10) answers with 8 bytes, not {len(data)}.")
        last, block_bytes = struct.unpack_from(">II", data)
        return cls._checked(last, block_bytes, False, 0)

    @classmethod
    def read16(cls, data: bytes) -> "Capacity":
        if len(data) < 12:
            raise BadResponse(f"READ CAPACITY (16) answers with 32 bytes, not {len(data)}.")
        last, block_bytes, exponent, flags = struct.unpack_from(">QIxBB", data.ljust(32, b"\0"))
        return cls._checked(last, block_bytes, bool(flags & GIVES_BACK), exponent & 0x0F)

    @classmethod
    def _checked(cls, last: int, block_bytes: int, thin: bool, exponent: int) -> "Capacity":
        if block_bytes < 256 or block_bytes & (block_bytes - 1):
            raise BadResponse(f"Blocks of {block_bytes} bytes are odd: a power of two is wanted.")
        return cls(last + 1, block_bytes, thin, exponent)


def write_luns(luns: tuple[int, ...]) -> bytes:
    return struct.pack(">I4x", 8 * len(luns)) + b"".join(write_lun(lun) for lun in luns)


def read_luns(data: bytes) -> tuple[int, ...]:
    """The single-level ones; those of another kind are left out. Raises `BadResponse`."""
    if len(data) < 8:
        raise BadResponse(f"REPORT LUNS answers with at least 8 bytes, not {len(data)}.")
    length = min(int.from_bytes(data[:4], "big"), len(data) - 8)
    found = (read_lun(data[at : at + 8]) for at in range(8, 8 + length - 7, 8))
    return tuple(lun for lun in found if lun is not None)


def write_lun(lun: int) -> bytes:
    """Single level: peripheral device addressing up to 255, flat space above."""
    assert 0 <= lun <= LUN_MAX, lun
    return struct.pack(">H6x", lun if lun < 256 else 0x4000 | lun)


def read_lun(data: bytes) -> int | None:
    """The number in eight bytes; None for an addressing that nobody here uses."""
    first = int.from_bytes(data[:2], "big")
    if any(data[2:8]):
        return None
    if first < 256:
        return first
    return first & LUN_MAX if first >> 14 == 1 else None
