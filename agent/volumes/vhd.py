"""The footer of a fixed virtual hard disk: the last 512 bytes of its file, behind the data."""

import struct
from dataclasses import dataclass

from agent.volumes.errors import BadRange, Damaged

FOOTER_BYTES = 512
SECTOR_BYTES = 512
COOKIE = b"conectix"
FIXED = 2
EPOCH_S = 946_684_800
"""Time in a footer counts from the year 2000 on."""

SIZE_BYTES_MAX = 2040 << 30
"""The field's own limit for a disk of this format."""

_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB")
_CHECKSUM_AT = 64


@dataclass(frozen=True, slots=True)
class VhdFooter:
    size_bytes: int
    uuid: bytes
    created_s: int
    cylinders: int
    heads: int
    sectors: int


def geometry(size_bytes: int) -> tuple[int, int, int]:
    """Cylinders, heads and sectors as the format prescribes; never more than the disk has."""
    total = min(size_bytes // SECTOR_BYTES, 65535 * 16 * 255)
    if total >= 65535 * 16 * 63:
        sectors, heads = 255, 16
        return total // sectors // heads, heads, sectors
    sectors = 17
    tracks = total // sectors
    heads = max(4, (tracks + 1023) // 1024)
    if tracks >= heads * 1024 or heads > 16:
        sectors, heads = 31, 16
        tracks = total // sectors
    if tracks >= heads * 1024:
        sectors, heads = 63, 16
        tracks = total // sectors
    return tracks // heads, heads, sectors


def footer(size_bytes: int, uuid: bytes, created_s: float) -> bytes:
    """`size_bytes` is that of the disk in the file; the file itself is 512 bytes longer."""
    if size_bytes <= 0 or size_bytes % SECTOR_BYTES or size_bytes > SIZE_BYTES_MAX:
        raise BadRange(
            f"a virtual disk has whole sectors of {SECTOR_BYTES} bytes, from 1 up to"
            f" {SIZE_BYTES_MAX} bytes in all, not {size_bytes}"
        )
    content = bytearray(
        _FOOTER.pack(
            *(COOKIE, 2, 0x00010000, 0xFFFFFFFFFFFFFFFF),
            *(max(0, min(int(created_s) - EPOCH_S, 0xFFFFFFFF)), b"hvlb", 0x00010000, b"Wi2k"),
            *(size_bytes, size_bytes, *geometry(size_bytes), FIXED, 0, uuid, 0),
        ).ljust(FOOTER_BYTES, b"\0")
    )
    struct.pack_into(">I", content, _CHECKSUM_AT, _checksum(content))
    return bytes(content)


def parse(content: bytes) -> VhdFooter:
    """Raises `Damaged` for anything but a whole footer of a fixed disk."""
    if len(content) != FOOTER_BYTES or not content.startswith(COOKIE):
        raise Damaged("the file does not end with the footer of a virtual disk")
    fields = _FOOTER.unpack_from(content)
    _, _, _, _, created, _, _, _, _, size_bytes, *shape, kind, checksum, uuid, _ = fields
    if checksum != _checksum(content):
        raise Damaged("the footer of the virtual disk is broken: its checksum does not fit")
    if kind != FIXED:
        raise Damaged(f"the virtual disk is of kind {kind}, and only fixed ones (2) are known")
    cylinders, heads, sectors = shape
    return VhdFooter(size_bytes, uuid, created + EPOCH_S, cylinders, heads, sectors)


def _checksum(content: bytes | bytearray) -> int:
    """The complement of the sum of all bytes but the checksum's own."""
    own = sum(content[_CHECKSUM_AT : _CHECKSUM_AT + 4])
    return ~(sum(content) - own) & 0xFFFFFFFF
