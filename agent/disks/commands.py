"""The commands that a node sends to a disk, as bytes with what goes along; and who a unit is."""

from dataclasses import dataclass
from struct import Struct

from agent.volumes.errors import MediumError
from protocol.scsi.capacity import Capacity
from protocol.scsi.cdbs import cdb
from protocol.scsi.commands import (
    Inquiry,
    PersistentReserveIn,
    PersistentReserveOut,
    ReadCapacity16,
    ReportLuns,
    SynchronizeCache,
    TestUnitReady,
)
from protocol.scsi.errors import BadResponse
from protocol.scsi.inquiry import DESIGNATORS, LIMITS, BlockLimits, Designators, StandardInquiry
from protocol.scsi.persistent import Capabilities, InAction, Kind, OutAction, OutParameters

ANSWER_BYTES = 4096
KEYS_BYTES = 8192

TEST_UNIT_READY = cdb(TestUnitReady())
SYNCHRONIZE = cdb(SynchronizeCache())
REPORT_LUNS = cdb(ReportLuns(ANSWER_BYTES))
INQUIRE = cdb(Inquiry(255))
INQUIRE_IDS = cdb(Inquiry(255, DESIGNATORS))
INQUIRE_LIMITS = cdb(Inquiry(255, LIMITS))
READ_CAPACITY = cdb(ReadCapacity16())
READ_KEYS = cdb(PersistentReserveIn(InAction.READ_KEYS, KEYS_BYTES))
READ_CAPABILITIES = cdb(PersistentReserveIn(InAction.REPORT_CAPABILITIES, 255))
READ_RESERVATION = cdb(PersistentReserveIn(InAction.READ_RESERVATION, 255))

_TRANSFER = Struct(">BBQIBB")
_READ16, _WRITE16, _FUA = 0x88, 0x8A, 0x08
DISK_TYPE = 0


def read_cdb(lba: int, blocks: int) -> bytes:
    """READ (16): written here since there is one for every read of a guest."""
    return _TRANSFER.pack(_READ16, 0, lba, blocks, 0, 0)


def write_cdb(lba: int, blocks: int, fua: bool) -> bytes:
    """WRITE (16)."""
    return _TRANSFER.pack(_WRITE16, _FUA if fua else 0, lba, blocks, 0, 0)


def register(present: int, key: int, persists: bool) -> tuple[bytes, bytes]:
    """REGISTER `key` in place of `present`, of which 0 means none; where the target can do that it
    remembers all registrations over a restart of its own.
    """
    return _reserve_out(OutAction.REGISTER, OutParameters(present, key, persists), 0)


def can_persist(capabilities: bytes) -> bool:
    try:
        return Capabilities.read(capabilities).can_persist
    except BadResponse:
        return False


def register_anyhow(key: int, persists: bool) -> tuple[bytes, bytes]:
    """REGISTER AND IGNORE EXISTING KEY: whatever an earlier life had registered over this nexus."""
    return _reserve_out(OutAction.REGISTER_AND_IGNORE, OutParameters(0, key, persists), 0)


def reserve(key: int, kind: Kind = Kind.WRITE_REGISTRANTS) -> tuple[bytes, bytes]:
    """RESERVE, as clustered disks are reserved."""
    return _reserve_out(OutAction.RESERVE, OutParameters(key, persists=False), kind)


def preempt(
    key: int, victim: int, abort: bool, kind: Kind = Kind.WRITE_REGISTRANTS
) -> tuple[bytes, bytes]:
    """PREEMPT, mostly AND ABORT: all registrations under `victim` go."""
    action = OutAction.PREEMPT_AND_ABORT if abort else OutAction.PREEMPT
    return _reserve_out(action, OutParameters(key, victim, persists=False), kind)


def clear(key: int) -> tuple[bytes, bytes]:
    """CLEAR: all registrations and the reservation go."""
    return _reserve_out(OutAction.CLEAR, OutParameters(key, persists=False), 0)


def _reserve_out(action: OutAction, parameters: OutParameters, kind: int) -> tuple[bytes, bytes]:
    data = parameters.write()
    return cdb(PersistentReserveOut(action, kind, len(data))), data


@dataclass(frozen=True, slots=True)
class Unit:
    """What a disk says of itself."""

    naa: str
    product: str
    capacity: Capacity
    transfer_blocks_max: int = 0
    """The largest transfer it takes, in blocks; 0 if it sets no limit."""


def is_disk(inquiry: bytes) -> bool:
    """Whether there is a unit, and it is a disk: targets have controllers as LUN 0."""
    return len(inquiry) > 0 and inquiry[0] == DISK_TYPE


def unit(inquiry: bytes, ids: bytes, limits: bytes, capacity: bytes) -> Unit:
    """Raises `MediumError` where an answer makes no sense."""
    try:
        who = StandardInquiry.read(inquiry)
        naa = Designators.read(ids).naa
        most = BlockLimits.read(limits).transfer_max if limits else 0
        return Unit(naa, f"{who.vendor} {who.product}", Capacity.read16(capacity), most)
    except BadResponse as error:
        raise MediumError(error.sentence) from None
