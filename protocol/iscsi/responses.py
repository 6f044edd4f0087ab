"""What a target sends: one class for each PDU, and its header as 48 bytes.

`stat_sn`, `exp_cmd_sn` and `max_cmd_sn` stand in each of them: what the target has answered, and
the window of commands that it takes.
"""

import enum
from dataclasses import dataclass

from protocol.iscsi.digests import Buffer
from protocol.iscsi.requests import FINAL, NO_TAG, WORDS

_OVERFLOW = 0x04
_UNDERFLOW = 0x02


class TaskAnswer(enum.IntEnum):
    """How a task management request ended."""

    DONE = 0
    NO_TASK = 1
    NO_LUN = 2
    STILL_ALLEGIANT = 3
    NOT_SUPPORTED = 5
    NOT_AUTHORISED = 6
    REJECTED = 255


class LogoutAnswer(enum.IntEnum):
    """How a logout ended; to recover connections takes an error recovery level above 0."""

    DONE = 0
    NO_CONNECTION = 1
    NO_RECOVERY = 2


class RejectReason(enum.IntEnum):
    DATA_DIGEST = 0x02
    SNACK = 0x03
    PROTOCOL_ERROR = 0x04
    NOT_SUPPORTED = 0x05
    IMMEDIATE_REJECT = 0x06
    TASK_IN_PROGRESS = 0x07
    INVALID_FIELD = 0x09
    NEGOTIATION_RESET = 0x0B


class AsyncEvent(enum.IntEnum):
    SCSI = 0
    LOGOUT_WANTED = 1
    CONNECTION_DROPS = 2
    SESSION_DROPS = 3
    NEGOTIATE = 4


class LoginStatus(enum.IntEnum):
    """Class and detail of a login's answer, as one number."""

    SUCCESS = 0x0000
    INITIATOR_ERROR = 0x0200
    AUTHENTICATION_FAILED = 0x0201
    FORBIDDEN = 0x0202
    NOT_FOUND = 0x0203
    UNSUPPORTED_VERSION = 0x0205
    TOO_MANY_CONNECTIONS = 0x0206
    MISSING_PARAMETER = 0x0207
    CANNOT_INCLUDE = 0x0208
    SESSION_TYPE = 0x0209
    NO_SESSION = 0x020A
    INVALID_DURING_LOGIN = 0x020B
    TARGET_ERROR = 0x0300
    UNAVAILABLE = 0x0301
    OUT_OF_RESOURCES = 0x0302


@dataclass(frozen=True, slots=True)
class NopIn:
    """The answer to a ping, or a ping of the target's own (then with a transfer tag)."""

    task_tag: int
    transfer_tag: int
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    lun: int = 0
    data: Buffer = b""

    def header(self) -> bytes:
        words = (self.transfer_tag, self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn, 0, 0, 0)
        return WORDS.pack(0x20, FINAL, 0, 0, len(self.data), self.lun, self.task_tag, *words)


@dataclass(frozen=True, slots=True)
class ScsiResponse:
    """The end of a command. A positive `residual` is an overflow, a negative one an underflow."""

    task_tag: int
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    status: int
    response: int = 0
    exp_data_sn: int = 0
    residual: int = 0
    sense: bytes = b""
    data: Buffer = b""
    """The segment as it travels; a receiver finds `sense` cut out of it."""

    def segment(self) -> Buffer:
        if not self.sense:
            return self.data
        return len(self.sense).to_bytes(2, "big") + self.sense

    def header(self) -> bytes:
        flags, count = _residual(self.residual)
        length = len(self.sense) + 2 if self.sense else len(self.data)
        sn = (self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn, self.exp_data_sn)
        first = (0x21, FINAL | flags, self.response, self.status, length, 0)
        return WORDS.pack(*first, self.task_tag, 0, *sn, 0, count)


@dataclass(frozen=True, slots=True)
class TaskManagementResponse:
    task_tag: int
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    response: int
    data: Buffer = b""

    def header(self) -> bytes:
        words = (0, self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn, 0, 0, 0)
        return WORDS.pack(0x22, FINAL, self.response, 0, len(self.data), 0, self.task_tag, *words)


