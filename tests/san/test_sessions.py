"""Sessions: how they are taken over, left, kept alive, and asked where the target is."""

from protocol.iscsi.requests import NO_TAG, LogoutRequest, NopOut, TextRequest
from protocol.iscsi.responses import LoginResponse, LogoutResponse, NopIn, TextResponse
from protocol.iscsi.text import read_text, write_text
from san.events import ConnectionLost, TimePassed
from tests.san.drill import BLOCK, PORTAL, Drill, Initiator


def test_a_session_is_taken_over_when_nothing_of_the_old_one_goes_on() -> None:
    drill = Drill()
    old = drill.initiator(1, session=9)
    old.write(0, b"o" * BLOCK)
    drill.open(2)
    new = Initiator(drill, 2, old.isid)

    assert new.login() == []
    assert drill.closed[1] == "its initiator logged in again"
    drill.work_all()

    (response,) = drill.take(2)
    assert isinstance(response, LoginResponse)
    assert response.status == 0
    assert drill.take(1) == []


def test_tasks_of_a_connection_that_is_gone_are_waited_for_as_well() -> None:
    drill = Drill()
    old = drill.initiator(1, session=9)
    old.write(0, b"o" * BLOCK)
    drill.feed(ConnectionLost(1))
    drill.open(2)

    assert Initiator(drill, 2, old.isid).login() == []
    drill.work_all()

    assert len(drill.take(2)) == 1


def test_another_session_of_the_same_initiator_takes_nothing_over() -> None:
    drill = Drill()
    drill.initiator(1)

    drill.initiator(2)

    assert drill.closed == {}


def test_a_logout_is_answered_after_the_tasks() -> None:
    drill = Drill()
    node = drill.initiator(1)
    node.write(0, bytes(BLOCK))

    assert drill.tell(1, LogoutRequest(0, 5, 0, node.cmd_sn, 0)) == []
    drill.work_all()

    (answer,) = drill.take(1)
    assert isinstance(answer, LogoutResponse)
    assert 1 in drill.closed


def test_an_idle_initiator_is_pinged_and_a_dead_one_is_let_go() -> None:
    drill = Drill()
    drill.initiator(1)
    drill.now += 11
    drill.feed(TimePassed())
    (ping,) = drill.take(1)
    assert isinstance(ping, NopIn)
    drill.tell(1, NopOut(NO_TAG, ping.transfer_tag, 0, 0, immediate=True))
    drill.now += 9
    drill.feed(TimePassed())
    assert drill.take(1) == []

    for _ in range(3):
        drill.now += 11
        drill.feed(TimePassed())

    assert drill.closed[1] == "the initiator does not answer"


def test_who_asks_is_told_where_the_target_is() -> None:
    drill = Drill()
    drill.open(1)
    asker = Initiator(drill, 1, bytes(6))
    pairs = [("InitiatorName", asker.name), ("SessionType", "Discovery")]
    asker.login(pairs)

    (answer,) = drill.tell(
        1, TextRequest(1, NO_TAG, 1, 0, data=write_text([("SendTargets", "All")]))
    )

    assert isinstance(answer, TextResponse)
    assert read_text(answer.data) == [
        ("TargetName", drill.config.name),
        ("TargetAddress", f"{PORTAL},1"),
    ]


def test_a_login_that_never_ends_is_cut() -> None:
    drill = Drill()
    drill.open(1)
    drill.now += 16

    drill.feed(TimePassed())

    assert drill.closed[1] == "the login took too long"
