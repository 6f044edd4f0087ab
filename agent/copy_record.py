"""A copy of the cluster database as a disk witness keeps it, and the port to where it lies.

For an agent it is bytes with a name. Of two copies the one with the higher term is newer, and of
two of one term that of the later revision; so who writes late writes an older one, and replaces
nothing.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from protocol.codec import PROTOCOL_VERSION
from protocol.names import ClusterId, Term
from protocol.shapes import Shapes


@dataclass(frozen=True, slots=True)
class CopyName:
    """Whose copy it is, under which leader it was made, and what revision the store had then."""

    cluster: ClusterId
    term: Term
    revision: int

    def __lt__(self, other: "CopyName") -> bool:
        return (self.term, self.revision) < (other.term, other.revision)


@dataclass(frozen=True, slots=True)
class DatabaseCopy:
    """All rows of the store but the event log, as the leader packed them."""

    name: CopyName
    content: bytes


class CopyPort(Protocol):
    """The place beside the witness's record. Every failure is an error of `protocol.errors`."""

    def keep(self, copy: DatabaseCopy) -> None:
        """Have it there for good. Where a newer one is already, that one stays."""

    def newest(self) -> DatabaseCopy | None:
        """The newest that is there; one that cannot be read is a failure, and not an older one."""


_NAME = Shapes(PROTOCOL_VERSION).of(CopyName)


def packed(name: CopyName) -> list[Any]:
    """The name as plain data."""
    plain: list[Any] = _NAME.pack(name)
    return plain


def unpacked(plain: Any) -> CopyName:
    """What `packed` made; `ProtocolError` if it is anything else."""
    name: CopyName = _NAME.unpack(plain)
    return name
