"""Two hundred seeds of chaos: every promise is kept after every event, and all is well again in the
end.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.simulation.seeds import Report, play

ROOT = Path(__file__).parent.parent
PRINT_FINGERPRINT = """
import sys
from lab.simulation.seeds import play
print(play(int(sys.argv[1])).fingerprint)
"""
SEEDS, BLOCK = 200, 10
BLOCKS = [
    pytest.param(
        range(first, first + BLOCK),
        id=f"{first}-{first + BLOCK - 1}",
        marks=pytest.mark.xdist_group(f"seeds {first // BLOCK % 2}"),
    )
    for first in range(0, SEEDS, BLOCK)
]


def story_of(report: Report) -> str:
    last_words = "\n".join(report.log[-30:])
    return f"{last_words}\n{report.trouble}\nreplay: hvlab sim --seed {report.seed}"


@pytest.mark.slow
@pytest.mark.parametrize("seeds", BLOCKS)
def test_no_seed_breaks_a_promise(seeds: range) -> None:
    for seed in seeds:
        report = play(seed)

        assert not report.trouble, story_of(report)
        assert report.is_conclusive, f"seed {seed}: {report.faults} faults, {report.past_pause} S8"


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
    stories = {fingerprint(3, hash_seed) for hash_seed in ("0", "1", "77")}

    assert len(stories) == 1


def test_different_seeds_tell_different_stories() -> None:
    assert play(1).fingerprint != play(2).fingerprint
