from pathlib import Path

import pytest

from lab.bench.comparing import Compared, compared
from lab.bench.comparisons import CALM, Case, Comparison

TINY = Comparison(
    "tiny",
    "two ways that there are and one that there is not",
    (
        Case("plain", CALM),
        Case("2 streams", CALM, travel={"streams": 2}),
        Case("no such policy", CALM, "no-such-policy"),
    ),
)


@pytest.mark.slow
async def test_a_tiny_comparison_runs_from_end_to_end(tmp_path: Path) -> None:
    notes: list[str] = []

    result: Compared = await compared(TINY, 16 << 20, 1, tmp_path, notes.append, wire=False)

    plain, two, missing = result.found
    assert (plain.missing, two.missing) == ("", "")
    assert len(plain.runs) == len(two.runs) == 1
    (run,) = plain.runs
    assert min(run.total_s, run.blackout_s, run.wire_bytes, run.over_bytes["source"]) > 0
    assert run.rounds
    assert run.gap_s is not None
    assert "no-such-policy" in missing.missing
    assert not missing.runs
