"""Passes in numbers against the same passes page by page, and against the plateau of the field."""

import math

import numpy as np
import pytest

from agent.forecast.curve import Curve
from agent.forecast.passes import Dirt, Load, Speed, play
from agent.policies import BUILT_IN, Another, Seen
from protocol.names import PAGE_BYTES
from protocol.travel import Marking
from tests.agent.forecast.writers import SAMPLED_S, Guest, Random, Sweep, passes, windows

MEMORY_PAGES = 20_000
PAGES_PER_S = 4000.0
SPEED = Speed(PAGES_PER_S * PAGE_BYTES, 0.0)
GUESTS = {
    "uniform": Random(((4000, 4800.0),)),
    "calm": Random(((4000, 1200.0),)),
    "hot and cold": Random(((7000, 250.0), (700, 50_000.0))),
    "three": Random(((15_000, 100.0), (3000, 3000.0), (300, 30_000.0))),
    "sweep": Sweep(2000, 3000.0),
}


def foretold(guest: Guest, marking: Marking, rounds: int) -> list[tuple[int, int]]:
    seen = windows(guest, (*SAMPLED_S, 3.0))
    dirt = Dirt(Load(MEMORY_PAGES, 0, 1.0, marking), Curve.of(seen, MEMORY_PAGES))
    told = [dirt.travel(number, SPEED, Another("again")) for number in range(rounds)]
    return [(record.pages, record.dirty_pages_at_end) for record in told]


@pytest.mark.parametrize("marking", Marking)
@pytest.mark.parametrize("name", GUESTS)
def test_the_passes_are_those_of_a_migration_page_by_page(name: str, marking: Marking) -> None:
    guest = GUESTS[name]
    runs = [passes(guest, MEMORY_PAGES, 1 / PAGES_PER_S, marking, 6, seed) for seed in range(3)]
    real = np.mean([[(sent, dirty) for sent, _, dirty in run] for run in runs], axis=0)

    told = np.array(foretold(guest, marking, 6), float)

    # The corner of a sweep's curve lies between two windows; and it is not written at random, which
    # matters most where marks go with the sending.
    corner = {Marking.ROUND: 0.2, Marking.PEEK: 0.3, Marking.SENT: 0.5}
    near = corner[marking] if name == "sweep" else 0.13
    assert told[:, 0] == pytest.approx(real[:, 0], rel=near, abs=70)
    assert told[:, 1] == pytest.approx(real[:, 1], rel=near, abs=70)


def plateau(ratio: float, marking: Marking) -> float:
    """The share of a set written at random that is left after many passes, at `ratio` = D / R."""
    set_pages = 4000
    guest = Random(((set_pages, ratio * PAGES_PER_S),))
    return foretold(guest, marking, 60)[-1][1] / set_pages


ROUND_START = {1.2: 0.314, 1.5: 0.583, 2.0: 0.797, 3.0: 0.940, 5.0: 0.993}
WHEN_SENT = {1.2: 0.167, 1.5: 0.333, 2.0: 0.500, 3.0: 0.667, 5.0: 0.800}


@pytest.mark.parametrize("ratio", ROUND_START)
def test_marks_taken_at_the_start_leave_what_solves_x_is_1_minus_exp(ratio: float) -> None:
    assert plateau(ratio, Marking.ROUND) == pytest.approx(ROUND_START[ratio], abs=0.03)


@pytest.mark.parametrize("ratio", WHEN_SENT)
def test_marks_cleared_when_sent_leave_1_minus_1_by_the_ratio(ratio: float) -> None:
    assert plateau(ratio, Marking.SENT) == pytest.approx(WHEN_SENT[ratio], abs=0.03)
    assert WHEN_SENT[ratio] == pytest.approx(1 - 1 / ratio, abs=0.001)


