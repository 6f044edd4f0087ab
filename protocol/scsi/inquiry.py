"""Who a unit is: standard inquiry data and the pages of vital product data (SPC-4, SBC-3)."""

import struct
from dataclasses import dataclass

from protocol.scsi.errors import BadResponse

SUPPORTED, SERIAL, DESIGNATORS, LIMITS, CHARACTERISTICS, PROVISIONING = (
    0,
    0x80,
    0x83,
    0xB0,
    0xB1,
    0xB2,
)
PAGES = (SUPPORTED, SERIAL, DESIGNATORS, LIMITS, CHARACTERISTICS, PROVISIONING)
STANDARD_BYTES = 74
SPC4 = 6
NO_UNIT = 0x7F
"""Peripheral qualifier 3, type 1Fh: the target has nothing under this number."""
VERSIONS = (0x00A0, 0x0960, 0x0460, 0x04C0)
"""What the unit claims to follow: SAM-5, iSCSI, SPC-4, SBC-3."""
NAA, PORT_NUMBER, NAME = 3, 4, 8
NO_ROTATION = 1
LBPU, LBPWS, LBPWS10, LBPRZ = 0x80, 0x40, 0x20, 0x04
"""UNMAP and WRITE SAME of either form give blocks back, which then read as zeros (SBC-3)."""
THIN = 2


def _text(words: str, length: int) -> bytes:
    return words.encode("ascii", "replace")[:length].ljust(length)


def _words(data: bytes) -> str:
    return data.decode("ascii", "replace").rstrip(" \0")


@dataclass(frozen=True, slots=True)
class StandardInquiry:
    """Vendor, product and revision; `present` is False where the target has no such unit."""

    vendor: str = "HVLAB"
    product: str = "VIRTUAL DISK"
    revision: str = "1"
    present: bool = True

    def write(self) -> bytes:
        data = bytearray(STANDARD_BYTES)
        data[0] = 0 if self.present else NO_UNIT
        data[2], data[3], data[4] = SPC4, 0x12, STANDARD_BYTES - 5
        data[7] = 0x02
        data[8:36] = _text(self.vendor, 8) + _text(self.product, 16) + _text(self.revision, 4)
        data[58:66] = struct.pack(">4H", *VERSIONS)
        return bytes(data)

    @classmethod
    def read(cls, data: bytes) -> "StandardInquiry":
        if len(data) < 36:
            raise BadResponse(f"Standard inquiry data have at least 36 bytes, not {len(data)}.")
        vendor, product, revision = data[8:16], data[16:32], data[32:36]
        return cls(_words(vendor), _words(product), _words(revision), data[0] >> 5 == 0)


def write_page(page: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0, page, len(body)) + body


def read_page(page: int, data: bytes) -> bytes:
    """What the page says, without its head."""
    if len(data) < 4 or data[1] != page:
        raise BadResponse(f"The answer is not page {page:02x}h of vital product data.")
    return bytes(data[4 : 4 + int.from_bytes(data[2:4], "big")])


@dataclass(frozen=True, slots=True)
class SupportedPages:
    """Page 00: which pages there are."""

    pages: tuple[int, ...] = PAGES

    def write(self) -> bytes:
        return write_page(SUPPORTED, bytes(self.pages))

    @classmethod
    def read(cls, data: bytes) -> "SupportedPages":
        return cls(tuple(read_page(SUPPORTED, data)))


@dataclass(frozen=True, slots=True)
class SerialNumber:
    """Page 80."""

    serial: str

    def write(self) -> bytes:
        return write_page(SERIAL, self.serial.encode("ascii", "replace"))

    @classmethod
    def read(cls, data: bytes) -> "SerialNumber":
        return cls(_words(read_page(SERIAL, data)))


@dataclass(frozen=True, slots=True)
class Designators:
    """Page 83: the unit's id `naa` in hex, and through which port it was asked."""

    naa: str
    port: int | None = None
    port_name: str | None = None

    def write(self) -> bytes:
        body = _designator(0x01, NAA, bytes.fromhex(self.naa))
        if self.port is not None:
            body += _designator(0x51, 0x10 | PORT_NUMBER, struct.pack(">I", self.port))
        if self.port_name is not None:
            name = self.port_name.encode() + b"\0"
            padded = name.ljust(-(-len(name) // 4) * 4, b"\0")
            body += _designator(0x53, 0x90 | NAME, padded)
        return write_page(DESIGNATORS, body)

    @classmethod
    def read(cls, data: bytes) -> "Designators":
        rest = read_page(DESIGNATORS, data)
        naa, port, name = None, None, None
        while len(rest) >= 4:
            kind, body = rest[1], rest[4 : 4 + rest[3]]
            match kind & 0x3F:
                case 0x03:
                    naa = naa or body.hex()
                case 0x14:
                    port = int.from_bytes(body, "big")
                case 0x18:
                    name = _words(body)
            rest = rest[4 + rest[3] :]
        if naa is None:
            raise BadResponse("Page 83h gives the unit no NAA id, and disks are told apart by it.")
        return cls(naa, port, name)


def _designator(code: int, kind: int, body: bytes) -> bytes:
    """`code`: protocol and code set; `kind`: association and type."""
    valid = 0x80 if code & 0xF0 else 0
    return bytes([code, kind | valid, 0, len(body)]) + body


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """Page B0, in blocks; 0 sets no limit."""

    transfer_max: int = 0
    transfer_optimal: int = 0
    unmap_max: int = 0
    unmap_ranges_max: int = 0
    unmap_granularity: int = 0
    write_same_max: int = 0

    def write(self) -> bytes:
        body = bytearray(60)
        struct.pack_into(">II", body, 4, self.transfer_max, self.transfer_optimal)
        unmap = (self.unmap_max, self.unmap_ranges_max, self.unmap_granularity)
        struct.pack_into(">III", body, 16, *unmap)
        struct.pack_into(">Q", body, 32, self.write_same_max)
        return write_page(LIMITS, bytes(body))

    @classmethod
    def read(cls, data: bytes) -> "BlockLimits":
        body = read_page(LIMITS, data).ljust(60, b"\0")
        transfer = struct.unpack_from(">II", body, 4)
        unmap = struct.unpack_from(">III", body, 16)
        return cls(*transfer, *unmap, *struct.unpack_from(">Q", body, 32))


def characteristics() -> bytes:
    """Page B1: a unit that does not rotate."""
    return write_page(CHARACTERISTICS, struct.pack(">H58x", NO_ROTATION))


def provisioning() -> bytes:
    """Page B2: how blocks are given back, and that the unit is thin."""
    return write_page(PROVISIONING, bytes([0, LBPU | LBPWS | LBPWS10 | LBPRZ, THIN, 0]))
