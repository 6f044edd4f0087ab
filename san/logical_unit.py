"""One disk of the SAN: decides what a command may do, and what must be done to the medium."""

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.iscsi.digests import Buffer
from protocol.scsi import inquiry, modes, sense
from protocol.scsi.capacity import Capacity
from protocol.scsi.commands import (
    Command,
    Inquiry,
    ModeSense,
    PersistentReserveIn,
    PersistentReserveOut,
    Read,
    ReadCapacity10,
    ReadCapacity16,
    ReportLuns,
    RequestSense,
    StartStopUnit,
    SynchronizeCache,
    TestUnitReady,
    Unmap,
    Verify,
    Write,
    WriteSame,
    WriteVerified,
)
from protocol.scsi.errors import IllegalRequest, ReservationConflict
from protocol.scsi.persistent import OUT_BYTES, OutAction, OutParameters
from protocol.scsi.sense import Sense
from protocol.scsi.status import Status
from protocol.scsi.unmapping import read_ranges
from san.answers import Answer, Work, check_condition
from san.attention import Attentions
from san.medium import (
    AbortTasks,
    AwaitAborted,
    CompareMedium,
    Deed,
    Failure,
    FillMedium,
    FlushMedium,
    ReadMedium,
    SaveReservations,
    UnmapMedium,
    WriteMedium,
)
from san.nexus import Nexus
from san.reservation_record import ReservationRecord
from san.reservations import REGISTERING, Change, Reservations, access_of

# A session holds two of the largest writes (`TargetConfig.collected_bytes_max`).
TRANSFER_BYTES_MAX = 16 << 20
# Above an UNMAP of all its ranges (4 KiB) and a REGISTER that lists 256 ports (63 KiB at most).
PARAMETER_BYTES_MAX = 64 << 10
UNMAP_RANGES_MAX = 256
# No more than can be read back in one command.
WRITE_SAME_BYTES_MAX = TRANSFER_BYTES_MAX
PAGE_BYTES = 4096

# What may be asked of a unit that has something to tell.
QUIET = (Inquiry, ReportLuns, RequestSense)
WRITING = (Write, WriteVerified, WriteSame, Unmap)

Buffers = Sequence[Buffer]
GOOD = Answer(Status.GOOD)
CONFLICT = Answer(Status.RESERVATION_CONFLICT)


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """What never changes about a unit; `naa` is its id in hex, the same through every port."""

    naa: str
    blocks: int
    block_bytes: int = 512
    read_only: bool = False
    target: str = "target"
    ports: tuple[int, ...] = (1,)


