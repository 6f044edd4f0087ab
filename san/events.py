"""What can happen to the target. `connection` is the number that the edge gave a connection."""

from dataclasses import dataclass
from typing import TypeAlias

from protocol.iscsi.digests import Buffer
from protocol.iscsi.errors import IscsiError
from protocol.iscsi.pdus import Pdu
from san.medium import Failure


@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """`challenge` is fresh randomness for CHAP, `address` how the initiator reached this portal."""

    connection: int
    address: str
    challenge: bytes


@dataclass(frozen=True, slots=True)
class PduArrived:
    connection: int
    pdu: Pdu


@dataclass(frozen=True, slots=True)
class BytesBroke:
    """What came is no iSCSI, or is damaged."""

    connection: int
    error: IscsiError


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    connection: int


@dataclass(frozen=True, slots=True)
class DeedDone:
    """The medium did it; `data` is what a reading deed found."""

    work: int
    data: Buffer | None = None


@dataclass(frozen=True, slots=True)
class DeedFailed:
    work: int
    failure: Failure
    block: int | None = None


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Time to look after the silent."""


Event: TypeAlias = (
    ConnectionOpened | PduArrived | BytesBroke | ConnectionLost | DeedDone | DeedFailed | TimePassed
)
