"""What the measurement of shared volumes says of its figures."""

import io

import pytest
from rich.console import Console

from lab.bench.storage import Storage, as_table, death_max_s, spread

FOUND = Storage([100e6, 80e6], [50e6, 60e6], [0.2, 0.3], [5.0])


def test_redirected_is_held_against_direct_of_the_same_round() -> None:
    assert FOUND.ratios == [0.5, 0.75]
    assert FOUND.as_data()["redirected_to_direct"] == [0.5, 0.75]


def test_an_owners_death_may_take_detection_promises_and_two_seconds() -> None:
    """Five seconds of silence, the delay of the last heartbeat, and what is added to be sure."""
    assert 7.0 < death_max_s() < 12.0
    assert FOUND.as_data()["death_pause_max_s"] == death_max_s()


def test_the_table_has_medians_with_their_spread_beside_what_may_be() -> None:
    shown = io.StringIO()
    Console(file=shown, width=120).print(as_table(FOUND))

    assert "0.625 (0.500 - 0.750)" in shown.getvalue()
    assert ">= 0.4" in shown.getvalue()
    assert spread([]) == "-"
    with pytest.raises(ValueError, match="zip"):
        _ = Storage([1.0], [], [], []).ratios
