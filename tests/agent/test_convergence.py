from agent.config import Limits
from agent.convergence import POLICIES, no_such_policy, pages_in, policy_named, stop_reason_2008r2
from protocol import names
from protocol.messages import RoundRecord

LIMITS = Limits(rounds_max=3, blackout_max_s=0.05)


def a_round(number: int, pages: int, left: int, zero: int = 0, seconds: float = 1.0) -> RoundRecord:
    return RoundRecord(number, pages, zero, pages * 4096, seconds, left)


def test_pre_copy_ends_when_what_is_left_travels_in_the_allowed_blackout() -> None:
    reason = stop_reason_2008r2([a_round(0, 1000, left=50)], LIMITS)

    assert reason == "The 50 pages that are left travel within 50 ms."


def test_pre_copy_goes_on_while_too_much_is_left_even_if_it_does_not_shrink() -> None:
    rounds = [a_round(0, 1000, left=900), a_round(1, 900, left=950)]

    assert stop_reason_2008r2(rounds, LIMITS) is None


def test_pre_copy_ends_with_its_rounds() -> None:
    rounds = [a_round(number, 1000, left=900) for number in range(3)]

    reason = stop_reason_2008r2(rounds, LIMITS)

    assert reason is not None
    assert reason.startswith("All 3 rounds are used up and 900 pages are left")


def test_a_guest_that_writes_nothing_stops_after_a_round_of_nothing() -> None:
    assert stop_reason_2008r2([a_round(0, 0, left=0, seconds=0.0)], LIMITS) is not None


def test_zero_pages_do_not_make_the_network_look_fast() -> None:
    assert pages_in([a_round(0, 10_000, left=0, zero=9_000)], 1.0) == 1_000
    assert pages_in([a_round(0, 10_000, left=0, zero=10_000)], 1.0) == 10_000


def test_a_round_without_pages_says_nothing_about_the_speed() -> None:
    assert pages_in([a_round(0, 500, left=0), a_round(1, 0, left=3, seconds=0.001)], 1.0) == 500


def test_policies_are_known_by_name_in_any_case_and_others_are_refused_in_a_sentence() -> None:
    assert policy_named("2008R2") is policy_named("") is stop_reason_2008r2
    assert policy_named("never") is None
    assert no_such_policy("never") == "There is no migration policy 'never'; there are 2008r2."


def test_every_policy_that_can_be_asked_for_is_known_to_the_source() -> None:
    assert set(POLICIES) == set(names.POLICIES)
