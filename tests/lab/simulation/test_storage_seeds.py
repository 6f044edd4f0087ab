"""Seeds of the simulated lab with shared disks, and rules whose loss they notice."""

import pytest

from lab.simulation import san
from lab.simulation.storage_faults import STORAGE_FAULTS, FreezeWriting
from lab.simulation.storage_seeds import StoragePlayer, play
from san.logical_unit import LogicalUnit

SEEDS = range(200)
SEED_OF_THREE_NODES = 1


@pytest.mark.slow
def test_seeds_keep_every_promise_about_shared_storage() -> None:
    met: set[str] = set()
    for seed in SEEDS:
        report = play(seed)
        assert not report.trouble, f"hvlab sim --storage --seed {seed}: {report.trouble}"
        assert report.is_conclusive, report
        met |= report.faults.keys()
    assert set(STORAGE_FAULTS) <= met


def test_a_seed_tells_the_same_story_again() -> None:
    assert play(3).fingerprint == play(3).fingerprint


def test_a_disk_that_forgets_what_it_called_safe_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = san.Medium.write

    def forgetful(self: san.Medium, lba: int, pieces: list[bytes], _: bool) -> None:
        whole(self, lba, pieces, False)

    monkeypatch.setattr(san.Medium, "write", forgetful)
    troubles = [play(seed).trouble for seed in range(3)]
    assert any("Violation" in trouble for trouble in troubles)


def test_a_disk_that_refuses_nobody_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner sleeps with a write under way until another one owns the volume."""
    assert _zombie_writes() == ""
    monkeypatch.setattr(LogicalUnit, "admit", lambda *_: None)
    assert "is node" in _zombie_writes()


def _zombie_writes() -> str:
    player = StoragePlayer(SEED_OF_THREE_NODES)
    player.cluster.start()
    player._make_volumes()
    cluster = player.cluster
    cluster.run(10.0)
    row = next(iter(cluster.checker.vms.values()))
    fault = FreezeWriting(cluster, row["owner"])
    assert fault.begin()
    try:
        cluster.run(60.0)
        fault.end()
        cluster.run(5.0)
    except Exception as broken:
        return str(broken)
    assert fault.took_effect()
    return ""
