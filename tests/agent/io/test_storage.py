import json
import stat
from pathlib import Path

import pytest

from agent.io.storage import Storage
from protocol.names import Epoch, Fill, VmName, VmSpec, Workload

VM = VmName("sql01")
SPEC = VmSpec(1 << 20, Workload("hotspot", 50_000_000, 65536), Fill.FILES, 7)


def test_an_open_vm_is_registered_under_its_epoch(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "vms")
    storage.open(VM, Epoch(3), SPEC)
    storage.open(VM, Epoch(4), SPEC)

    (file,) = (tmp_path / "vms").iterdir()
    assert json.loads(file.read_text()) == {
        "name": "sql01",
        "epoch": 4,
        "memory_bytes": 1 << 20,
        "workload": "hotspot",
        "rate_bytes_per_s": 50_000_000,
        "set_bytes": 65536,
        "fill": "files",
        "seed": 7,
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_closed_is_gone_and_may_be_closed_again(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "vms")
    storage.open(VM, Epoch(3), SPEC)
    storage.close(VM)
    storage.close(VM)
    assert list((tmp_path / "vms").iterdir()) == []


def test_storage_that_fails_registers_nothing(tmp_path: Path) -> None:
    (tmp_path / "vms").write_text("not a folder")
    with pytest.raises(OSError, match="vms"):
        Storage(tmp_path / "vms").open(VM, Epoch(3), SPEC)


def test_a_disk_that_is_full_leaves_the_old_registration(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.open(VM, Epoch(3), SPEC)
    (tmp_path / "sql01.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        storage.open(VM, Epoch(4), SPEC)
    assert json.loads((tmp_path / "sql01.json").read_text())["epoch"] == 3
