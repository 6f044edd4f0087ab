from dataclasses import replace

from agent.policies import Seen
from protocol.messages import RoundRecord
from protocol.travel import Travel


def a_round(number: int, pages: int, left: int, zero: int = 0, seconds: float = 1.0) -> RoundRecord:
    return RoundRecord(number, pages, zero, pages * 4096, seconds, left)


def seen(*rounds: RoundRecord) -> Seen:
    return Seen(rounds, 100_000)


def test_zero_pages_do_not_make_the_network_look_fast() -> None:
    assert seen(a_round(0, 10_000, left=0, zero=9_000)).pages_in(1.0) == 1_000
    assert seen(a_round(0, 10_000, left=0, zero=10_000)).pages_in(1.0) == 10_000


def test_pages_that_the_target_has_do_not_make_the_network_look_fast() -> None:
    kept = replace(a_round(0, 10_000, left=0), kept_pages=9_000)

    assert seen(kept).pages_in(1.0) == 1_000


def test_a_round_without_pages_says_nothing_about_the_speed() -> None:
    idle = a_round(1, 0, left=3, seconds=0.001)

    assert seen(a_round(0, 500, left=0), idle).pages_in(1.0) == 500
    assert seen(idle).pages_in(1.0) == 0


def test_a_burst_is_not_taken_for_a_speed_that_the_limit_forbids() -> None:
    burst = replace(seen(a_round(1, 1_000, left=900, seconds=0.001)), travel=limited(4096 * 500))

    assert burst.pages_in(1.0) == 500


def test_a_limit_counts_bytes_on_the_wire_so_packed_pages_may_be_more() -> None:
    packed = replace(a_round(1, 1_000, left=900, seconds=0.1), wire_bytes=1_000 * 1024)

    assert replace(seen(packed), travel=limited(4096 * 500)).pages_in(1.0) == 2_000


def limited(rate_bytes_per_s: int) -> Travel:
    return Travel(rate_bytes_per_s=rate_bytes_per_s)


def test_what_is_written_while_a_round_lands_is_left_too() -> None:
    round_of_a_second = seen(a_round(0, 1_000, left=100))

    assert round_of_a_second.fits(0.1)
    assert replace(round_of_a_second, lag_s=0.01).fits(0.101)
    assert not replace(round_of_a_second, lag_s=0.02).fits(0.101)


def test_the_pause_to_aim_at_is_the_one_that_was_asked_for() -> None:
    usual = Seen((), 1, pause_max_s=0.05)

    assert usual.downtime_s == 0.05
    assert replace(usual, travel=Travel(downtime_s=0.3)).downtime_s == 0.3


def test_the_first_pass_is_not_counted_as_time_that_a_policy_took() -> None:
    assert seen(a_round(0, 9, 9, seconds=100.0), a_round(1, 9, 9, seconds=2.0)).copied_s == 2.0
