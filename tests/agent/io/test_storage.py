import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from agent.io.storage import OpenDisks, Storage
from protocol.errors import Refused
from protocol.names import Epoch, Fill, VmDisk, VmName, VmSpec, VolumeName, Workload
from tests.agent.io.volume_model import ModelVolume, SameLoop

VM = VmName("sql01")
SPEC = VmSpec(1 << 20, Workload("hotspot", 50_000_000, 65536), Fill.FILES, 7)
V1 = VolumeName("Volume1")
ON_DISK = VmSpec(
    1 << 20, Workload("ledger"), Fill.ZERO, 7, (VmDisk(V1, "/sql01/data.vhd", 1 << 20),), V1
)


async def test_a_vm_is_registered_under_its_epoch(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "vms")
    await storage.register(VM, Epoch(3), SPEC)
    await storage.register(VM, Epoch(4), SPEC)

    (file,) = (tmp_path / "vms").iterdir()
    assert json.loads(file.read_text()) == {
        "name": "sql01",
        "epoch": 4,
        "memory_bytes": 1 << 20,
        "workload": "hotspot:rate=50MB/s,set=64KiB",
        "fill": "files",
        "seed": 7,
        "disks": [],
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_what_is_unregistered_is_gone_and_may_be_so_again(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "vms")
    await storage.register(VM, Epoch(3), SPEC)
    storage.unregister(VM)
    storage.unregister(VM)
    assert list((tmp_path / "vms").iterdir()) == []


async def test_a_folder_that_cannot_be_made_registers_nothing(tmp_path: Path) -> None:
    (tmp_path / "vms").write_text("not a folder")
    with pytest.raises(OSError, match="vms"):
        await Storage(tmp_path / "vms").register(VM, Epoch(3), SPEC)


async def test_a_disk_that_is_full_leaves_the_old_registration(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    await storage.register(VM, Epoch(3), SPEC)
    (tmp_path / "sql01.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        await storage.register(VM, Epoch(4), SPEC)
    assert json.loads((tmp_path / "sql01.json").read_text())["epoch"] == 3


async def test_to_boot_makes_a_vms_files_once(tmp_path: Path) -> None:
    volume = ModelVolume()
    storage = Storage(tmp_path, volume, SameLoop())
    opened = await storage.open(VM, Epoch(1), ON_DISK, boot=True)
    assert [disk.size_bytes for disk in opened.disks] == [1 << 20]
    assert json.loads(volume.texts["/sql01/sql01.json"])["seed"] == 7

    del volume.disks["/sql01/data.vhd"]
    with pytest.raises(Refused, match=r"no file /sql01/data\.vhd"):
        await storage.open(VM, Epoch(2), ON_DISK, boot=True)


async def test_another_vms_files_are_not_taken(tmp_path: Path) -> None:
    storage = Storage(tmp_path, ModelVolume(), SameLoop())
    await storage.open(VM, Epoch(1), ON_DISK, boot=True)

    with pytest.raises(Refused, match="is of another VM"):
        await storage.open(VM, Epoch(2), replace(ON_DISK, seed=8), boot=True)


async def test_a_vm_that_is_deleted_leaves_nothing_on_the_volume(tmp_path: Path) -> None:
    volume = ModelVolume()
    storage = Storage(tmp_path, volume, SameLoop())
    await storage.open(VM, Epoch(1), ON_DISK, boot=True)
    await storage.remove(VM, ON_DISK)

    assert not volume.disks
    assert not volume.texts


async def test_what_cannot_all_be_opened_is_all_closed(tmp_path: Path) -> None:
    volume = ModelVolume()
    missing = VmDisk(V1, "/sql01/log.vhd", 1 << 20)
    storage = Storage(tmp_path, volume, SameLoop())
    await storage.open(VM, Epoch(1), ON_DISK, boot=True)
    volume.open_count = 0

    with pytest.raises(Refused, match=r"no file /sql01/log\.vhd"):
        await storage.open(
            VM, Epoch(1), replace(ON_DISK, disks=(*ON_DISK.disks, missing)), boot=False
        )
    assert volume.open_count == 0


async def test_a_node_without_shared_storage_or_a_vm_without_a_disk_says_so(
    tmp_path: Path,
) -> None:
    storage = Storage(tmp_path)
    assert await storage.open(VM, Epoch(1), SPEC, boot=True) == OpenDisks(Epoch(1))
    with pytest.raises(Refused, match="this node has no shared storage"):
        await storage.open(VM, Epoch(1), ON_DISK, boot=True)
    with pytest.raises(Refused, match="the VM has none"):
        await storage.open(VM, Epoch(1), replace(ON_DISK, disks=()), boot=True)
