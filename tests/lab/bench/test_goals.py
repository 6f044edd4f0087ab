from dataclasses import replace

import pytest

from lab.bench.comparing import Compared, Found
from lab.bench.comparisons import Comparison
from lab.bench.goals import (
    BUSY_BESIDE_QEMU,
    COMPARISONS,
    DELTAS,
    FORECASTS,
    IDLE_BESIDE_QEMU,
    PACKING,
    ROWS_OF,
    Book,
    Goal,
    Row,
)
from lab.bench.moving import Measured

RUN = Measured(
    total_s=1.0,
    blackout_s=0.010,
    cpu_s=1.0,
    wire_bytes=100,
    memory_bytes=1 << 30,
    gap_s=0.010,
    parts={"commit": 0.006, "storage": 0.001},
    rounds=[
        {"pages": 10, "seconds": 1.0, "wire_bytes": 40960},
        {"pages": 10, "seconds": 1.0, "wire_bytes": 4096},
    ],
    predicted={"total_s": 1.05, "wire_bytes": 200, "blackout_s": 0.5},
    over_bytes={
        "source": 50 << 20,
        "target": 70 << 20,
        "source, anonymous": 30 << 20,
        "target, anonymous": 30 << 20,
    },
    verified=True,
)


def book(comparison: Comparison, **totals: float) -> Book:
    found = [
        Found(case, [replace(RUN, total_s=totals.get(case.name, 1.0))] * 2)
        for case in comparison.cases
    ]
    return Book(Compared(comparison, 1 << 30, found))


def rows(of: Book) -> dict[str, Row]:
    return {row.goal.name: row for row in ROWS_OF[of.result.comparison.name](of)}


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ([1.0, 2.0, 9.0], "held"),
        ([4.0, 4.0, 0.0], "missed by 1.00 ms, 33 %"),
        ([], "not available: nobody measured it"),
    ],
)
def test_a_goal_is_held_by_its_median_or_says_by_how_much_not(
    figures: list[float], verdict: str
) -> None:
    assert Row(Goal("pause", 3.0, "ms"), figures, "nobody measured it").verdict == verdict


def test_a_least_is_missed_from_below() -> None:
    goal = Goal("goodput", 0.9, at_least=True)

    assert Row(goal, [0.95]).is_held
    assert Row(goal, [0.45]).verdict == "missed by 0.45 x, 50 %"


def test_of_what_must_always_hold_the_worst_figure_counts() -> None:
    assert not Row(Goal("memory", 64.0, "MiB", worst=True), [10.0, 10.0, 65.0]).is_held


def test_total_time_is_held_against_the_better_of_qemus_ways() -> None:
    found = rows(book(IDLE_BESIDE_QEMU, **{"QEMU plain": 4.0, "QEMU multifd": 2.0}))

    assert found["total time, idle guest, beside QEMU's best pre-copy"].figures == [0.5, 0.5]
    assert found["memory of the source's agent over its VM's"].is_held
    assert not found["memory of the target's agent over its VM's"].is_held


def test_the_commit_is_shown_apart_from_the_blackout() -> None:
    row = rows(book(BUSY_BESIDE_QEMU))["blackout without S11, guest at 20 MB/s over 64 MiB"]

    assert row.figures == pytest.approx([4.0, 4.0])
    assert "S10: 1.00" in row.beside
    assert "S11: 6.00" in row.beside


def test_packing_is_judged_by_times_in_the_same_round() -> None:
    found = rows(book(PACKING, **{"text, auto": 0.25, "random, auto": 1.02}))

    assert found["text over 1 Gbit/s: packed so much faster"].figures == [4.0, 4.0]
    assert found["random memory over 1 Gbit/s: packed beside off"].is_held


def test_deltas_are_judged_by_the_rounds_after_the_first() -> None:
    (row,) = rows(book(DELTAS)).values()

    assert row.figures == [0.1, 0.1]


def test_a_forecast_is_judged_by_how_far_off_it_was_and_short_blackouts_do_not_count() -> None:
    found = rows(book(FORECASTS))

    assert found["forecast: error of total"].figures[0] == pytest.approx(0.05)
    assert found["forecast: error of bytes"].figures[0] == pytest.approx(1.0)
    assert found["forecast: error of blackout over 50 ms"].verdict.startswith("not available")


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda one: one.name)
def test_what_is_missing_is_a_sentence_in_every_row_that_needs_it(comparison: Comparison) -> None:
    found = [Found(case, missing="There is no such thing here.") for case in comparison.cases]

    told = ROWS_OF[comparison.name](Book(Compared(comparison, 1 << 30, found)))

    assert told
    assert all(row.verdict.startswith("not available: ") for row in told)
