"""The SCSI commands that a disk of a cluster knows, as values."""

import enum
from dataclasses import dataclass

from protocol.scsi.persistent import OUT_BYTES, InAction, OutAction


@dataclass(frozen=True, slots=True)
class TestUnitReady:
    """Whether the unit takes commands for its medium; also how unit attentions are collected."""

    __test__ = False


@dataclass(frozen=True, slots=True)
class RequestSense:
    """The pending unit attention as data instead of as a failure."""

    allocation_bytes: int = 252
    descriptor: bool = False


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Who the unit is: the standard data without a page, else a page of vital product data."""

    allocation_bytes: int = 255
    page: int | None = None


@dataclass(frozen=True, slots=True)
class ReportLuns:
    """Which units the target has."""

    allocation_bytes: int = 4096
    select: int = 0


@dataclass(frozen=True, slots=True)
class ReadCapacity10:
    """Size in 32 bits."""


@dataclass(frozen=True, slots=True)
class ReadCapacity16:
    """Size in 64 bits, and how the unit treats blocks that were never written."""

    allocation_bytes: int = 32


@dataclass(frozen=True, slots=True)
class Read:
    """`blocks` from `lba`. `form` is the length of the command block: 6, 10, 12 or 16 bytes."""

    lba: int
    blocks: int
    fua: bool = False
    dpo: bool = False
    form: int = 16


@dataclass(frozen=True, slots=True)
class Write:
    """`blocks` from `lba`; with `fua` they are on stable storage before the answer."""

    lba: int
    blocks: int
    fua: bool = False
    dpo: bool = False
    form: int = 16


@dataclass(frozen=True, slots=True)
class WriteVerified:
    """A write that is read back before the answer."""

    lba: int
    blocks: int
    byte_check: int = 0
    dpo: bool = False
    form: int = 16


@dataclass(frozen=True, slots=True)
class WriteSame:
    """One block again and again, or blocks given back if `unmap`; zero blocks mean to the end."""

    lba: int
    blocks: int
    unmap: bool = False
    anchor: bool = False
    no_data: bool = False
    form: int = 16


@dataclass(frozen=True, slots=True)
class Verify:
    """Whether the blocks can be read, and with `byte_check` whether they are the given ones."""

    lba: int
    blocks: int
    byte_check: int = 0
    dpo: bool = False
    form: int = 16


@dataclass(frozen=True, slots=True)
class SynchronizeCache:
    """All that was written there is on stable storage before the answer; zero blocks mean all."""

    lba: int = 0
    blocks: int = 0
    immediate: bool = False
    form: int = 10


@dataclass(frozen=True, slots=True)
class Unmap:
    """Gives blocks back; the ranges are in the parameter list."""

    parameter_bytes: int
    anchor: bool = False


class PageControl(enum.IntEnum):
    """Which values of a mode page are meant."""

    CURRENT = 0
    CHANGEABLE = 1
    DEFAULT = 2
    SAVED = 3


@dataclass(frozen=True, slots=True)
class ModeSense:
    """How the unit is set; `form` is 6 or 10."""

    page: int
    allocation_bytes: int = 255
    subpage: int = 0
    control: PageControl = PageControl.CURRENT
    no_block_descriptors: bool = False
    form: int = 6


@dataclass(frozen=True, slots=True)
class StartStopUnit:
    """Spins a disk up or down; a file has nothing to spin."""

    start: bool = True
    load_eject: bool = False
    immediate: bool = False
    power_condition: int = 0


@dataclass(frozen=True, slots=True)
class PersistentReserveIn:
    """Asks for keys, the reservation, what the unit can do of it, or all of it."""

    action: InAction
    allocation_bytes: int = 8192


@dataclass(frozen=True, slots=True)
class PersistentReserveOut:
    """Registers, reserves, releases, preempts or clears. `kind` is the type of reservation."""

    action: OutAction
    kind: int = 0
    parameter_bytes: int = OUT_BYTES
    scope: int = 0


Command = (
    TestUnitReady
    | RequestSense
    | Inquiry
    | ReportLuns
    | ReadCapacity10
    | ReadCapacity16
    | Read
    | Write
    | WriteVerified
    | WriteSame
    | Verify
    | SynchronizeCache
    | Unmap
    | ModeSense
    | StartStopUnit
    | PersistentReserveIn
    | PersistentReserveOut
)


def data_out_bytes(command: Command, block_bytes: int) -> int:
    """How much the initiator sends along."""
    match command:
        case Write(blocks=blocks) | WriteVerified(blocks=blocks):
            return blocks * block_bytes
        case WriteSame(no_data=no_data):
            return 0 if no_data else block_bytes
        case Verify(byte_check=1, blocks=blocks):
            return blocks * block_bytes
        case Verify(byte_check=3, blocks=blocks):
            return block_bytes if blocks else 0
        case Unmap(parameter_bytes=length) | PersistentReserveOut(parameter_bytes=length):
            return length
    return 0