class LogicalUnit:
    """Commands in, answers or work out; it touches no file and knows no connection."""

    def __init__(self, facts: UnitFacts, record: ReservationRecord | None = None) -> None:
        self.facts = facts
        self.reservations = Reservations(record, facts.ports)
        self.attentions = Attentions()
        self.lost: Failure | None = None
        self._limits = self._own_limits()

    def _own_limits(self) -> inquiry.BlockLimits:
        block = self.facts.block_bytes
        return inquiry.BlockLimits(
            transfer_max=TRANSFER_BYTES_MAX // block,
            transfer_optimal=(1 << 20) // block,
            unmap_max=0xFFFFFFFF,
            unmap_ranges_max=UNMAP_RANGES_MAX,
            unmap_granularity=max(1, PAGE_BYTES // block),
            write_same_max=WRITE_SAME_BYTES_MAX // block,
        )

    # ---- the door

    def admit(self, nexus: Nexus, command: Command) -> Answer | None:
        """The refusal, before any data are fetched; None if the command may go on."""
        if self.lost is not None and (found := self._answer_lost(command)) is not None:
            return found
        attentions = self.attentions
        if attentions.is_waiting(nexus) and not isinstance(command, QUIET):
            told = attentions.take(nexus)
            assert told is not None
            return check_condition(told)
        if not self.reservations.allows(nexus, access_of(command)):
            return CONFLICT
        try:
            self._check_place(command)
        except IllegalRequest as error:
            return check_condition(error.sense)
        return None

    def execute(self, nexus: Nexus, command: Command, buffers: Buffers = ()) -> Answer | Work:
        """What is to be done now that all data are here; what forbids it may have come since."""
        refusal = self.admit(nexus, command)
        if refusal is not None:
            return refusal
        try:
            return self._begin(nexus, command, buffers)
        except IllegalRequest as error:
            return check_condition(error.sense)
        except ReservationConflict:
            # The key may be missing because it was preempted with tasks that still go on.
            return Work((AwaitAborted(),), CONFLICT)

    def failed(self, deed: Deed, failure: Failure, block: int | None = None) -> Answer:
        """How a command ends whose deed was not done, or not known to be."""
        match failure:
            case Failure.GONE:
                self.lost = Failure.GONE
                return check_condition(sense.UNIT_NOT_SUPPORTED)
            case Failure.UNSYNCED:
                self.lost = Failure.UNSYNCED
                return check_condition(sense.UNWRITABLE)
            case Failure.FULL:
                return check_condition(sense.SPACE_EXHAUSTED)
            case Failure.DIFFERENT:
                return check_condition(_at(sense.MISCOMPARE, block))
            case Failure.UNREADABLE:
                return check_condition(_at(sense.UNREADABLE, block))
            case Failure.UNWRITABLE:
                return check_condition(_at(sense.UNWRITABLE, block))
            case Failure.UNRECORDED:
                return check_condition(sense.INTERNAL_FAILURE)

    # ---- rules for all commands

    def _answer_lost(self, command: Command) -> Answer | None:
        if self.lost is Failure.GONE:
            if isinstance(command, Inquiry) and command.page is None:
                return answer(inquiry.StandardInquiry(present=False).write(), command)
            return check_condition(sense.UNIT_NOT_SUPPORTED)
        if isinstance(command, (*WRITING, SynchronizeCache)):
            return check_condition(sense.UNWRITABLE)
        return None

    def _check_place(self, command: Command) -> None:
        match command:
            case Read(lba, blocks) | Write(lba, blocks) | WriteVerified(lba, blocks):
                self._check_range(lba, blocks)
                if blocks > self._limits.transfer_max:
                    raise _too_long(blocks, self._limits.transfer_max)
            case Verify(lba, blocks) | SynchronizeCache(lba, blocks):
                self._check_range(lba, blocks)
            case WriteSame(lba, blocks):
                self._check_range(lba, blocks or 1)
                count = blocks or self.facts.blocks - lba
                if count > self._limits.write_same_max:
                    raise _too_long(count, self._limits.write_same_max)
            case PersistentReserveOut(parameter_bytes=length) | Unmap(parameter_bytes=length) if (
                length > PARAMETER_BYTES_MAX
            ):
                raise IllegalRequest(
                    sense.PARAMETER_LIST_LENGTH, f"{length} bytes of parameters are too many."
                )
        if self.facts.read_only and isinstance(command, WRITING):
            raise IllegalRequest(sense.WRITE_PROTECTED, "The unit is read-only.")

    def _check_range(self, lba: int, blocks: int) -> None:
        if lba + blocks > self.facts.blocks:
            raise IllegalRequest(
                sense.LBA_OUT_OF_RANGE,
                f"Blocks {lba} to {lba + blocks} end beyond the unit's {self.facts.blocks}.",
            )

    # ---- one command

    def _begin(self, nexus: Nexus, command: Command, buffers: Buffers) -> Answer | Work:
        match command:
            case Read(lba, blocks):
                return Work((ReadMedium(lba, blocks),), GOOD) if blocks else GOOD
            case Write(lba, blocks, fua):
                self._check_length(buffers, blocks)
                key = self.reservations.keys.get(nexus, 0)
                deed = WriteMedium(lba, blocks, buffers, fua, key)
                return Work((deed,), GOOD) if blocks else GOOD
            case SynchronizeCache():
                return Work((FlushMedium(),), GOOD)
            case WriteVerified() | WriteSame() | Verify() | Unmap():
                return self._begin_rare(nexus, command, buffers)
            case PersistentReserveIn(action):
                data = self.reservations.answer(action)[: command.allocation_bytes]
                return Work((AwaitAborted(), self._save()), Answer(Status.GOOD, data))
            case PersistentReserveOut():
                return self._reserve(nexus, command, buffers)
            case _:
                return self._tell(nexus, command)

    def _begin_rare(
        self, nexus: Nexus, command: WriteVerified | WriteSame | Verify | Unmap, buffers: Buffers
    ) -> Answer | Work:
        key = self.reservations.keys.get(nexus, 0)
        deeds: tuple[Deed, ...]
        match command:
            case WriteVerified(lba, blocks):
                self._check_length(buffers, blocks)
                deeds = (
                    WriteMedium(lba, blocks, buffers, True, key),
                    CompareMedium(lba, blocks, buffers),
                )
                return Work(deeds, GOOD) if blocks else GOOD
            case WriteSame(lba, blocks):
                deeds = (self._same(command, blocks or self.facts.blocks - lba, buffers, key),)
            case Verify(lba, blocks, check):
                if blocks and check:
                    self._check_length(buffers, 1 if check == 3 else blocks)
                deeds = (CompareMedium(lba, blocks, buffers if check else ()),)
                return Work(deeds, GOOD) if blocks else GOOD
            case Unmap():
                deeds = self._unmap(command, buffers, key)
        return Work(deeds, GOOD) if deeds else GOOD

    def _same(self, command: WriteSame, blocks: int, buffers: Buffers, key: int) -> Deed:
        if command.anchor:
            raise IllegalRequest(sense.INVALID_FIELD_IN_CDB, "Blocks cannot be anchored here.")
        if not command.no_data:
            self._check_length(buffers, 1)
        pattern = b"".join(buffers)
        if command.unmap and not any(pattern):
            return UnmapMedium(((command.lba, blocks),), key)
        return FillMedium(command.lba, blocks, pattern, key)

    def _unmap(self, command: Unmap, buffers: Buffers, key: int) -> tuple[Deed, ...]:
        if command.anchor:
            raise IllegalRequest(sense.INVALID_FIELD_IN_CDB, "Blocks cannot be anchored here.")
        ranges = tuple(pair for pair in read_ranges(b"".join(buffers)) if pair[1])
        if len(ranges) > UNMAP_RANGES_MAX:
            raise IllegalRequest(
                sense.INVALID_FIELD_IN_PARAMETERS,
                f"{len(ranges)} ranges are more than the {UNMAP_RANGES_MAX} of one UNMAP.",
            )
        for lba, blocks in ranges:
            self._check_range(lba, blocks)
        return (UnmapMedium(ranges, key),) if ranges else ()

    def _check_length(self, buffers: Buffers, blocks: int) -> None:
        came = sum(len(buffer) for buffer in buffers)
        if came != blocks * self.facts.block_bytes:
            raise IllegalRequest(
                sense.INVALID_FIELD_IN_CDB,
                f"{came} bytes came for {blocks} blocks of {self.facts.block_bytes} bytes.",
            )

    def _save(self) -> SaveReservations:
        held = self.reservations
        return SaveReservations(held.record(), held.generation, tuple(held.keys.items()))

    def _reserve(
        self, nexus: Nexus, command: PersistentReserveOut, buffers: Buffers
    ) -> Answer | Work:
        data = b"".join(buffers)
        if len(data) != command.parameter_bytes or len(data) < OUT_BYTES:
            raise IllegalRequest(
                sense.PARAMETER_LIST_LENGTH,
                f"{len(data)} bytes of parameters came, announced were {command.parameter_bytes}.",
            )
        change = self.reservations.change(nexus, command, OutParameters.read(data))
        for other, told in change.attentions:
            self.attentions.add(other, told)
        return Work((*self._aborts(command, change), AwaitAborted(), self._save()), GOOD)

    def _aborts(self, command: PersistentReserveOut, change: Change) -> tuple[Deed, ...]:
        return (AbortTasks(change.aborted),) if change.aborted else ()

    # ---- what it says of itself

    def _tell(self, nexus: Nexus, command: Command) -> Answer:
        facts = self.facts
        match command:
            case Inquiry(page=None):
                return answer(inquiry.StandardInquiry().write(), command)
            case Inquiry(page=page):
                return answer(self._page(nexus, page), command)
            case ReadCapacity10():
                return answer(Capacity(facts.blocks, facts.block_bytes).write10(), command)
            case ReadCapacity16():
                exponent = max(0, (PAGE_BYTES // facts.block_bytes).bit_length() - 1)
                capacity = Capacity(facts.blocks, facts.block_bytes, True, exponent)
                return answer(capacity.write16(), command)
            case ModeSense():
                data = modes.write_modes(command, facts.blocks, facts.block_bytes, facts.read_only)
                return answer(data, command)
            case RequestSense(descriptor=wants_descriptor):
                told = self.attentions.take(nexus) or sense.NO_SENSE
                write = sense.descriptor if wants_descriptor else sense.fixed
                return answer(write(told), command)
            case TestUnitReady() | StartStopUnit():
                return GOOD
            case _:
                raise IllegalRequest(sense.INVALID_OPCODE, "A unit does not answer this itself.")

    def _page(self, nexus: Nexus, page: int | None) -> bytes:
        match page:
            case inquiry.SUPPORTED:
                return inquiry.SupportedPages().write()
            case inquiry.SERIAL:
                return inquiry.SerialNumber(self.facts.naa).write()
            case inquiry.DESIGNATORS:
                port = f"{self.facts.target},t,0x{nexus.port:04x}"
                return inquiry.Designators(self.facts.naa, nexus.port, port).write()
            case inquiry.LIMITS:
                return self._limits.write()
            case inquiry.CHARACTERISTICS:
                return inquiry.characteristics()
            case inquiry.PROVISIONING:
                return inquiry.provisioning()
        raise IllegalRequest(
            sense.INVALID_FIELD_IN_CDB, f"There is no page {page} of vital product data here."
        )


def is_ordered(command: Command) -> bool:
    """Whether the nexus's earlier tasks must have ended first.

    A key that is given up is no longer shown, so nothing may still be written with it.
    """
    return isinstance(command, PersistentReserveOut) and (
        command.action in REGISTERING or command.action is OutAction.CLEAR
    )


def answer(data: bytes, command: Command) -> Answer:
    """As much as the initiator has room for."""
    return Answer(Status.GOOD, data[: getattr(command, "allocation_bytes", len(data))])


def _at(what: Sense, block: int | None) -> Sense:
    return what if block is None else what.at(block)


def _too_long(blocks: int, most: int) -> IllegalRequest:
    return IllegalRequest(
        sense.INVALID_FIELD_IN_CDB, f"{blocks} blocks at once are more than the {most} allowed."
    )
