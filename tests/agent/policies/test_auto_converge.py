from agent.policies import Another, Seen, Stop
from agent.policies.auto_converge import AutoConverge
from protocol.messages import RoundRecord
from tests.agent.policies.test_interface import a_round


def throttles(*left: int) -> list[float]:
    """What the guest loses after each round of 1000 pages that left so many."""
    rounds: tuple[RoundRecord, ...] = ()
    seen = []
    for number, pages in enumerate(left):
        rounds += (a_round(number, 1000, left=pages),)
        seen.append(AutoConverge().throttle(Seen(rounds, 1000)))
    return seen


def test_every_second_round_that_leaves_more_than_half_takes_more_from_the_guest() -> None:
    assert throttles(*[501] * 7) == [0, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4]


def test_a_round_that_leaves_half_is_calm_and_forgets_nothing() -> None:
    assert throttles(501, 500, 501, 500) == [0, 0, 0.2, 0.2]


def test_a_guest_is_never_stopped_altogether() -> None:
    assert throttles(*[900] * 40)[-1] == 0.99


def test_its_decision_carries_the_throttle_and_says_what_it_costs() -> None:
    rounds = tuple(a_round(number, 1000, left=900) for number in range(2))

    decision = AutoConverge().decide(Seen(rounds, 1000))

    assert isinstance(decision, Another)
    assert decision.throttle == 0.2
    assert decision.reason.endswith("The guest loses 20 % of its time.")
    assert isinstance(AutoConverge().decide(Seen((*rounds, a_round(2, 1000, 1)), 1000)), Stop)
