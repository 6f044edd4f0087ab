"""Where a session with a target stands, how long silence is borne, what else it may be asked."""

import enum
from dataclasses import dataclass
from typing import Any

from protocol.iscsi.responses import TaskManagementResponse, TextResponse


class Phase(enum.Enum):
    """Where a session stands."""

    LOGIN = "it is asked who we are"
    FULL = "commands are taken"
    LEAVING = "it was asked to end"
    ENDED = "it is over"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long silence is borne."""

    login_s: float = 5.0
    quiet_s: float = 2.0
    """Without a sign of the target for so long, it is asked for one."""

    answer_s: float = 3.0
    """So long it may take to answer a ping, before the connection counts as dead."""

    command_s: float = 60.0
    """So long a command may take while pings are answered."""


@dataclass(slots=True, eq=False)
class Request:
    """Something asked of the target that is no SCSI command: its answer is a PDU."""

    waiter: Any = None
    answer: TaskManagementResponse | TextResponse | None = None
