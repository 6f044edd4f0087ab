"""What an initiator sends: one class for each PDU, and its header as 48 bytes.

`data` is what follows the header. A field is called as RFC 7143 section 11 calls it; reserved bits
are written as zero and not looked at.
"""

import enum
from dataclasses import dataclass
from struct import Struct

from protocol.iscsi.digests import Buffer

HEADER_BYTES = 48
NO_TAG = 0xFFFF_FFFF
"""The reserved tag: no task, or no transfer."""

WORDS = Struct(">BBBBIQI7I")
"""Opcode, flags, two bytes, lengths, LUN, task tag, and seven words of the opcode's own."""
COMMAND = Struct(">BBBBIQI3I16s")
IMMEDIATE = 0x40
FINAL = 0x80


class Attribute(enum.IntEnum):
    """How a task is ordered among others (SAM)."""

    UNTAGGED = 0
    SIMPLE = 1
    ORDERED = 2
    HEAD_OF_QUEUE = 3
    ACA = 4


class TaskFunction(enum.IntEnum):
    """What a task management request asks for."""

    ABORT_TASK = 1
    ABORT_TASK_SET = 2
    CLEAR_ACA = 3
    CLEAR_TASK_SET = 4
    LOGICAL_UNIT_RESET = 5
    TARGET_WARM_RESET = 6
    TARGET_COLD_RESET = 7
    TASK_REASSIGN = 8


class LogoutReason(enum.IntEnum):
    CLOSE_SESSION = 0
    CLOSE_CONNECTION = 1
    REMOVE_FOR_RECOVERY = 2


@dataclass(frozen=True, slots=True)
class NopOut:
    """A ping (with a task tag), or the answer to one (with a transfer tag)."""

    task_tag: int
    transfer_tag: int
    cmd_sn: int
    exp_stat_sn: int
    lun: int = 0
    immediate: bool = False
    data: Buffer = b""

    def header(self) -> bytes:
        opcode = IMMEDIATE if self.immediate else 0
        words = (self.transfer_tag, self.cmd_sn, self.exp_stat_sn, 0, 0, 0, 0)
        return WORDS.pack(opcode, FINAL, 0, 0, len(self.data), self.lun, self.task_tag, *words)


@dataclass(frozen=True, slots=True)
class ScsiCommand:
    """A command, its first bytes of data with it if the session allows that."""

    lun: int
    task_tag: int
    expected_bytes: int
    cmd_sn: int
    exp_stat_sn: int
    cdb: bytes
    final: bool = True
    read: bool = False
    write: bool = False
    attribute: int = Attribute.SIMPLE
    immediate: bool = False
    data: Buffer = b""
    read_bytes: int | None = None
    """Expected bytes of the reading half of a command that goes both ways."""

    def header(self) -> bytes:
        opcode = 0x41 if self.immediate else 0x01
        flags = self.final << 7 | self.read << 6 | self.write << 5 | self.attribute
        words = (self.expected_bytes, self.cmd_sn, self.exp_stat_sn, self.cdb)
        lengths = len(self.data)
        return COMMAND.pack(opcode, flags, 0, 0, lengths, self.lun, self.task_tag, *words)


@dataclass(frozen=True, slots=True)
class TaskManagementRequest:
    function: int
    lun: int
    task_tag: int
    referenced_tag: int
    cmd_sn: int
    exp_stat_sn: int
    ref_cmd_sn: int = 0
    immediate: bool = True
    data: Buffer = b""

    def header(self) -> bytes:
        opcode = 0x42 if self.immediate else 0x02
        words = (self.referenced_tag, self.cmd_sn, self.exp_stat_sn, self.ref_cmd_sn, 0, 0, 0)
        flags, lengths = FINAL | self.function, len(self.data)
        return WORDS.pack(opcode, flags, 0, 0, lengths, self.lun, self.task_tag, *words)


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """One step of a login; `isid` and `tsih` name the session that is to be."""

    isid: bytes
    tsih: int
    task_tag: int
    cid: int
    cmd_sn: int
    exp_stat_sn: int
    csg: int
    nsg: int = 0
    transit: bool = False
    more: bool = False
    version_max: int = 0
    version_min: int = 0
    data: Buffer = b""

    def header(self) -> bytes:
        flags = self.transit << 7 | self.more << 6 | self.csg << 2 | self.nsg
        session = int.from_bytes(self.isid, "big") << 16 | self.tsih
        versions, lengths = (self.version_max, self.version_min), len(self.data)
        words = (self.cid << 16, self.cmd_sn, self.exp_stat_sn, 0, 0, 0, 0)
        return WORDS.pack(0x43, flags, *versions, lengths, session, self.task_tag, *words)


@dataclass(frozen=True, slots=True)
class TextRequest:
    task_tag: int
    transfer_tag: int
    cmd_sn: int
    exp_stat_sn: int
    lun: int = 0
    final: bool = True
    more: bool = False
    immediate: bool = False
    data: Buffer = b""

    def header(self) -> bytes:
        opcode, flags = 0x44 if self.immediate else 0x04, self.final << 7 | self.more << 6
        words = (self.transfer_tag, self.cmd_sn, self.exp_stat_sn, 0, 0, 0, 0)
        return WORDS.pack(opcode, flags, 0, 0, len(self.data), self.lun, self.task_tag, *words)


@dataclass(frozen=True, slots=True)
class DataOut:
    """Data of a write: unsolicited (no transfer tag) or as an R2T asked for them."""

    lun: int
    task_tag: int
    transfer_tag: int
    exp_stat_sn: int
    data_sn: int
    offset: int
    final: bool
    data: Buffer = b""

    def header(self) -> bytes:
        words = (self.transfer_tag, 0, self.exp_stat_sn, 0, self.data_sn, self.offset, 0)
        flags, lengths = self.final << 7, len(self.data)
        return WORDS.pack(0x05, flags, 0, 0, lengths, self.lun, self.task_tag, *words)


@dataclass(frozen=True, slots=True)
class LogoutRequest:
    reason: int
    task_tag: int
    cid: int
    cmd_sn: int
    exp_stat_sn: int
    immediate: bool = True
    data: Buffer = b""

    def header(self) -> bytes:
        opcode, flags = 0x46 if self.immediate else 0x06, FINAL | self.reason
        words = (self.cid << 16, self.cmd_sn, self.exp_stat_sn, 0, 0, 0, 0)
        return WORDS.pack(opcode, flags, 0, 0, len(self.data), 0, self.task_tag, *words)


@dataclass(frozen=True, slots=True)
class UnknownPdu:
    """A PDU that this side has no meaning for (SNACK among them): to be rejected, not to die of."""

    opcode: int
    task_tag: int
    raw: bytes
    data: Buffer = b""

    def header(self) -> bytes:
        return self.raw[:4] + len(self.data).to_bytes(4, "big") + self.raw[8:]


Request = (
    NopOut
    | ScsiCommand
    | TaskManagementRequest
    | LoginRequest
    | TextRequest
    | DataOut
    | LogoutRequest
)