@dataclass(frozen=True, slots=True)
class LoginResponse:
    isid: bytes
    tsih: int
    task_tag: int
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    csg: int
    nsg: int = 0
    transit: bool = False
    more: bool = False
    status: int = LoginStatus.SUCCESS
    version_max: int = 0
    version_active: int = 0
    data: Buffer = b""

    def header(self) -> bytes:
        flags = self.transit << 7 | self.more << 6 | self.csg << 2 | self.nsg
        session = int.from_bytes(self.isid, "big") << 16 | self.tsih
        versions, lengths = (self.version_max, self.version_active), len(self.data)
        sn = (self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn)
        last = (self.status << 16, 0, 0)
        return WORDS.pack(0x23, flags, *versions, lengths, session, self.task_tag, 0, *sn, *last)


@dataclass(frozen=True, slots=True)
class TextResponse:
    task_tag: int
    transfer_tag: int
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    lun: int = 0
    final: bool = True
    more: bool = False
    data: Buffer = b""

    def header(self) -> bytes:
        flags = self.final << 7 | self.more << 6
        words = (self.transfer_tag, self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn, 0, 0, 0)
        return WORDS.pack(0x24, flags, 0, 0, len(self.data), self.lun, self.task_tag, *words)


@dataclass(frozen=True, slots=True)
class DataIn:
    """Data of a read; the last one may carry a good status (`status` is None elsewhere)."""

    task_tag: int
    data_sn: int
    offset: int
    exp_cmd_sn: int
    max_cmd_sn: int
    final: bool
    stat_sn: int = 0
    status: int | None = None
    residual: int = 0
    lun: int = 0
    transfer_tag: int = NO_TAG
    acknowledge: bool = False
    data: Buffer = b""

    def header(self) -> bytes:
        flags, count = _residual(self.residual) if self.status is not None else (0, 0)
        flags |= self.final << 7 | self.acknowledge << 6 | (self.status is not None)
        first = (0x25, flags, 0, self.status or 0, len(self.data), self.lun, self.task_tag)
        sn = (self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn, self.data_sn)
        return WORDS.pack(*first, self.transfer_tag, *sn, self.offset, count)


@dataclass(frozen=True, slots=True)
class LogoutResponse:
    task_tag: int
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    response: int = LogoutAnswer.DONE
    time_to_wait_s: int = 0
    time_to_retain_s: int = 0
    data: Buffer = b""

    def header(self) -> bytes:
        times = self.time_to_wait_s << 16 | self.time_to_retain_s
        words = (0, self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn, 0, times, 0)
        return WORDS.pack(0x26, FINAL, self.response, 0, len(self.data), 0, self.task_tag, *words)


@dataclass(frozen=True, slots=True)
class R2T:
    """Ready to transfer: send `desired_bytes` of the write's data from `offset` on."""

    lun: int
    task_tag: int
    transfer_tag: int
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    r2t_sn: int
    offset: int
    desired_bytes: int
    data: Buffer = b""

    def header(self) -> bytes:
        words = (self.transfer_tag, self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn)
        last = (self.r2t_sn, self.offset, self.desired_bytes)
        lengths = len(self.data)
        return WORDS.pack(0x31, FINAL, 0, 0, lengths, self.lun, self.task_tag, *words, *last)


@dataclass(frozen=True, slots=True)
class AsyncMessage:
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    event: int
    lun: int = 0
    code: int = 0
    parameters: tuple[int, int, int] = (0, 0, 0)
    data: Buffer = b""

    def header(self) -> bytes:
        one, two, three = self.parameters
        words = (0, self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn)
        last = (self.event << 24 | self.code << 16 | one, two << 16 | three, 0)
        return WORDS.pack(0x32, FINAL, 0, 0, len(self.data), self.lun, NO_TAG, *words, *last)


@dataclass(frozen=True, slots=True)
class Reject:
    """`data` begins with the 48 bytes of the header that is refused."""

    reason: int
    stat_sn: int
    exp_cmd_sn: int
    max_cmd_sn: int
    data_sn: int = 0
    data: Buffer = b""

    def header(self) -> bytes:
        words = (0, self.stat_sn, self.exp_cmd_sn, self.max_cmd_sn, self.data_sn, 0, 0)
        return WORDS.pack(0x3F, FINAL, self.reason, 0, len(self.data), 0, NO_TAG, *words)


def _residual(residual: int) -> tuple[int, int]:
    if residual == 0:
        return 0, 0
    return (_OVERFLOW, residual) if residual > 0 else (_UNDERFLOW, -residual)


Response = (
    NopIn
    | ScsiResponse
    | TaskManagementResponse
    | LoginResponse
    | TextResponse
    | DataIn
    | LogoutResponse
    | R2T
    | AsyncMessage
    | Reject
)
