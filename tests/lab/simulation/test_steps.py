"""Each step of a migration, crossed with who is hurt at it and how: no cell ends badly."""

import pytest

from lab.simulation.step_play import ACTORS, HURTS, WELL_MAX_S, Cell, Played, cells, play
from protocol.names import Step


@pytest.fixture(scope="module")
def played() -> dict[Cell, Played]:
    return {cell: play(cell) for cell in cells()}


@pytest.mark.slow
def test_the_vm_runs_once_and_where_the_decision_says_whatever_was_hurt(
    played: dict[Cell, Played],
) -> None:
    wrong = [f"{cell.name}: {came.trouble}" for cell, came in played.items() if came.trouble]

    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_every_cell_of_the_table_was_struck(played: dict[Cell, Played]) -> None:
    missed = [cell.name for cell, came in played.items() if not came.was_struck]

    assert not missed
    assert len(played) == len(Step) * len(ACTORS) * len(HURTS)


@pytest.mark.slow
def test_both_ends_of_the_commit_are_reached(played: dict[Cell, Played]) -> None:
    """A table in which nothing was ever committed, or aborted, would prove half of nothing."""
    decisions = {came.decision for came in played.values()}

    assert {"committed", "aborted"} <= decisions
    assert max(came.well_s for came in played.values()) <= WELL_MAX_S
