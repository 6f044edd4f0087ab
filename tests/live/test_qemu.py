"""QEMU as a yardstick, where it is installed."""

from contextlib import closing
from pathlib import Path

import pytest

from agent.io.fill import filled
from agent.io.memory import VmMemory
from lab.bench.qemu import Qemu, migrated
from lab.bench.qemu_words import MULTIFD, PLAIN, QemuLoad, QemuWay
from lab.errors import LabError
from protocol.names import Fill

MEMORY_BYTES = 32 << 20
BUSY = QemuLoad(20_000_000, 4 << 20)


@pytest.fixture
def qemu(tmp_path: Path) -> Qemu:
    try:
        return Qemu.found(tmp_path / "compiled")
    except LabError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("way", [PLAIN, MULTIFD], ids=lambda way: way.name)
async def test_a_guest_that_writes_survives_its_migration(
    qemu: Qemu, way: QemuWay, tmp_path: Path
) -> None:
    with closing(VmMemory.create("qemu-test", MEMORY_BYTES)) as content:
        for _ in filled(content, Fill.RANDOM, 7):
            pass

        move = await migrated(qemu, way, BUSY, content, tmp_path / "run")

    assert move.why == ""
    assert move.wire_bytes > MEMORY_BYTES * 0.9
    assert 0 < move.gap_s < 5
    assert move.total_s > 0


async def test_a_yardstick_that_is_not_there_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HVLAB_QEMU", "no-such-qemu")

    with pytest.raises(LabError, match="install Debian's qemu-system-x86"):
        Qemu.found(tmp_path)
