"""A store that was put back from a backup may give out the id of an attempt that ended long ago."""

from dataclasses import replace

from agent import actions
from agent.core import AgentCore
from protocol.messages import Decided, Ended
from protocol.names import AttemptId, Decision, Epoch, Term
from tests.agent.ground import CLUSTER, TERM, VM
from tests.agent.leader import A1, living, migrate, reserve, running, said, told, welcome

LATER = Term(TERM + 1)


def decided(
    core: AgentCore, epoch: int, term: Term = TERM, how: Decision = Decision.ABORTED
) -> list[object]:
    order = Decided(CLUSTER, term, core.incarnation, A1, VM, Epoch(epoch), how, "no answer")
    return said(told(core, order))


def ended_at_target() -> AgentCore:
    """Attempt 1 was to bring the VM here from epoch 1, and was aborted."""
    core = living()
    decided(core, epoch=2)
    assert not core.attempts.sides
    return core


def test_an_order_for_an_attempt_that_ended_is_answered_with_its_end() -> None:
    core = ended_at_target()

    (message,) = said(told(core, reserve(core)))

    assert isinstance(message, Ended)


def test_under_a_later_term_it_is_another_attempt_of_the_same_id() -> None:
    core = ended_at_target()
    welcome(core, term=LATER)

    orders = told(core, replace(reserve(core, epoch=Epoch(5)), term=LATER))

    assert any(isinstance(order, actions.Reserve) for order in orders)
    assert set(core.attempts.sides) == {A1}


def test_a_source_takes_part_in_it_too() -> None:
    core = running(living())
    told(core, migrate(core))
    decided(core, epoch=2)
    welcome(core, term=LATER)

    orders = told(core, replace(migrate(core, epoch=Epoch(2)), term=LATER))

    assert not any(isinstance(message, Ended) for message in said(orders))
    assert set(core.attempts.sides) == {A1}


def test_its_decision_is_not_answered_with_how_the_other_ended() -> None:
    core = running(living())
    told(core, migrate(core))
    decided(core, epoch=2)

    (again,) = decided(core, epoch=2)
    (other,) = decided(core, epoch=9)

    assert isinstance(again, Ended)
    assert isinstance(other, Ended)
    assert core.vms.vms[VM].epoch == Epoch(9)
    assert (again.attempt, other.attempt) == (AttemptId(1), AttemptId(1))


def test_another_decision_than_the_one_that_is_remembered_is_confirmed_as_it_is() -> None:
    core = ended_at_target()
    welcome(core, term=LATER)

    (message,) = decided(core, epoch=2, term=LATER, how=Decision.COMMITTED)

    assert isinstance(message, Ended)
    assert message.decision is Decision.COMMITTED
