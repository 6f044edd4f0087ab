"""How a command ends at once, or what must be done before it may end."""

from dataclasses import dataclass

from protocol.iscsi.digests import Buffer
from protocol.scsi.errors import IllegalRequest
from protocol.scsi.sense import Sense
from protocol.scsi.status import Status
from san.medium import Deed


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a command; `sense` is set with CHECK CONDITION only."""

    status: Status
    data: Buffer = b""
    sense: Sense | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """Deeds to be done one after the other; when all are, `answer` is sent."""

    deeds: tuple[Deed, ...]
    answer: Answer


def check_condition(sense: Sense) -> Answer:
    return Answer(Status.CHECK_CONDITION, sense=sense)


def refusal(error: IllegalRequest) -> Answer:
    """To a command block that cannot be understood."""
    return check_condition(error.sense)
