from dataclasses import replace

import pytest

from agent.events import LinkDown, LinkUp, ReserveDone, ReserveFailed, Tick
from protocol.messages import Decided, GaveUp, Hello, Reserved
from protocol.names import AttemptId, Decision, Epoch, VmName
from tests.agent.ground import CLUSTER, SPEC, TERM, VM, agent, life
from tests.agent.leader import A1, living, migrate, reserve, running, said, told, welcome


def refused(actions: list[object]) -> str:
    (message,) = said(actions)
    assert isinstance(message, GaveUp)
    return message.reason


def test_a_node_takes_part_in_one_migration_at_a_time() -> None:
    core = running(living())
    told(core, migrate(core))

    reason = refused(told(core, reserve(core, attempt=2, vm=VmName("web"))))

    assert reason == "This node takes part in attempt 1 already; try again when it has ended."


def test_a_node_takes_part_in_as_many_as_the_coordinator_allows() -> None:
    core = running(living())
    told(core, migrate(core))

    second = replace(reserve(core, attempt=2, vm=VmName("web")), at_once=2)
    assert not [one for one in said(told(core, second)) if isinstance(one, GaveUp)]
    third = replace(reserve(core, attempt=3, vm=VmName("mail")), at_once=2)
    assert "attempt 1 already" in refused(told(core, third))


def test_a_vm_is_moved_by_one_attempt_at_a_time_however_many_the_node_may_take_part_in() -> None:
    core = running(living())
    told(core, migrate(core))

    again = replace(migrate(core), attempt=AttemptId(2), at_once=9)

    assert "Another attempt moves" in refused(told(core, again))
    assert core.attempts.moves(VM)


def test_a_vm_that_is_here_already_cannot_come() -> None:
    core = running(living())

    assert refused(told(core, reserve(core))).startswith("This node still has a sql01")


def test_a_vm_that_does_not_fit_cannot_come() -> None:
    core = living()
    big = replace(SPEC, memory_bytes=5 * SPEC.memory_bytes)

    reason = refused(told(core, replace(reserve(core), spec=big)))

    assert reason == "sql01 needs 1310720 bytes, and this node has 1048576 left."


@pytest.mark.parametrize("epoch", [Epoch(2), Epoch(0)])
def test_a_vm_that_is_not_here_under_that_epoch_cannot_go(epoch: Epoch) -> None:
    core = running(living())

    assert "epoch" in refused(told(core, migrate(core, epoch=epoch))).lower()


def test_a_policy_that_does_not_exist_is_refused_by_name() -> None:
    core = running(living())

    assert "policy 'never'" in refused(told(core, migrate(core, policy="never")))


def test_a_refusal_is_told_again_until_the_abort_comes_and_keeps_nobody_out() -> None:
    core = living()
    told(core, migrate(core))

    again = said(welcome(core))
    assert isinstance(again[0], GaveUp)
    assert not any(isinstance(m, GaveUp) for m in said(told(core, reserve(core, attempt=2))))

    aborted = Decided(CLUSTER, TERM, life("a"), A1, VM, Epoch(2), Decision.ABORTED, "no sql01")
    told(core, aborted)
    assert set(core.attempts.sides) == {2}


def test_a_reservation_that_failed_leaves_its_place_to_the_next() -> None:
    core = living()
    told(core, reserve(core))

    assert refused([*core.handle(ReserveFailed(A1, "No memory is left."), 0.0)]) == (
        "No memory is left."
    )
    assert not any(isinstance(m, GaveUp) for m in said(told(core, reserve(core, attempt=2))))


def test_an_order_that_comes_twice_is_carried_out_once() -> None:
    core = living()

    first = told(core, reserve(core))
    assert len(first) == 1
    assert told(core, reserve(core)) == []
    core.handle(ReserveDone(A1), 0.0)
    (message,) = said(told(core, reserve(core)))
    assert isinstance(message, Reserved)


def test_hello_tells_of_attempts_and_not_of_vms_that_are_still_coming() -> None:
    core = living()
    told(core, reserve(core))

    (hello,) = said([*core.handle(LinkUp(), 1.0)])

    assert isinstance(hello, Hello)
    assert hello.vms == ()
    (report,) = hello.attempts
    assert (report.attempt, report.is_source, report.consented) == (A1, False, False)


def test_a_deadline_is_when_it_wants_to_be_woken() -> None:
    core = agent("a")
    welcome(core)
    told(core, reserve(core))
    core.handle(ReserveDone(A1), 3.0)
    core.handle(LinkDown("reset"), 3.0)

    assert core.wake_at() == 63.0
    (message,) = said([*core.handle(Tick(), 63.0)])
    assert isinstance(message, GaveUp)
    assert message.reason == "No source connected within 60 s."
