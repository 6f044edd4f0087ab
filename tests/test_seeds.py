"""Five hundred seeds of chaos: every promise is kept after every event, all is well again in the
end, and every fault has met every step of a migration.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.simulation.chaos import CELLS
from lab.simulation.seeds import LONG_LIVES, Report, play, play_all

ROOT = Path(__file__).parent.parent
PRINT_FINGERPRINT = """
import sys
from lab.simulation.seeds import play
print(play(int(sys.argv[1])).fingerprint)
"""
SEEDS = range(LONG_LIVES, LONG_LIVES + 500)
"""Short lives; `make sim` plays the long ones, too."""

LONG_SEEDS = range(10)
EMPTY_MAX = 4
"""How many cells of the table chance may leave empty: some steps are over in milliseconds."""


def story_of(report: Report) -> str:
    last_words = "\n".join(report.log[-30:])
    return f"{last_words}\n{report.trouble}\nreplay: hvlab sim --seed {report.seed}"


@pytest.fixture(scope="module")
def reports() -> list[Report]:
    return sorted(play_all([*SEEDS, *LONG_SEEDS]), key=lambda report: report.seed)


@pytest.mark.slow
def test_no_seed_breaks_a_promise(reports: list[Report]) -> None:
    broken = [report for report in reports if report.trouble]

    assert not broken, f"{[report.seed for report in broken]}\n{story_of(broken[0])}"
    assert len(reports) == len(SEEDS) + len(LONG_SEEDS)


@pytest.mark.slow
def test_every_seed_was_hurt_enough_to_prove_something(reports: list[Report]) -> None:
    vague = [
        f"seed {report.seed}: {report.faults} faults, {report.past_pause} past S8"
        for report in reports
        if not report.is_conclusive
    ]

    assert not vague


@pytest.mark.slow
def test_every_fault_took_effect_at_every_step_of_a_migration(reports: list[Report]) -> None:
    met = {cell for report in reports for cell in report.coverage}
    empty = [(fault, step.value) for fault, step in CELLS if (step.value, fault) not in met]

    assert len(empty) <= EMPTY_MAX, empty


def fingerprint(seed: int, hash_seed: str) -> str:
    """The log of a seed in a process of its own, as a hash."""
    told = subprocess.run(
        [sys.executable, "-c", PRINT_FINGERPRINT, str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()


@pytest.mark.slow
def test_a_seed_tells_the_same_story_under_every_hash_seed() -> None:
    for seed in (3, LONG_LIVES + 3):
        stories = {fingerprint(seed, hash_seed) for hash_seed in ("0", "1", "77")}

        assert len(stories) == 1


def test_different_seeds_tell_different_stories() -> None:
    assert play(LONG_LIVES + 1).fingerprint != play(LONG_LIVES + 2).fingerprint
