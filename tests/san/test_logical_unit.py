"""What one unit answers, and what it wants done before it does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.scsi import sense
from protocol.scsi.capacity import Capacity
from protocol.scsi.cdbs import read_command
from protocol.scsi.commands import (
    Command,
    Inquiry,
    ModeSense,
    PersistentReserveIn,
    PersistentReserveOut,
    Read,
    ReadCapacity10,
    ReadCapacity16,
    RequestSense,
    SynchronizeCache,
    TestUnitReady,
    Unmap,
    Verify,
    Write,
    WriteSame,
    WriteVerified,
    data_out_bytes,
)
from protocol.scsi.errors import IllegalRequest
from protocol.scsi.inquiry import PAGES, BlockLimits, Designators, SupportedPages
from protocol.scsi.persistent import InAction, Keys, Kind, OutAction, OutParameters
from protocol.scsi.sense import read_sense
from protocol.scsi.status import Status
from protocol.scsi.unmapping import write_ranges
from san.answers import Answer, Work
from san.logical_unit import LogicalUnit, UnitFacts, is_ordered
from san.medium import (
    AbortTasks,
    AwaitAborted,
    CompareMedium,
    Failure,
    FillMedium,
    FlushMedium,
    ReadMedium,
    SaveReservations,
    UnmapMedium,
    WriteMedium,
)
from san.nexus import Nexus

NAA = "3abcdef012345678"
BLOCKS = 1000
BLOCK = bytes(512)
A, B = (Nexus(f"iqn.2026-11.lab:n{i}", "00000000000" + str(i)) for i in (1, 2))


@pytest.fixture
def unit() -> LogicalUnit:
    return LogicalUnit(UnitFacts(NAA, BLOCKS))


def reserve(
    unit: LogicalUnit,
    nexus: Nexus,
    action: OutAction,
    key: int = 0,
    action_key: int = 0,
    kind: int = Kind.WRITE_REGISTRANTS,
) -> Answer | Work:
    data = OutParameters(key, action_key).write()
    return unit.execute(nexus, PersistentReserveOut(action, kind), (data,))


def register(unit: LogicalUnit, nexus: Nexus, key: int) -> None:
    assert isinstance(reserve(unit, nexus, OutAction.REGISTER, 0, key), Work)


def refused_with(outcome: Answer | Work | None) -> int:
    assert isinstance(outcome, Answer)
    assert outcome.sense is not None
    return outcome.sense.code


def said(outcome: Answer | Work) -> bytes:
    answer = outcome.answer if isinstance(outcome, Work) else outcome
    assert answer.status is Status.GOOD
    return bytes(answer.data)


def deeds(outcome: Answer | Work) -> tuple[object, ...]:
    assert isinstance(outcome, Work)
    assert outcome.answer.status is Status.GOOD
    return outcome.deeds


# ---- the medium


def test_reads_and_writes_are_work_for_the_medium(unit: LogicalUnit) -> None:
    data = (BLOCK, BLOCK)
    assert deeds(unit.execute(A, Read(5, 2))) == (ReadMedium(5, 2),)
    assert deeds(unit.execute(A, Write(5, 2, True), data)) == (WriteMedium(5, 2, data, True, 0),)
    assert deeds(unit.execute(A, SynchronizeCache())) == (FlushMedium(),)
    assert deeds(unit.execute(A, Verify(5, 2))) == (CompareMedium(5, 2, ()),)


def test_a_write_names_the_key_of_its_writer(unit: LogicalUnit) -> None:
    register(unit, A, 0xABC)

    (write,) = deeds(unit.execute(A, Write(0, 1), (BLOCK,)))

    assert isinstance(write, WriteMedium)
    assert write.key == 0xABC


def test_a_verified_write_is_read_back(unit: LogicalUnit) -> None:
    write, compare = deeds(unit.execute(A, WriteVerified(0, 1), (BLOCK,)))

    assert isinstance(write, WriteMedium)
    assert write.fua
    assert compare == CompareMedium(0, 1, (BLOCK,))


def test_blocks_are_filled_or_given_back(unit: LogicalUnit) -> None:
    ones = b"\1" * 512

    assert deeds(unit.execute(A, WriteSame(3, 4), (ones,))) == (FillMedium(3, 4, ones, 0),)
    given_back = (UnmapMedium(((3, BLOCKS - 3),), 0),)
    assert deeds(unit.execute(A, WriteSame(3, 0, unmap=True), (BLOCK,))) == given_back
    # Given back it would read as zeros, and not as what was sent.
    kept = WriteSame(3, 4, unmap=True)
    assert deeds(unit.execute(A, kept, (ones,))) == (FillMedium(3, 4, ones, 0),)
    ranges = ((1, 2), (5, 6))
    listed = write_ranges((*ranges, (9, 0)))
    assert deeds(unit.execute(A, Unmap(len(listed)), (listed,))) == (UnmapMedium(ranges, 0),)


@pytest.mark.parametrize(
    "command", [Read(5, 0), Write(5, 0), Verify(5, 0), WriteVerified(5, 0), Unmap(0)]
)
def test_no_blocks_are_no_work(unit: LogicalUnit, command: Command) -> None:
    assert unit.execute(A, command) == Answer(Status.GOOD)


@pytest.mark.parametrize(
    "command",
    [
        Read(BLOCKS, 1),
        Read((1 << 64) - 1, 1),
        Write(BLOCKS - 1, 2),
        Verify(0, BLOCKS + 1),
        WriteSame(BLOCKS, 0),
        SynchronizeCache(BLOCKS, 1),
        Read(BLOCKS + 1, 0),
    ],
    ids=repr,
)
def test_beyond_the_end_is_refused_before_data_are_fetched(
    unit: LogicalUnit, command: Command
) -> None:
    assert refused_with(unit.admit(A, command)) == 0x2100


def test_a_range_beyond_the_end_unmaps_nothing(unit: LogicalUnit) -> None:
    listed = write_ranges(((1, 2), (BLOCKS - 1, 2)))

    assert refused_with(unit.execute(A, Unmap(len(listed)), (listed,))) == 0x2100


def test_too_much_at_once_is_refused() -> None:
    unit = LogicalUnit(UnitFacts(NAA, 1 << 32))
    most = BlockLimits.read(said(unit.execute(A, Inquiry(255, 0xB0)))).transfer_max

    assert unit.admit(A, Read(0, most)) is None
    assert refused_with(unit.admit(A, Read(0, most + 1))) == 0x2400


def test_a_write_with_missing_data_is_refused(unit: LogicalUnit) -> None:
    assert refused_with(unit.execute(A, Write(0, 2), (BLOCK,))) == 0x2400


def test_a_read_only_unit_is_not_written() -> None:
    unit = LogicalUnit(UnitFacts(NAA, BLOCKS, read_only=True))

    assert refused_with(unit.admit(A, Write(0, 1))) == 0x2700
    assert unit.admit(A, Read(0, 1)) is None


# ---- failures


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Failure.FULL, 0x2707),
        (Failure.UNREADABLE, 0x1100),
        (Failure.UNWRITABLE, 0x0C00),
        (Failure.DIFFERENT, 0x1D00),
        (Failure.UNRECORDED, 0x4400),
    ],
)
def test_a_failure_is_told_and_the_unit_goes_on(
    unit: LogicalUnit, failure: Failure, code: int
) -> None:
    assert refused_with(unit.failed(ReadMedium(5, 1), failure, 5)) == code
    assert unit.admit(A, Write(0, 1)) is None


def test_a_removed_file_is_a_unit_that_is_not_there(unit: LogicalUnit) -> None:
    assert refused_with(unit.failed(FlushMedium(), Failure.GONE)) == 0x2500

    assert refused_with(unit.execute(A, Read(0, 1))) == 0x2500
    assert said(unit.execute(A, Inquiry()))[0] == 0x7F


def test_after_a_lost_flush_nothing_is_written_and_reads_go_on(unit: LogicalUnit) -> None:
    unit.failed(FlushMedium(), Failure.UNSYNCED)

    assert refused_with(unit.admit(A, Write(0, 1))) == 0x0C00
    assert refused_with(unit.execute(A, SynchronizeCache())) == 0x0C00
    assert unit.admit(A, Read(0, 1)) is None


# ---- reservations


def test_a_stranger_reads_and_does_not_write(unit: LogicalUnit) -> None:
    register(unit, A, 1)
    reserve(unit, A, OutAction.RESERVE, 1)

    assert unit.admit(B, Write(0, 1)) == Answer(Status.RESERVATION_CONFLICT)
    assert unit.admit(B, Read(0, 1)) is None
    assert unit.admit(A, Write(0, 1)) is None


def test_what_was_admitted_is_refused_if_the_key_went_meanwhile(unit: LogicalUnit) -> None:
    register(unit, A, 1)
    register(unit, B, 2)
    reserve(unit, A, OutAction.RESERVE, 1)
    assert unit.admit(B, Write(0, 1)) is None

    reserve(unit, A, OutAction.PREEMPT_AND_ABORT, 1, 2)

    assert refused_with(unit.execute(B, Write(0, 1), (BLOCK,))) == 0x2A05
    assert unit.execute(B, Write(0, 1), (BLOCK,)) == Answer(Status.RESERVATION_CONFLICT)


def test_a_fence_is_answered_after_the_tasks_have_ended_and_the_record_is_safe(
    unit: LogicalUnit,
) -> None:
    register(unit, A, 1)
    register(unit, B, 2)

    abort, wait, save = deeds(reserve(unit, A, OutAction.PREEMPT_AND_ABORT, 1, 2))

    assert abort == AbortTasks((B,))
    assert wait == AwaitAborted()
    assert isinstance(save, SaveReservations)
    assert save.record.registrations == ((A, 1),)
    assert save.keys == ((A, 1),)


def test_a_registration_is_durable_before_it_is_answered(unit: LogicalUnit) -> None:
    save = deeds(reserve(unit, A, OutAction.REGISTER, 0, 7))[-1]

    assert isinstance(save, SaveReservations)
    assert save.record.registrations == ((A, 7),)


def test_keys_are_shown_only_when_they_are_durable_and_the_aborted_have_ended(
    unit: LogicalUnit,
) -> None:
    register(unit, A, 1)

    outcome = unit.execute(B, PersistentReserveIn(InAction.READ_KEYS))

    wait, save = deeds(outcome)
    assert wait == AwaitAborted()
    assert isinstance(save, SaveReservations)
    assert Keys.read(said(outcome)).keys == (1,)


def test_a_fence_of_a_key_that_is_gone_waits_for_its_tasks_too(unit: LogicalUnit) -> None:
    register(unit, A, 1)

    outcome = reserve(unit, A, OutAction.PREEMPT_AND_ABORT, 1, 2)

    assert outcome == Work((AwaitAborted(),), Answer(Status.RESERVATION_CONFLICT))


def test_reservations_outlive_the_program(unit: LogicalUnit) -> None:
    register(unit, A, 1)
    save = deeds(reserve(unit, A, OutAction.RESERVE, 1))[-1]
    assert isinstance(save, SaveReservations)

    again = LogicalUnit(UnitFacts(NAA, BLOCKS), save.record)

    assert again.admit(B, Write(0, 1)) == Answer(Status.RESERVATION_CONFLICT)
    assert again.admit(A, Write(0, 1)) is None


def test_only_what_takes_a_key_away_by_itself_waits_for_its_own_tasks() -> None:
    assert is_ordered(PersistentReserveOut(OutAction.REGISTER))
    assert not is_ordered(PersistentReserveOut(OutAction.PREEMPT_AND_ABORT))
    assert not is_ordered(Write(0, 1))


def test_parameters_of_the_wrong_length_are_refused(unit: LogicalUnit) -> None:
    command = PersistentReserveOut(OutAction.REGISTER, parameter_bytes=20)

    assert refused_with(unit.execute(A, command, (bytes(20),))) == 0x1A00


# ---- unit attentions


def test_an_attention_is_told_once_before_anything_else(unit: LogicalUnit) -> None:
    unit.attentions.arrived(A)

    assert said(unit.execute(A, Inquiry()))
    assert refused_with(unit.execute(A, Read(0, 1))) == 0x2900
    assert deeds(unit.execute(A, Read(0, 1)))


def test_request_sense_takes_the_attention_as_data(unit: LogicalUnit) -> None:
    unit.attentions.arrived(A)

    assert read_sense(said(unit.execute(A, RequestSense()))) == sense.POWER_ON
    assert read_sense(said(unit.execute(A, RequestSense(descriptor=True)))) == sense.NO_SENSE


# ---- what it says of itself


def test_it_names_its_size_its_id_and_its_pages(unit: LogicalUnit) -> None:
    assert Capacity.read16(said(unit.execute(A, ReadCapacity16()))) == Capacity(
        BLOCKS, 512, True, 3
    )
    assert Capacity.read10(said(unit.execute(A, ReadCapacity10()))).blocks == BLOCKS
    assert Designators.read(said(unit.execute(A, Inquiry(255, 0x83)))).naa == NAA
    assert SupportedPages.read(said(unit.execute(A, Inquiry(255, 0)))).pages == PAGES
    for page in PAGES:
        assert said(unit.execute(A, Inquiry(255, page)))[1] == page


def test_an_answer_is_cut_to_the_room_there_is(unit: LogicalUnit) -> None:
    assert len(said(unit.execute(A, Inquiry(5)))) == 5
    assert len(said(unit.execute(A, ReadCapacity16(12)))) == 12
    assert len(said(unit.execute(A, ModeSense(0x3F, 4)))) == 4


def test_an_unknown_page_is_refused(unit: LogicalUnit) -> None:
    assert refused_with(unit.execute(A, Inquiry(255, 0xC0))) == 0x2400


# ---- anything at all


@given(st.binary(min_size=6, max_size=16), st.binary(max_size=64))
def test_whatever_comes_it_is_answered_or_made_work(block: bytes, data: bytes) -> None:
    unit = LogicalUnit(UnitFacts(NAA, BLOCKS))
    try:
        command = read_command(block)
    except IllegalRequest:
        return
    if unit.admit(A, command) is not None:
        return

    wanted = min(data_out_bytes(command, 512), 1 << 20)
    outcome = unit.execute(A, command, (data.ljust(wanted, b"\0")[:wanted],))

    assert isinstance(outcome, Answer | Work)


def test_a_unit_that_is_ready_says_so(unit: LogicalUnit) -> None:
    assert unit.execute(A, TestUnitReady()) == Answer(Status.GOOD)
