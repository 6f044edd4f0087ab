"""Sessions, reads, writes, aborts: what an initiator sees, and when a task has ended."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.iscsi.errors import BadPdu, DigestMismatch
from protocol.iscsi.names import lun_field
from protocol.iscsi.negotiation import Wishes
from protocol.iscsi.pdus import Pdu
from protocol.iscsi.requests import (
    NO_TAG,
    DataOut,
    NopOut,
    TaskFunction,
    TaskManagementRequest,
)
from protocol.iscsi.responses import (
    R2T,
    DataIn,
    NopIn,
    Reject,
    ScsiResponse,
    TaskManagementResponse,
)
from protocol.scsi.commands import Read, TestUnitReady, Write, WriteSame
from protocol.scsi.status import Status
from san.config import TargetConfig
from san.events import BytesBroke, ConnectionLost, PduArrived
from san.logical_unit import LogicalUnit, UnitFacts
from tests.protocol.iscsi.building import PDUS
from tests.san.drill import BLOCK, Drill, Initiator

SMALL = Wishes(receive_bytes_max=2048, burst_bytes_max=4096, first_burst_bytes_max=1024)


def statuses(pdus: list[Pdu]) -> list[tuple[int, int]]:
    return [(pdu.task_tag, pdu.status) for pdu in pdus if isinstance(pdu, ScsiResponse)]


# ---- reads


def test_a_small_read_is_one_pdu_with_its_status() -> None:
    drill = Drill()
    node = drill.initiator(1)
    drill.blocks[512:1024] = b"x" * 512

    assert node.say(Read(1, 1)) == []
    drill.work_all()

    (pdu,) = drill.take(1)
    assert isinstance(pdu, DataIn)
    assert (pdu.status, pdu.residual, pdu.final, bytes(pdu.data)) == (0, 0, True, b"x" * 512)


def test_a_large_read_comes_in_pieces_and_bursts_with_the_status_in_the_last() -> None:
    drill = Drill()
    node = drill.initiator(1, wishes=SMALL)
    drill.blocks[: 20 * BLOCK] = bytes(range(256)) * 40

    node.say(Read(0, 20))
    drill.work_all()

    pieces = [pdu for pdu in drill.take(1) if isinstance(pdu, DataIn)]
    assert b"".join(pdu.data for pdu in pieces) == drill.blocks[: 20 * BLOCK]
    assert [pdu.data_sn for pdu in pieces] == [0, 1, 2, 3, 4]
    assert [pdu.final for pdu in pieces] == [False, True, False, True, True]
    assert [pdu.status for pdu in pieces] == [None] * 4 + [0]


@pytest.mark.parametrize(("room", "residual"), [(512, 512), (2048, -1024)])
def test_more_and_less_than_expected_is_said(room: int, residual: int) -> None:
    drill = Drill()
    node = drill.initiator(1)

    node.say(Read(0, 2), expected_bytes=room)
    drill.work_all()

    (pdu,) = drill.take(1)
    assert isinstance(pdu, DataIn)
    assert (len(pdu.data), pdu.residual) == (min(room, 1024), residual)


# ---- writes


def test_a_write_with_its_data_is_answered_when_the_medium_has_it() -> None:
    drill = Drill()
    node = drill.initiator(1)

    assert node.write(3, b"a" * BLOCK) == []
    drill.work_all()

    assert statuses(drill.take(1)) == [(node.tag, Status.GOOD)]
    assert drill.blocks[3 * BLOCK : 4 * BLOCK] == b"a" * BLOCK


def test_a_write_comes_unasked_then_as_asked_for() -> None:
    drill = Drill()
    node = drill.initiator(1, wishes=SMALL)
    data = bytes(range(256)) * 20
    told = node.say(Write(0, 10), data[:512], final=False)
    assert told == []
    tag = node.tag
    (first,) = drill.tell(1, DataOut(0, tag, NO_TAG, 0, 0, 512, True, data[512:1024]))
    assert isinstance(first, R2T)
    assert (first.offset, first.desired_bytes, first.r2t_sn) == (1024, 4096, 0)

    for number, start in enumerate((1024, 3072)):
        place = drill.core.place(1, _out(tag, first.transfer_tag, start), 2048)
        assert place is not None
        place[:] = data[start : start + 2048]
        piece = DataOut(0, tag, first.transfer_tag, 0, number, start, start == 3072, place)
        assert drill.tell(1, piece) == []
    drill.work_all()

    (answer,) = drill.take(1)
    assert isinstance(answer, ScsiResponse)
    assert (answer.status, answer.exp_data_sn) == (Status.GOOD, 1)
    assert drill.blocks[: len(data)] == data


def test_data_are_asked_for_in_the_name_of_their_unit() -> None:
    drill = Drill()
    drill.core.units.units[300] = LogicalUnit(UnitFacts("3000000000000002", 100))
    node = drill.initiator(1, wishes=SMALL)
    node.say(TestUnitReady(), lun=lun_field(300))
    drill.take(1)

    (request,) = node.say(Write(0, 4), lun=lun_field(300))

    assert isinstance(request, R2T)
    assert request.lun == lun_field(300)


@pytest.mark.parametrize(
    ("announced", "status", "residual"),
    [(1024, Status.GOOD, -512), (256, Status.CHECK_CONDITION, 0)],
)
def test_more_data_than_the_command_takes_are_not_used_and_less_are_refused(
    announced: int, status: Status, residual: int
) -> None:
    drill = Drill()
    node = drill.initiator(1)

    told = node.say(WriteSame(0, 4), bytes(announced), expected_bytes=announced)
    drill.work_all()

    (answer,) = told or drill.take(1)
    assert isinstance(answer, ScsiResponse)
    assert (answer.status, answer.residual) == (status, residual)


def _out(tag: int, transfer_tag: int, offset: int) -> bytes:
    return DataOut(0, tag, transfer_tag, 0, 0, offset, True).header()


def test_a_refused_write_is_answered_after_the_data_that_come_anyway() -> None:
    drill = Drill()
    node = drill.initiator(1, wishes=SMALL)

    assert node.say(Write(1 << 30, 2), final=False) == []
    (answer,) = drill.tell(1, DataOut(0, node.tag, NO_TAG, 0, 0, 0, True, bytes(1024)))

    assert isinstance(answer, ScsiResponse)
    assert answer.status == Status.CHECK_CONDITION


def test_a_lost_piece_fails_the_command_and_not_the_session() -> None:
    drill = Drill()
    node = drill.initiator(1, wishes=SMALL)
    node.say(Write(0, 2), final=False)

    (answer,) = drill.tell(1, DataOut(0, node.tag, NO_TAG, 0, 1, 512, True, bytes(512)))

    assert isinstance(answer, ScsiResponse)
    assert answer.status == Status.CHECK_CONDITION
    assert drill.closed == {}


@pytest.mark.parametrize(
    "piece",
    [
        DataOut(0, 2, NO_TAG, 0, 0, 512, True, bytes(512)),
        DataOut(0, 2, NO_TAG, 0, 0, 0, True, bytes(2000)),
        DataOut(0, 2, 99, 0, 0, 0, True, bytes(512)),
    ],
    ids=["hole", "too-many", "unasked"],
)
def test_data_that_break_the_rules_end_the_session(piece: DataOut) -> None:
    drill = Drill()
    node = drill.initiator(1, wishes=SMALL)
    node.say(Write(0, 2), final=False)
    assert node.tag == 2

    (answer,) = drill.tell(1, piece)

    assert isinstance(answer, Reject)
    assert 1 in drill.closed


def test_writes_that_would_take_too_much_memory_wait_for_others() -> None:
    drill = Drill(TargetConfig(collected_bytes_max=4096))
    node = drill.initiator(1, wishes=Wishes(immediate_data=False, initial_r2t=True))
    asked = [node.say(Write(8 * number, 8)) for number in range(3)]
    assert [len(pdus) for pdus in asked] == [1, 0, 0]
    (first,) = asked[0]
    assert isinstance(first, R2T)

    drill.tell(1, DataOut(0, first.task_tag, first.transfer_tag, 0, 0, 0, True, bytes(4096)))
    drill.work_all()

    answer, second = drill.take(1)
    kinds = {type(answer), type(second)}
    assert kinds == {ScsiResponse, R2T}


# ---- the window


def test_commands_outside_the_window_are_ignored_and_room_is_made_by_answers() -> None:
    drill = Drill(TargetConfig(queue_depth=2))
    node = drill.initiator(1)
    for _ in range(2):
        node.say(Read(0, 1))
    assert len(drill.works) == 2

    node.say(Read(0, 1))
    assert len(drill.works) == 2

    node.cmd_sn -= 1
    drill.work()
    node.say(Read(0, 1))
    assert len(drill.works) == 2


def test_a_gap_ends_the_session() -> None:
    drill = Drill()
    node = drill.initiator(1)
    node.cmd_sn += 1

    node.say(Read(0, 1))

    assert "without those before it" in drill.closed[1]


# ---- aborts


def manage(node: Initiator, function: TaskFunction, tag: int = NO_TAG) -> list[Pdu]:
    request = TaskManagementRequest(function, 0, 0xAA, tag, node.cmd_sn, 0)
    return node.drill.tell(node.number, request)


def answers(pdus: list[Pdu]) -> list[int]:
    return [pdu.response for pdu in pdus if isinstance(pdu, TaskManagementResponse)]


def test_an_abort_is_answered_when_the_medium_has_ended() -> None:
    drill = Drill()
    node = drill.initiator(1)
    node.write(0, bytes(BLOCK))

    assert manage(node, TaskFunction.ABORT_TASK, node.tag) == []
    drill.work_all()

    told = drill.take(1)
    assert answers(told) == [0]
    assert statuses(told) == []


def test_a_task_that_waits_for_data_is_aborted_at_once_and_late_data_are_ignored() -> None:
    drill = Drill()
    node = drill.initiator(1, wishes=SMALL)
    node.say(Write(0, 2), final=False)

    assert answers(manage(node, TaskFunction.ABORT_TASK_SET)) == [0]
    assert drill.tell(1, DataOut(0, node.tag, NO_TAG, 0, 0, 0, True, bytes(1024))) == []
    assert drill.works == []


def test_there_is_no_task_to_abort() -> None:
    assert answers(manage(Drill().initiator(1), TaskFunction.ABORT_TASK, 77)) == [1]


def test_a_reset_ends_the_tasks_of_all_and_tells_the_others() -> None:
    drill = Drill()
    one, other = drill.initiator(1), drill.initiator(2)
    one.write(0, bytes(BLOCK))
    other.write(1, bytes(BLOCK))

    assert manage(one, TaskFunction.LOGICAL_UNIT_RESET) == []
    drill.work_all()

    assert answers(drill.take(1)) == [0]
    assert statuses(drill.take(2)) == [(other.tag, Status.TASK_ABORTED)]


# ---- the rest


def test_a_ping_is_answered_with_its_data() -> None:
    drill = Drill()
    node = drill.initiator(1)

    (answer,) = drill.tell(1, NopOut(5, NO_TAG, node.cmd_sn, 0, immediate=True, data=b"hello"))

    assert isinstance(answer, NopIn)
    assert answer.data == b"hello"


def test_damaged_data_are_rejected_and_end_the_session() -> None:
    drill = Drill()
    drill.initiator(1)

    drill.feed(BytesBroke(1, DigestMismatch("bad", bytes(48))))

    (answer,) = drill.take(1)
    assert isinstance(answer, Reject)
    assert 1 in drill.closed


@given(st.lists(st.tuples(st.integers(1, 3), PDUS), max_size=12), st.booleans())
def test_any_pdus_in_any_order_end_in_answers_or_a_close(
    script: list[tuple[int, Pdu]], logged_in: bool
) -> None:
    drill = Drill()
    drill.open(1)
    drill.open(2)
    if logged_in:
        drill.initiator(3)
    for number, pdu in script:
        drill.feed(PduArrived(number, pdu))
    drill.work_all()

    assert drill.core.is_idle or not drill.closed.keys() >= {1, 2, 3}


def test_bytes_of_a_connection_that_is_gone_change_nothing() -> None:
    drill = Drill()

    assert drill.feed(BytesBroke(7, BadPdu("late"))) == []
    assert drill.feed(ConnectionLost(7)) == []
