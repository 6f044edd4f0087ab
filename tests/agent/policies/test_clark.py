from dataclasses import replace

import pytest

from agent.policies import Another, Seen, Stop
from agent.policies.clark import Clark
from protocol.travel import Travel
from tests.agent.policies.test_interface import a_round

MBIT = 125_000


def test_the_first_round_is_sent_at_the_low_rate() -> None:
    assert Clark().first(Seen((), 1000)).rate_bytes_per_s == 100 * MBIT


def test_each_round_is_sent_a_little_faster_than_the_guest_wrote_in_the_one_before() -> None:
    wrote_200_mbit = a_round(0, 50_000, left=200 * MBIT // 4096 + 1)

    decision = Clark().decide(Seen((wrote_200_mbit,), 50_000))

    assert isinstance(decision, Another)
    assert decision.rate_bytes_per_s == pytest.approx(250 * MBIT, rel=0.001)


def test_a_calm_guest_is_still_sent_at_the_low_rate() -> None:
    decision = Clark().decide(Seen((a_round(0, 50_000, left=100),), 50_000))

    assert decision == Another("The guest wrote 0.4 MB/s.", 100 * MBIT)


def test_it_ends_when_the_rate_would_pass_the_highest_one() -> None:
    wrote_460_mbit = a_round(0, 50_000, left=460 * MBIT // 4096)

    assert isinstance(Clark().decide(Seen((wrote_460_mbit,), 50_000)), Stop)


def test_it_ends_when_no_more_than_256_kib_are_left() -> None:
    seen = Seen((a_round(0, 50_000, left=64),), 50_000)

    assert isinstance(Clark().decide(seen), Stop)
    assert isinstance(Clark().decide(replace(seen, rounds=(a_round(0, 9, left=65),))), Another)


def test_the_limit_of_the_migration_takes_the_place_of_the_highest_rate() -> None:
    seen = Seen((), 1000, Travel(rate_bytes_per_s=80 * MBIT))

    assert Clark().first(seen).rate_bytes_per_s == 80 * MBIT


@pytest.mark.parametrize(
    "numbers", [{"low_bytes_per_s": 0.0}, {"high_bytes_per_s": 1.0}, {"delta_bytes_per_s": 0.0}]
)
def test_rates_that_lead_nowhere_are_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(numbers))):
        Clark(**numbers)