@pytest.mark.parametrize("ratio", [1.5, 2.0, 3.0, 5.0])
def test_leaving_out_what_was_written_again_leaves_what_the_root_of_the_ratio_would(
    ratio: float,
) -> None:
    """Of x pages (1 - exp(-rT)) / rT travel, so rT = sqrt(ratio) x where all travel otherwise."""
    x = 0.5
    for _ in range(500):
        x = 1 - math.exp(-math.sqrt(ratio) * x)

    assert plateau(ratio, Marking.PEEK) == pytest.approx(x, abs=0.03)


def test_zero_pages_take_no_time_and_only_once() -> None:
    curve = Curve.of(windows(GUESTS["calm"]), MEMORY_PAGES)
    half = Load(MEMORY_PAGES, MEMORY_PAGES // 2, 1.0, Marking.ROUND)
    dirt = Dirt(half, curve)

    first, second = (dirt.travel(number, SPEED, Another("again")) for number in range(2))

    assert first.seconds == pytest.approx(MEMORY_PAGES / 2 / PAGES_PER_S)
    assert (first.zero_pages, second.zero_pages) == (MEMORY_PAGES // 2, 0)


def test_a_throttled_guest_writes_as_slowly_as_it_runs() -> None:
    curve = Curve.of(windows(GUESTS["uniform"]), MEMORY_PAGES)
    free = Dirt(Load(MEMORY_PAGES, 0, 1.0, Marking.ROUND), curve)
    slow = Dirt(Load(MEMORY_PAGES, 0, 1.0, Marking.ROUND), curve)

    freely = free.travel(0, SPEED, Another("again"))
    slowly = slow.travel(0, SPEED, Another("again", throttle=0.9))

    assert slowly.dirty_pages_at_end == pytest.approx(curve.pages_in(freely.seconds / 10), abs=1)
    assert slowly.throttle == 0.9


def test_a_policy_of_rounds_is_followed_to_its_last_round() -> None:
    curve = Curve.of(windows(GUESTS["hot and cold"]), MEMORY_PAGES)
    load = Load(MEMORY_PAGES, 0, 1.0, Marking.ROUND)

    played = play(load, SPEED, curve, BUILT_IN.find("2008r2"), Seen((), MEMORY_PAGES))

    assert len(played.rounds) == 11
    assert played.reason.startswith("All 10 rounds are used up")
    assert played.rounds[-1].dirty_pages_at_end == 0


def test_a_policy_without_an_end_is_ended_by_the_bound_and_says_so() -> None:
    curve = Curve.of(windows(Random(((4000, 20_000.0),))), MEMORY_PAGES)
    load = Load(MEMORY_PAGES, 0, 1.0, Marking.ROUND)

    played = play(
        load, SPEED, curve, BUILT_IN.find("downtime"), Seen((), MEMORY_PAGES, bound_rounds=20)
    )

    assert played.bounded
    assert len(played.rounds) == 21


def test_a_rate_that_the_policy_asks_for_is_kept() -> None:
    curve = Curve.of(windows(GUESTS["calm"]), MEMORY_PAGES)
    dirt = Dirt(Load(MEMORY_PAGES, 0, 1.0, Marking.ROUND), curve)

    record = dirt.travel(0, SPEED, Another("slowly", rate_bytes_per_s=PAGE_BYTES * 1000.0))

    assert record.seconds == pytest.approx(MEMORY_PAGES / 1000)


@pytest.mark.parametrize("marking", [Marking.PEEK, Marking.SENT])
def test_pages_that_have_their_turn_early_are_written_again_only_afterwards(
    marking: Marking,
) -> None:
    """A set at the lower end of the memory is sent before it is written, one at its end after."""
    curve = Curve.of(windows(GUESTS["uniform"]), MEMORY_PAGES)
    low, high = (0.01, 0.05, 0.1), (0.9, 0.95, 0.99)
    early, late = (
        Dirt(Load(MEMORY_PAGES, 0, 1.0, marking, places), curve).travel(0, SPEED, Another("all"))
        for places in (low, high)
    )

    if marking is Marking.PEEK:
        assert early.left_pages < late.left_pages
        assert early.pages > late.pages
    else:
        assert early.dirty_pages_at_end > late.dirty_pages_at_end
