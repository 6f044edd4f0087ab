"""Whole forecasts: the table of a 4 GiB VM on a wire of 1 Gbit/s, and bounds that hold."""

import pytest

from agent.forecast.prediction import Sample, predict
from agent.policies import BUILT_IN, Another, Decision, Policy, Seen
from protocol.errors import Refused
from protocol.messages import Forecast, Spread, WayAhead
from protocol.names import PAGE_BYTES
from protocol.travel import Compress, Marking, Travel
from tests.agent.forecast.writers import SAMPLED_S, Random, windows

MB = 1_000_000
PAGES = (4 << 30) // PAGE_BYTES
SET = 200 * MB // PAGE_BYTES


GIGABIT = Spread(117 * MB, 117 * MB, 117 * MB)


def way(wire: Spread = GIGABIT) -> WayAhead:
    none = Spread(0.0, 0.0, 0.0)
    return WayAhead(wire, none, none, Spread(0.02, 0.02, 0.02), "test")


def sample(rate_bytes_per_s: float, **fields: float) -> Sample:
    guest = Random(((SET, rate_bytes_per_s / PAGE_BYTES),))
    return Sample(windows(guest, (*SAMPLED_S, 3.0, 10.0, 30.0)), PAGES, **fields)


def foretold(
    rate_bytes_per_s: float,
    policy: str = "downtime",
    ways: WayAhead | None = None,
    marking: Marking = Marking.ROUND,
    rounds_max: int = 10,
) -> Forecast:
    travel = Travel(marking=marking, downtime_s=0.28)  # and 20 ms to resume
    seen = Seen((), PAGES, travel, rounds_max=rounds_max, bound_rounds=30)
    return predict(sample(rate_bytes_per_s), ways or way(), policy, BUILT_IN.find(policy), seen)


TABLE = {
    10: (2, 38.3, 0.14),
    30: (3, 38.9, 0.12),
    60: (4, 39.6, 0.18),
    90: (5, 40.6, 0.30),
    110: (8, 42.3, 0.30),
    130: (30, 52.0, 0.36),
    200: (30, 73.3, 1.21),
    400: (30, 86.2, 1.67),
}
"""D in MB/s over 200 MB: passes before the last, total and downtime, worked out by hand."""


@pytest.mark.parametrize("rate_mb_per_s", TABLE)
def test_the_table_of_a_vm_of_4_gib_comes_out(rate_mb_per_s: int) -> None:
    rounds, total_s, blackout_s = TABLE[rate_mb_per_s]

    told = foretold(rate_mb_per_s * MB)

    assert told.rounds.likely - 1 == pytest.approx(rounds, abs=1)
    assert told.total_s.likely == pytest.approx(total_s, rel=0.03)
    assert told.blackout_s.likely == pytest.approx(blackout_s, rel=0.15, abs=0.02)


@pytest.mark.parametrize("policy", sorted(BUILT_IN.known))
@pytest.mark.parametrize("rate_mb_per_s", [1, 60, 200])
def test_every_figure_lies_within_its_bounds(policy: str, rate_mb_per_s: int) -> None:
    told = foretold(rate_mb_per_s * MB, policy, way(Spread(117 * MB, 90 * MB, 120 * MB)))

    for figure in (told.rounds, told.wire_bytes, told.total_s, told.blackout_s):
        assert figure.least <= figure.likely <= figure.most <= figure.limit


def test_the_limits_follow_from_the_rounds_that_the_policy_makes() -> None:
    told = foretold(200 * MB, "2008r2")

    assert told.rounds.limit == 11
    assert told.wire_bytes.limit == 11 * PAGES * PAGE_BYTES
    assert told.total_s.likely <= told.total_s.limit < 11.1 * PAGES * PAGE_BYTES / (117 * MB)


def test_pages_left_for_later_make_it_shorter() -> None:
    at_start, left = (
        foretold(200 * MB, marking=marking) for marking in (Marking.ROUND, Marking.PEEK)
    )

    assert left.wire_bytes.likely < at_start.wire_bytes.likely
    assert left.blackout_s.likely < at_start.blackout_s.likely


def test_a_throttled_guest_converges_where_a_free_one_does_not() -> None:
    assert not foretold(200 * MB, "downtime").ends_by_itself
    throttled = foretold(200 * MB, "auto-converge")
    assert throttled.ends_by_itself
    assert throttled.blackout_s.likely < 0.35


def test_after_post_copy_the_pages_that_are_left_do_not_count_as_blackout() -> None:
    told = foretold(200 * MB, "post-copy")

    assert told.blackout_s.likely == pytest.approx(0.02)
    assert told.wire_bytes.likely > PAGES * PAGE_BYTES


def test_zero_pages_and_compression_shorten_it() -> None:
    seen = Seen((), PAGES, Travel(compress=Compress.ZSTD))
    policy = BUILT_IN.find("2008r2")

    plain = predict(sample(MB), way(), "2008r2", policy, Seen((), PAGES))
    packed = predict(sample(MB, zero_share=0.5, packed_share=0.4), way(), "2008r2", policy, seen)

    assert packed.total_s.likely == pytest.approx(plain.total_s.likely * 0.2, rel=0.1)


def test_compressing_too_slowly_for_the_wire_is_reckoned_with() -> None:
    seen = Seen((), PAGES, Travel(compress=Compress.ZSTD))
    slow = sample(MB, packed_share=0.5, packed_bytes_per_s=20.0 * MB)

    told = predict(slow, way(), "2008r2", BUILT_IN.find("2008r2"), seen)

    assert told.total_s.likely == pytest.approx(PAGES * PAGE_BYTES / (20 * MB), rel=0.05)


def test_a_rate_limit_counts() -> None:
    seen = Seen((), PAGES, Travel(rate_bytes_per_s=50 * MB))

    told = predict(sample(MB), way(), "2008r2", BUILT_IN.find("2008r2"), seen)

    assert told.total_s.likely == pytest.approx(PAGES * PAGE_BYTES / (50 * MB), rel=0.05)


class Broken(Policy):
    name = "broken"

    def decide(self, seen: Seen) -> Decision:
        return Another("")


def test_a_policy_that_breaks_is_refused() -> None:
    with pytest.raises(Refused, match="broken"):
        predict(sample(MB), way(), "broken", Broken(), Seen((), PAGES))
