"""Persistent reservations on the wire: what is asked, and what is answered (SPC-4, 6.15, 6.16)."""

import enum
import struct
from dataclasses import dataclass

from protocol.scsi.errors import BadResponse, IllegalRequest
from protocol.scsi.sense import INVALID_FIELD_IN_PARAMETERS, PARAMETER_LIST_LENGTH

OUT_BYTES = 24
SPECIFY_PORTS, ALL_PORTS, PERSISTS = 0x08, 0x04, 0x01
ISCSI_PORT = 0x45
"""A transport id that names an iSCSI initiator port: format 01b, protocol 5."""

TRANSPORT_ID_BYTES_MIN = 24
CAPABILITY_BYTES = 8
TYPES_KNOWN = 0xEA01
"""One bit for each type of reservation, as REPORT CAPABILITIES shows them."""


class InAction(enum.IntEnum):
    """What PERSISTENT RESERVE IN asks for."""

    READ_KEYS = 0
    READ_RESERVATION = 1
    REPORT_CAPABILITIES = 2
    READ_FULL_STATUS = 3


class OutAction(enum.IntEnum):
    """What PERSISTENT RESERVE OUT wants done."""

    REGISTER = 0
    RESERVE = 1
    RELEASE = 2
    CLEAR = 3
    PREEMPT = 4
    PREEMPT_AND_ABORT = 5
    REGISTER_AND_IGNORE = 6


class Kind(enum.IntEnum):
    """Types of reservation. A cluster's disks are held with WRITE_REGISTRANTS."""

    WRITE_EXCLUSIVE = 1
    EXCLUSIVE_ACCESS = 3
    WRITE_REGISTRANTS = 5
    ACCESS_REGISTRANTS = 6
    WRITE_ALL_REGISTRANTS = 7
    ACCESS_ALL_REGISTRANTS = 8

    @property
    def held_by_all(self) -> bool:
        """Every registrant is its holder."""
        return self in (Kind.WRITE_ALL_REGISTRANTS, Kind.ACCESS_ALL_REGISTRANTS)

    @property
    def for_registrants(self) -> bool:
        """Whoever is registered may do what the holder may."""
        return self >= Kind.WRITE_REGISTRANTS

    @property
    def guards_reads(self) -> bool:
        """Those without access may not even read."""
        return self in (
            Kind.EXCLUSIVE_ACCESS,
            Kind.ACCESS_REGISTRANTS,
            Kind.ACCESS_ALL_REGISTRANTS,
        )


@dataclass(frozen=True, slots=True)
class OutParameters:
    """What is sent along with PERSISTENT RESERVE OUT; a key of 0 is no key."""

    key: int = 0
    action_key: int = 0
    persists: bool = True
    all_ports: bool = False
    ports: tuple[str, ...] | None = None

    def write(self) -> bytes:
        listed = self.ports is not None
        flags = listed * SPECIFY_PORTS | self.all_ports * ALL_PORTS | self.persists * PERSISTS
        head = struct.pack(">QQ4xBxxx", self.key, self.action_key, flags)
        if self.ports is None:
            return head
        ids = b"".join(write_transport_id(port) for port in self.ports)
        return head + struct.pack(">I", len(ids)) + ids

    @classmethod
    def read(cls, data: bytes) -> "OutParameters":
        if len(data) < OUT_BYTES:
            raise _short(len(data))
        key, action_key, flags = struct.unpack_from(">QQ4xB", data)
        ports = None
        if flags & SPECIFY_PORTS:
            ports = _read_ports(data)
        elif len(data) != OUT_BYTES:
            raise _short(len(data))
        return cls(key, action_key, bool(flags & PERSISTS), bool(flags & ALL_PORTS), ports)


def _short(length: int) -> IllegalRequest:
    return IllegalRequest(
        PARAMETER_LIST_LENGTH,
        f"The parameters have {length} bytes, and without a list of ports must have {OUT_BYTES}.",
    )


def _bad_port(sentence: str) -> IllegalRequest:
    return IllegalRequest(INVALID_FIELD_IN_PARAMETERS, sentence)


def _read_ports(data: bytes) -> tuple[str, ...]:
    if len(data) < OUT_BYTES + 4:
        raise _short(len(data))
    (announced,) = struct.unpack_from(">I", data, OUT_BYTES)
    rest = data[OUT_BYTES + 4 :]
    if announced != len(rest):
        raise IllegalRequest(
            PARAMETER_LIST_LENGTH, f"{announced} bytes of ports are announced, {len(rest)} came."
        )
    ports = []
    while rest:
        try:
            port, length = read_transport_id(rest)
        except BadResponse as error:
            raise _bad_port(error.sentence) from None
        ports.append(port)
        rest = rest[length:]
    return tuple(ports)


