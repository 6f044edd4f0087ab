"""Sense data: why a command failed, as a key, a code and a qualifier (SPC-4, 4.5)."""

import enum
from dataclasses import dataclass, replace

from protocol.scsi.errors import BadResponse

FIXED_BYTES = 18
FIXED_CURRENT, FIXED_DEFERRED = 0x70, 0x71
DESCRIPTOR_CURRENT, DESCRIPTOR_DEFERRED = 0x72, 0x73
INFORMATION_DESCRIPTOR, KEY_SPECIFIC_DESCRIPTOR = 0x00, 0x02


class SenseKey(enum.IntEnum):
    """The kind of failure; what a host does next depends on it."""

    NO_SENSE = 0x0
    RECOVERED_ERROR = 0x1
    NOT_READY = 0x2
    MEDIUM_ERROR = 0x3
    HARDWARE_ERROR = 0x4
    ILLEGAL_REQUEST = 0x5
    UNIT_ATTENTION = 0x6
    DATA_PROTECT = 0x7
    BLANK_CHECK = 0x8
    VENDOR_SPECIFIC = 0x9
    COPY_ABORTED = 0xA
    ABORTED_COMMAND = 0xB
    VOLUME_OVERFLOW = 0xD
    MISCOMPARE = 0xE
    COMPLETED = 0xF


@dataclass(frozen=True, slots=True)
class Sense:
    """One failure. `information` is mostly the block it happened at; `field` the offending byte."""

    key: SenseKey
    asc: int
    ascq: int
    information: int | None = None
    field: int | None = None
    in_cdb: bool = True
    deferred: bool = False

    @property
    def code(self) -> int:
        """Additional sense code and its qualifier as one number, as people write them: 0x2a05."""
        return self.asc << 8 | self.ascq

    @property
    def name(self) -> str:
        """In the standard's words where they are known here."""
        kind = self.key.name.lower().replace("_", " ")
        return f"{kind}: {NAMES.get(self.code, 'additional sense')} ({self.code:04x}h)"

    def at(self, information: int) -> "Sense":
        """The same, at this block."""
        return replace(self, information=information)


def _illegal(code: int) -> Sense:
    return Sense(SenseKey.ILLEGAL_REQUEST, code >> 8, code & 0xFF)


def _attention(code: int) -> Sense:
    return Sense(SenseKey.UNIT_ATTENTION, code >> 8, code & 0xFF)


NO_SENSE = Sense(SenseKey.NO_SENSE, 0, 0)

PARAMETER_LIST_LENGTH = _illegal(0x1A00)
INVALID_OPCODE = _illegal(0x2000)
LBA_OUT_OF_RANGE = _illegal(0x2100)
INVALID_FIELD_IN_CDB = _illegal(0x2400)
UNIT_NOT_SUPPORTED = _illegal(0x2500)
INVALID_FIELD_IN_PARAMETERS = _illegal(0x2600)
INVALID_RELEASE = _illegal(0x2604)
SAVING_NOT_SUPPORTED = _illegal(0x3900)
NO_REGISTRATION_RESOURCES = _illegal(0x5504)

POWER_ON = _attention(0x2900)
UNIT_RESET = _attention(0x2903)
NEXUS_LOSS = _attention(0x2907)
RESERVATIONS_PREEMPTED = _attention(0x2A03)
RESERVATIONS_RELEASED = _attention(0x2A04)
REGISTRATIONS_PREEMPTED = _attention(0x2A05)
COMMANDS_CLEARED = _attention(0x2F00)

UNREADABLE = Sense(SenseKey.MEDIUM_ERROR, 0x11, 0x00)
UNWRITABLE = Sense(SenseKey.MEDIUM_ERROR, 0x0C, 0x00)
WRITE_PROTECTED = Sense(SenseKey.DATA_PROTECT, 0x27, 0x00)
SPACE_EXHAUSTED = Sense(SenseKey.DATA_PROTECT, 0x27, 0x07)
NOT_READY = Sense(SenseKey.NOT_READY, 0x04, 0x00)
INTERNAL_FAILURE = Sense(SenseKey.HARDWARE_ERROR, 0x44, 0x00)
MISCOMPARE = Sense(SenseKey.MISCOMPARE, 0x1D, 0x00)
SERVICE_CRC_ERROR = Sense(SenseKey.ABORTED_COMMAND, 0x47, 0x05)

