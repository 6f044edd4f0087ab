"""The session machine against a target that says what it likes, and one that keeps the rules."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.disks.initiator import Session
from agent.disks.login import Identity
from agent.disks.session_states import Patience, Phase
from agent.disks.tasks import Task
from protocol.iscsi.negotiation import Wishes
from protocol.iscsi.pdus import Pdu, decode
from protocol.iscsi.requests import (
    NO_TAG,
    DataOut,
    LoginRequest,
    LogoutRequest,
    NopOut,
    ScsiCommand,
    TaskFunction,
)
from protocol.iscsi.responses import (
    R2T,
    AsyncMessage,
    DataIn,
    LoginResponse,
    LogoutResponse,
    NopIn,
    Reject,
    ScsiResponse,
    TaskManagementResponse,
)
from protocol.iscsi.text import write_text

ISID = bytes.fromhex("800000000001")
IDENTITY = Identity("iqn.2026-01.test:node", "iqn.2026-01.test:disks", ISID)
PATIENCE = Patience(login_s=5, quiet_s=2, answer_s=3, command_s=60)
ANSWERS = [
    ("InitialR2T", "No"),
    ("ImmediateData", "Yes"),
    ("MaxRecvDataSegmentLength", "8192"),
    ("MaxBurstLength", "65536"),
    ("FirstBurstLength", "16384"),
    ("MaxOutstandingR2T", "1"),
]


def answer(step: int, **more: object) -> LoginResponse:
    """What a target says to the first and to the second request of a login."""
    data = write_text([("TargetPortalGroupTag", "1")]) if step == 0 else write_text(ANSWERS)
    nsg = 1 if step == 0 else 3
    words: dict[str, object] = {"csg": step, "nsg": nsg, "transit": True, "data": data} | more
    return LoginResponse(ISID, 0 if step == 0 else 7, 0, step, 1, 4, **words)  # type: ignore[arg-type]


def logged_in() -> Session:
    session = Session(IDENTITY, PATIENCE)
    session.start(0.0)
    for step in range(2):
        assert isinstance(session.outgoing.pop(), LoginRequest)
        session.received(answer(step), 0.0)
    assert session.phase is Phase.FULL, session.ended
    return session


def reading(session: Session, length: int = 4096) -> Task:
    task = Task(0, bytes(16), memoryview(bytearray(length)))
    session.submit(task, 0.0)
    return task


def writing(session: Session, data: bytes) -> Task:
    task = Task(0, bytes(16), pieces=(memoryview(data),))
    session.submit(task, 0.0)
    return task


def test_a_login_ends_with_what_both_agreed() -> None:
    session = logged_in()

    assert session.portal_group == 1
    assert session.agreed.first_burst_bytes_max == 16384
    assert not session.outgoing


def test_a_clear_no_is_told_apart_from_a_broken_session() -> None:
    session = Session(IDENTITY, PATIENCE)
    session.start(0.0)

    session.received(answer(0, status=0x0203, transit=False, nsg=0), 0.0)

    assert session.phase is Phase.ENDED
    assert session.refused
    assert "no target of this name" in session.ended


def test_a_login_that_is_not_answered_ends() -> None:
    session = Session(IDENTITY, PATIENCE)
    session.start(0.0)

    session.tick(5.1)

    assert "login" in session.ended


def test_data_lie_in_the_readers_buffer_and_the_last_ends_the_command() -> None:
    session = logged_in()
    task = reading(session)
    first = DataIn(task.tag, 0, 0, 2, 5, False, data=b"a" * 3072)
    last = DataIn(task.tag, 1, 3072, 2, 5, True, 2, 0, data=b"b" * 1024)

    for pdu in (first, last):
        place = session.place(pdu.header(), len(pdu.data))
        assert place is not None
        place[:] = pdu.data
        session.received(pdu, 0.0)

    assert bytes(task.target) == b"a" * 3072 + b"b" * 1024
    assert session.finished == [task]
    assert task.status == 0


def test_a_write_goes_with_what_is_allowed_at_once_and_then_as_it_is_asked_for() -> None:
    session = logged_in()
    data = bytes(range(256)) * 160  # 40960 bytes: 8192 immediate, to 16384 unasked, the rest asked
    task = writing(session, data)
    command, *unasked = session.outgoing
    assert isinstance(command, ScsiCommand)
    assert not command.final
    session.outgoing.clear()

    session.received(R2T(0, task.tag, 9, 2, 2, 5, 0, 16384, 24576), 0.0)

    asked = session.outgoing
    parts = [pdu for pdu in (*unasked, *asked) if isinstance(pdu, DataOut)]
    assert bytes(command.data) + b"".join(bytes(part.data) for part in parts) == data
    assert [part.final for part in parts] == [True, False, False, True]
    assert {part.transfer_tag for part in asked if isinstance(part, DataOut)} == {9}
    session.received(ScsiResponse(task.tag, 2, 2, 5, 0), 0.0)
    assert session.finished == [task]


def test_commands_wait_until_the_target_has_room() -> None:
    session = logged_in()

    tasks = [reading(session) for _ in range(6)]  # the window is 1 to 4

    assert len(session.outgoing) == 4
    session.outgoing.clear()
    session.received(ScsiResponse(tasks[0].tag, 2, 2, 5, 0), 0.0)
    assert len(session.outgoing) == 1
    assert len(session.unanswered) == 5


def test_a_silent_target_is_asked_and_then_taken_for_dead() -> None:
    session = logged_in()

    session.tick(2.5)
    (ping,) = session.outgoing
    assert isinstance(ping, NopOut)
    session.tick(5.0)
    assert session.phase is Phase.FULL
    session.tick(6.0)

    assert "no sign" in session.ended


def test_an_answered_ping_keeps_the_session() -> None:
    session = logged_in()
    session.tick(2.5)
    (ping,) = session.outgoing
    assert isinstance(ping, NopOut)

    session.received(NopIn(ping.task_tag, NO_TAG, 2, 1, 4), 4.0)
    session.tick(5.6)

    assert session.phase is Phase.FULL


def test_a_ping_of_the_target_is_answered_with_its_data() -> None:
    session = logged_in()

    session.received(NopIn(NO_TAG, 77, 2, 1, 4, data=b"ping"), 0.0)

    (pong,) = session.outgoing
    assert isinstance(pong, NopOut)
    assert (pong.transfer_tag, pong.task_tag, pong.data) == (77, NO_TAG, b"ping")


def test_a_command_that_hangs_ends_the_session_however_lively_the_target_is() -> None:
    session = logged_in()
    task = reading(session)
    session.received(NopIn(NO_TAG, NO_TAG, 2, 1, 4), 60.5)

    session.tick(61.0)

    assert session.phase is Phase.ENDED
    assert session.drop() == [task]


def test_a_logout_that_is_answered_ends_the_session() -> None:
    session = logged_in()

    session.leave()
    (request,) = session.outgoing
    assert isinstance(request, LogoutRequest)
    session.received(LogoutResponse(request.task_tag, 2, 1, 4), 0.0)

    assert session.ended == "it was left"


def test_the_answer_to_task_management_finds_who_asked() -> None:
    session = logged_in()
    task = reading(session)
    session.outgoing.clear()

    session.manage(TaskFunction.ABORT_TASK, 0, task, "who asked")
    (request,) = session.outgoing
    session.received(TaskManagementResponse(request.task_tag, 2, 1, 4, 0), 0.0)  # type: ignore[union-attr]

    assert [found.waiter for found in session.answered] == ["who asked"]


RULE_BREAKERS: dict[str, Callable[[int], Pdu]] = {
    "data for nobody": lambda tag: DataIn(tag + 1, 0, 0, 2, 5, True, data=b"x"),
    "data past the end": lambda tag: DataIn(tag, 0, 0, 2, 5, True, data=bytes(5000)),
    "data elsewhere": lambda tag: DataIn(tag, 0, 512, 2, 5, True, data=bytes(512)),
    "data out of turn": lambda tag: DataIn(tag, 1, 0, 2, 5, True, data=bytes(512)),
    "an answer to nobody": lambda tag: ScsiResponse(tag + 1, 2, 2, 5, 0),
    "a status too far": lambda tag: ScsiResponse(tag, 3, 2, 5, 0),
    "data asked of a read": lambda tag: R2T(0, tag, 9, 2, 2, 5, 0, 0, 512),
    "an unasked pong": lambda tag: NopIn(tag + 1, NO_TAG, 2, 1, 4),
    "an unasked logout": lambda tag: LogoutResponse(tag, 2, 1, 4),
    "a second login": lambda tag: answer(0),
    "a request": lambda tag: NopOut(0, 0, 0, 0),
    "a reject": lambda tag: Reject(4, 2, 1, 4),
    "the wish to drop": lambda tag: AsyncMessage(2, 1, 4, 3),
}


@pytest.mark.parametrize("name", RULE_BREAKERS)
def test_a_target_that_breaks_a_rule_loses_the_session_and_the_command_is_kept(name: str) -> None:
    session = logged_in()
    task = reading(session)

    session.received(RULE_BREAKERS[name](task.tag), 0.0)

    assert session.phase is Phase.ENDED
    assert session.ended
    assert session.drop() == [task]
    assert not session.outgoing


HEADERS = st.binary(min_size=48, max_size=48)
OPCODES = st.sampled_from([0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3F, 0x00, 0x17])
SMALL = st.integers(0, 6)


@st.composite
def pdus(draw: st.DrawFn) -> Pdu:
    """Any PDU, with numbers that are often nearly right."""
    header = bytearray(draw(HEADERS))
    header[0] = draw(OPCODES)
    for at in (16, 20, 24, 28, 32, 36, 40):
        if draw(st.integers(0, 3)):
            header[at : at + 4] = draw(SMALL).to_bytes(4, "big")
    if draw(st.booleans()):
        header[44:48] = draw(st.integers(0, 70000)).to_bytes(4, "big")
    data = draw(st.binary(max_size=64))
    header[5:8] = len(data).to_bytes(3, "big")
    return decode(bytes(header), b"", data)


def new() -> Session:
    session = Session(IDENTITY, PATIENCE)
    session.start(0.0)
    return session


def half_way() -> Session:
    session = new()
    session.received(answer(0), 0.0)
    return session


def busy() -> Session:
    session = logged_in()
    for _ in range(3):
        reading(session, 256)
    writing(session, bytes(50000))
    reading(session, 256)
    session.manage(TaskFunction.LOGICAL_UNIT_RESET, 0, None, None)
    session.tick(2.5)
    return session


def leaving() -> Session:
    session = busy()
    session.leave()
    return session


def over() -> Session:
    session = busy()
    session.end("it is over")
    return session


STATES = [new, half_way, logged_in, busy, leaving, over]


@given(st.sampled_from(STATES), st.lists(pdus(), max_size=8))
@settings(max_examples=150, deadline=None)
def test_whatever_a_target_sends_the_machine_ends_or_goes_on(
    begin: Callable[[], Session], sent: list[Pdu]
) -> None:
    session = begin()
    tasks = session.unanswered
    before = {id(task) for task in tasks}

    for pdu in sent:
        place = session.place(pdu.header(), len(pdu.data))
        assert place is None or len(place) == len(pdu.data)
        session.received(pdu, 3.0)
        session.tick(3.0)

    found = session.finished + session.drop()
    assert {id(task) for task in found} == before
    assert len(found) == len(tasks)
    assert all(task.got_bytes <= len(task.target) for task in tasks)
    assert all(task.sent_bytes <= task.out_bytes for task in tasks)
    assert bool(session.ended) == (session.phase is Phase.ENDED)


@given(st.lists(st.binary(min_size=1, max_size=9000), min_size=1, max_size=6), st.data())
@settings(max_examples=200, deadline=None)
def test_a_cut_of_pieces_is_the_part_of_the_whole(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(pieces)
    offset = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(1, len(whole) - offset))
    task = Task(0, b"", pieces=tuple(memoryview(piece) for piece in pieces))

    parts = task.cut(offset, length, 512)

    assert b"".join(bytes(part) for _, part in parts) == whole[offset : offset + length]
    assert all(len(part) <= 512 for _, part in parts)
    assert [at for at, _ in parts] == sorted(at for at, _ in parts)


def test_wishes_can_insist_on_digests() -> None:
    identity = Identity(
        "iqn.2026-01.test:node",
        "iqn.2026-01.test:disks",
        ISID,
        wishes=Wishes(header_digest=("CRC32C",), data_digest=("CRC32C",)),
    )
    session = Session(identity, PATIENCE)
    session.start(0.0)
    session.received(answer(0), 0.0)

    session.received(answer(1, data=write_text([("HeaderDigest", "None")])), 0.0)

    assert session.phase is Phase.ENDED