def write_transport_id(port: str) -> bytes:
    """Of an iSCSI initiator port, `name,i,0xISID`: padded with zeros to a multiple of four."""
    text = port.encode() + b"\0"
    text = text.ljust(max(20, -(-len(text) // 4) * 4), b"\0")
    return bytes([ISCSI_PORT, 0, *len(text).to_bytes(2, "big")]) + text


def read_transport_id(data: bytes) -> tuple[str, int]:
    """The first port in these bytes, and how many of them it takes."""
    if len(data) < TRANSPORT_ID_BYTES_MIN:
        raise BadResponse(f"A transport id has {TRANSPORT_ID_BYTES_MIN} bytes, not {len(data)}.")
    if data[0] != ISCSI_PORT:
        raise BadResponse(f"The transport id {data[0]:02x}h names no iSCSI initiator port.")
    length = 4 + int.from_bytes(data[2:4], "big")
    text, end, _ = data[4:length].partition(b"\0")
    if length < TRANSPORT_ID_BYTES_MIN or length % 4 or length > len(data) or not end:
        raise BadResponse("The name in a transport id does not end within it.")
    try:
        return text.decode(), length
    except UnicodeDecodeError:
        raise BadResponse("The name in a transport id is not UTF-8.") from None


@dataclass(frozen=True, slots=True)
class Keys:
    """Every registration's key, in the order of registration; nexuses may share one."""

    generation: int
    keys: tuple[int, ...] = ()

    def write(self) -> bytes:
        body = struct.pack(f">{len(self.keys)}Q", *self.keys)
        return struct.pack(">II", self.generation, len(body)) + body

    @classmethod
    def read(cls, data: bytes) -> "Keys":
        generation, body = _read_head(data)
        return cls(generation, struct.unpack(f">{len(body) // 8}Q", body[: len(body) // 8 * 8]))


@dataclass(frozen=True, slots=True)
class Reservation:
    """The reservation, if there is one. One that all registrants hold shows the key 0."""

    generation: int
    key: int = 0
    kind: Kind | None = None

    def write(self) -> bytes:
        if self.kind is None:
            return struct.pack(">II", self.generation, 0)
        return struct.pack(">IIQ4xxBxx", self.generation, 16, self.key, self.kind)

    @classmethod
    def read(cls, data: bytes) -> "Reservation":
        generation, body = _read_head(data)
        if not body:
            return cls(generation)
        if len(body) < 16:
            raise BadResponse(f"A reservation is described by 16 bytes, not {len(body)}.")
        key, kind = struct.unpack_from(">Q4xxB", body)
        return cls(generation, key, _kind(kind))


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What of persistent reservations a unit knows, and whether they now outlive its power."""

    lists_ports: bool = True
    all_ports: bool = True
    can_persist: bool = True
    persists: bool = False

    def write(self) -> bytes:
        first = self.lists_ports << 3 | self.all_ports << 2 | self.can_persist
        second = 0x80 | self.persists
        return struct.pack(">HBBHxx", CAPABILITY_BYTES, first, second, TYPES_KNOWN)

    @classmethod
    def read(cls, data: bytes) -> "Capabilities":
        if len(data) < CAPABILITY_BYTES:
            raise BadResponse(f"Capabilities have {CAPABILITY_BYTES} bytes, not {len(data)}.")
        first, second = data[2], data[3]
        return cls(bool(first & 8), bool(first & 4), bool(first & 1), bool(second & 1))


@dataclass(frozen=True, slots=True)
class Registrant:
    """One registration of READ FULL STATUS; `kind` is set for a holder of the reservation."""

    key: int
    port: str
    target_port: int
    all_ports: bool = False
    kind: Kind | None = None

    def write(self) -> bytes:
        name = write_transport_id(self.port)
        flags = self.all_ports << 1 | (self.kind is not None)
        head = (self.key, flags, self.kind or 0, self.target_port, len(name))
        return struct.pack(">Q4xBB4xHI", *head) + name


@dataclass(frozen=True, slots=True)
class FullStatus:
    """All registrations with their ports."""

    generation: int
    registrants: tuple[Registrant, ...] = ()

    def write(self) -> bytes:
        body = b"".join(registrant.write() for registrant in self.registrants)
        return struct.pack(">II", self.generation, len(body)) + body

    @classmethod
    def read(cls, data: bytes) -> "FullStatus":
        generation, body = _read_head(data)
        found = []
        while body:
            if len(body) < 24:
                raise BadResponse("A registration in READ FULL STATUS ends before it is whole.")
            key, flags, kind, target_port, length = struct.unpack_from(">Q4xBB4xHI", body)
            port, _ = read_transport_id(body[24 : 24 + length])
            holds = _kind(kind) if flags & 1 else None
            found.append(Registrant(key, port, target_port, bool(flags & 2), holds))
            body = body[24 + length :]
        return cls(generation, tuple(found))


def _kind(octet: int) -> Kind:
    try:
        return Kind(octet & 0x0F)
    except ValueError:
        raise BadResponse(f"There is no type of reservation {octet & 0x0F}.") from None


def _read_head(data: bytes) -> tuple[int, bytes]:
    """The generation, and as much of the list as came: an initiator may have asked for less."""
    if len(data) < 8:
        raise BadResponse(f"The answer has {len(data)} bytes, and begins with 8.")
    generation, length = struct.unpack_from(">II", data)
    return generation, bytes(data[8 : 8 + length])