NAMES = {
    0x0000: "no additional sense information",
    0x0400: "logical unit not ready, cause not reportable",
    0x0C00: "write error",
    0x1100: "unrecovered read error",
    0x1A00: "parameter list length error",
    0x1D00: "miscompare during verify operation",
    0x2000: "invalid command operation code",
    0x2100: "logical block address out of range",
    0x2400: "invalid field in cdb",
    0x2500: "logical unit not supported",
    0x2600: "invalid field in parameter list",
    0x2604: "invalid release of persistent reservation",
    0x2700: "write protected",
    0x2707: "space allocation failed write protect",
    0x2900: "power on, reset, or bus device reset occurred",
    0x2901: "power on occurred",
    0x2902: "scsi bus reset occurred",
    0x2903: "bus device reset function occurred",
    0x2907: "i_t nexus loss occurred",
    0x2A01: "mode parameters changed",
    0x2A03: "reservations preempted",
    0x2A04: "reservations released",
    0x2A05: "registrations preempted",
    0x2A09: "capacity data has changed",
    0x2F00: "commands cleared by another initiator",
    0x3900: "saving parameters not supported",
    0x3A00: "medium not present",
    0x3F0E: "reported luns data has changed",
    0x4400: "internal target failure",
    0x4705: "protocol service crc error",
    0x4B00: "data phase error",
    0x5504: "insufficient registration resources",
}


def fixed(sense: Sense) -> bytes:
    """In the fixed format, which every host understands; it carries 32 bits of information."""
    data = bytearray(FIXED_BYTES)
    data[0] = FIXED_DEFERRED if sense.deferred else FIXED_CURRENT
    if sense.information is not None and sense.information < 1 << 32:
        data[0] |= 0x80
        data[3:7] = sense.information.to_bytes(4, "big")
    data[2] = sense.key
    data[7] = FIXED_BYTES - 8
    data[12], data[13] = sense.asc, sense.ascq
    data[15:18] = _key_specific(sense)
    return bytes(data)


def descriptor(sense: Sense) -> bytes:
    """In the descriptor format, with 64 bits of information."""
    tail = b""
    if sense.information is not None:
        tail += bytes([INFORMATION_DESCRIPTOR, 0x0A, 0x80, 0])
        tail += sense.information.to_bytes(8, "big")
    if sense.field is not None:
        tail += bytes([KEY_SPECIFIC_DESCRIPTOR, 6, 0, 0, *_key_specific(sense), 0])
    kind = DESCRIPTOR_DEFERRED if sense.deferred else DESCRIPTOR_CURRENT
    return bytes([kind, sense.key, sense.asc, sense.ascq, 0, 0, 0, len(tail)]) + tail


def _key_specific(sense: Sense) -> bytes:
    if sense.field is None:
        return bytes(3)
    return bytes([0x80 | (0x40 if sense.in_cdb else 0)]) + sense.field.to_bytes(2, "big")


def read_sense(data: bytes) -> Sense:
    """Either format; what a target cut off at the end counts as zero."""
    if not data:
        raise BadResponse("The sense data are empty, and must hold at least a response code.")
    match data[0] & 0x7F:
        case 0x70 | 0x71:
            return _read_fixed(data)
        case 0x72 | 0x73:
            return _read_descriptor(data)
        case kind:
            raise BadResponse(f"Sense data begin with {kind:02x}h, and may with 70h to 73h only.")


def _read_fixed(data: bytes) -> Sense:
    told = bool(data[0] & 0x80)
    deferred = data[0] & 0x7F == FIXED_DEFERRED
    whole = data[:FIXED_BYTES].ljust(FIXED_BYTES, b"\0")
    return Sense(
        key=_key(whole[2]),
        asc=whole[12],
        ascq=whole[13],
        information=int.from_bytes(whole[3:7], "big") if told else None,
        field=int.from_bytes(whole[16:18], "big") if whole[15] & 0x80 else None,
        in_cdb=not whole[15] & 0x80 or bool(whole[15] & 0x40),
        deferred=deferred,
    )


def _read_descriptor(data: bytes) -> Sense:
    head = data[:8].ljust(8, b"\0")
    sense = Sense(_key(head[1]), head[2], head[3], deferred=head[0] & 0x7F == DESCRIPTOR_DEFERRED)
    rest = data[8 : 8 + head[7]]
    while len(rest) >= 2:
        kind, body = rest[0], rest[2 : 2 + rest[1]]
        if kind == INFORMATION_DESCRIPTOR and len(body) >= 10 and body[0] & 0x80:
            sense = replace(sense, information=int.from_bytes(body[2:10], "big"))
        elif kind == KEY_SPECIFIC_DESCRIPTOR and len(body) >= 5 and body[2] & 0x80:
            field = int.from_bytes(body[3:5], "big")
            sense = replace(sense, field=field, in_cdb=bool(body[2] & 0x40))
        rest = rest[2 + rest[1] :]
    return sense


def _key(octet: int) -> SenseKey:
    """Of the low half of a byte; what no standard gives a meaning to counts as vendor specific."""
    try:
        return SenseKey(octet & 0x0F)
    except ValueError:
        return SenseKey.VENDOR_SPECIFIC
