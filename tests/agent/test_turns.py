import pytest

from agent.turns import PERIOD_S, Turns

SECOND_NS = 1_000_000_000


def played(turns: Turns, share: float, step_ns: int, rest_ns: int, seconds: int = 20) -> float:
    """The share of the time that a guest kept whose steps last so long; it sleeps whole rests."""
    now_ns, own_s = 0, 0.0
    while now_ns < seconds * SECOND_NS:
        now_ns += step_ns if turns.is_open else rest_ns
        own_s += turns.passed(now_ns, share)
    return own_s / (now_ns / SECOND_NS)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("step_ns", [100_000, 300_000, 3_000_000])
@pytest.mark.parametrize("rest_ns", [1_000_000, 10_000_000])
def test_a_guest_keeps_exactly_what_is_not_taken(share: float, step_ns: int, rest_ns: int) -> None:
    kept = played(Turns(0), share, step_ns, rest_ns)

    assert kept == pytest.approx(1 - share, rel=0.02, abs=0.001)


def test_a_guest_without_a_throttle_has_all_its_time() -> None:
    assert played(Turns(0), 0.0, 100_000, 1_000_000) == pytest.approx(1.0)


def test_a_turn_is_as_long_as_the_period_says() -> None:
    turns, changes, was = Turns(0), 0, True
    for now_ns in range(0, SECOND_NS, 100_000):
        turns.passed(now_ns, 0.4)
        changes += turns.is_open is not was
        was = turns.is_open

    assert changes / 2 == pytest.approx(1 / PERIOD_S, rel=0.05)


def test_a_throttle_that_is_taken_off_opens_at_once() -> None:
    turns = Turns(0)
    now_ns = 0
    while turns.is_open:
        turns.passed(now_ns := now_ns + 1_000_000, 0.99)
    assert turns.opens_in_s > 0.05

    assert turns.passed(now_ns + 1000, 0.0) == 0.0
    assert turns.is_open
    assert turns.opens_in_s == 0.0


def test_a_worker_that_was_asleep_does_not_pay_for_it() -> None:
    turns = Turns(0)
    turns.passed(1000, 0.99)

    turns.passed(60 * SECOND_NS, 0.99)

    assert turns.opens_in_s < 3.0
