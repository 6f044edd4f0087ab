from dataclasses import replace
from pathlib import Path

import pytest

from lab.bench.heartbeats import Beats, Load, gaps_of, rank
from lab.errors import LabError

BEATS = Beats(Load(60.0, (1 << 30,)), 60.0, 9, 9 << 30, 4000, 0.25, 0.30, 0.9, (), 0)


def test_gaps_are_counted_for_each_route_and_up_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "node1.log").write_text(
        "9.9 lan node2\n10.0 lan node2\n10.1 csv node2\n10.2 lan node2\n10.2 csv node3\n"
    )
    (tmp_path / "node2.log").write_text("10.5 lan node1\n11.5 lan node1\n")

    found = sorted(round(gap, 3) for gap in gaps_of(tmp_path, 10.0, 11.0))

    assert found == [0.2, 0.5, 0.8, 0.8, 0.9]


def test_without_any_heartbeat_there_is_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "node1.log").write_text("")
    with pytest.raises(LabError, match="no heartbeat"):
        gaps_of(tmp_path, 0.0, 1.0)


@pytest.mark.parametrize(("share", "value"), [(0.5, 500), (0.999, 999), (1.0, 1000)])
def test_a_rank_is_the_value_that_so_many_do_not_exceed(share: float, value: int) -> None:
    assert rank(list(range(1, 1001)), share) == value


def test_heartbeats_suffer_from_long_gaps_and_from_whatever_is_down() -> None:
    assert BEATS.suffer is None
    assert "99.9 %" in str(replace(BEATS, long_s=0.375).suffer)
    assert "node1" in str(replace(BEATS, downs=("Node node1 was removed.",)).suffer)
    assert "quorum" in str(replace(BEATS, quorum_losses=1).suffer)
    assert BEATS.as_data()["suffer"] is None
