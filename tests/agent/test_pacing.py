"""The bucket against a clock that the test turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pacing import LATENESS_S, TokenBucket, batch_pages
from protocol.names import PAGE_BYTES

MIB = 1 << 20
GIGABIT_BYTES_PER_S = 118_000_000


def sent_within(rate: int, batch_bytes: int, seconds: float, late_s: list[float]) -> int:
    """What a sender gets rid of that sleeps as long as it is told, and each time a bit longer."""
    bucket, now, sent, wakes = TokenBucket(rate, 0.0), 0.0, 0, 0
    while True:
        wait_s = bucket.wait_s(now)
        if wait_s > 0:
            now += wait_s + late_s[wakes % len(late_s)]
            wakes += 1
            continue
        if now >= seconds:
            return sent
        bucket.spend(now, batch_bytes)
        sent += batch_bytes


@given(
    st.integers(1 << 20, 2_000_000_000),
    st.lists(st.floats(0, LATENESS_S * 0.9), min_size=1, max_size=9),
)
def test_what_leaves_in_a_second_is_within_two_hundredths_of_the_rate(
    rate: int, late_s: list[float]
) -> None:
    batch_bytes = batch_pages(rate, PAGE_BYTES, 256) * PAGE_BYTES

    sent = sent_within(rate, batch_bytes, 1.0, late_s)

    # Up to the last batch, which is under way when the second ends, and one that came too late.
    assert rate - 2 * batch_bytes - rate * LATENESS_S <= sent <= rate + batch_bytes


def test_a_gigabit_in_batches_of_a_mebibyte_is_met_within_two_hundredths() -> None:
    sent = sent_within(GIGABIT_BYTES_PER_S, MIB, 1.0, [0.0001, 0.004, 0.0])

    assert sent == pytest.approx(GIGABIT_BYTES_PER_S, rel=0.02)


def test_a_long_pause_is_not_followed_by_a_burst() -> None:
    bucket = TokenBucket(GIGABIT_BYTES_PER_S, 0.0)
    bucket.spend(0.0, MIB)

    for _ in range(9):
        bucket.spend(100.0, MIB)

    assert bucket.wait_s(100.0) == pytest.approx(9 * MIB / GIGABIT_BYTES_PER_S - LATENESS_S)


def test_no_rate_is_no_limit() -> None:
    bucket = TokenBucket(0, 0.0)
    bucket.spend(0.0, 1 << 40)
    assert bucket.wait_s(0.0) == 0


def test_a_slow_wire_gets_smaller_batches_and_a_fast_one_all_it_may_have() -> None:
    assert batch_pages(0, PAGE_BYTES, 1024) == 1024
    assert batch_pages(GIGABIT_BYTES_PER_S, PAGE_BYTES, 256) == 256
    assert batch_pages(20_000_000, PAGE_BYTES, 256) == 48
    assert batch_pages(1 << 20, PAGE_BYTES, 256) == 16
    assert batch_pages(1 << 20, PAGE_BYTES, 8) == 8
