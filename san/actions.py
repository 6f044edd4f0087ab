"""What the target wants done."""

from dataclasses import dataclass
from typing import TypeAlias

from protocol.iscsi.pdus import Pdu
from protocol.iscsi.responses import DataIn
from san.medium import Deed
from san.nexus import Nexus


@dataclass(frozen=True, slots=True)
class Send:
    connection: int
    pdu: Pdu


@dataclass(frozen=True, slots=True)
class SendData:
    """Neighbouring pieces of one read, to leave in one write."""

    connection: int
    pdus: tuple[DataIn, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """The full feature phase: everything after what was sent so far has these digests."""

    connection: int
    header_digest: bool
    data_digest: bool
    receive_bytes_max: int


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection once everything before has left."""

    connection: int
    reason: str


@dataclass(frozen=True, slots=True)
class CarryOut:
    """Do this with the medium and say how it went, even if whoever asked for it is gone."""

    work: int
    connection: int
    lun: int
    deed: Deed
    nexus: Nexus


@dataclass(frozen=True, slots=True)
class Tell:
    """A line for people: `what` in kebab-case."""

    what: str
    about: tuple[tuple[str, object], ...]


Action: TypeAlias = Send | SendData | Begin | Close | CarryOut | Tell
