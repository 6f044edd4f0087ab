"""What is wrong with SCSI bytes, seen from the target and seen from the initiator."""

from typing import TYPE_CHECKING

from protocol.errors import ClusterError, ProtocolError

if TYPE_CHECKING:
    from protocol.scsi.sense import Sense


class IllegalRequest(ClusterError):
    """The command or its parameters break a rule; nothing was done, and `sense` says why."""

    definite = True

    def __init__(self, sense: "Sense", sentence: str) -> None:
        super().__init__(sentence)
        self.sense = sense


class ReservationConflict(ClusterError):
    """A persistent reservation, or a key that does not fit, forbids this nexus the command."""

    definite = True


class BadResponse(ProtocolError):
    """What a target answered is no answer to the command."""
