"""A cluster with disks, and one with a volume: where the stories about storage begin."""

import dataclasses

from coordinator.requests import (
    Accepted,
    AddClusterDisk,
    AddSharedVolume,
    SetProperty,
)
from protocol.disks import DiskId
from protocol.names import NodeName, VmDisk, VmName, VmSpec, VolumeName
from tests.coordinator.driver import World, formed
from tests.coordinator.ground import TIMING, spec
from tests.coordinator.storage.san import San, with_san

A, B, C = map(NodeName, "abc")
SQL = VmName("sql01")
V1 = VolumeName("Volume1")
DETECTED_S = 3 * TIMING.outlast_s


def on_volume(size_bytes: int = 1 << 20) -> VmSpec:
    disk = VmDisk(V1, "sql01/disk1.vhd", size_bytes)
    return dataclasses.replace(spec(), disks=(disk,), home=V1)


def clustered(names: str = "abc", count: int = 2) -> tuple[World, San]:
    """All LUNs are in Available Storage, and online."""
    world = formed(names)
    san = with_san(world, count)
    for disk in san.luns:
        assert isinstance(world.ask(AddClusterDisk(disk)), Accepted)
    world.after(5)
    return world, san


def shared(names: str = "abc") -> tuple[World, San, DiskId]:
    """The first LUN is Volume1 on all nodes."""
    world, san = clustered(names)
    world.ask(SetProperty("EnableSharedVolumes", "Enabled"))
    disk = next(iter(san.luns))
    added = world.ask(AddSharedVolume("Cluster Disk 1"))
    assert added == Accepted({"disk": "Cluster Disk 1", "volume": "Volume1"})
    world.after(5)
    return world, san, disk


def disk_row(world: World, disk: DiskId) -> dict[str, object]:
    return world.row(f"disk/{disk}")


def owner_of(world: World, disk: DiskId) -> str:
    row = disk_row(world, disk)
    assert row["state"] == "Online", row
    return str(row["owner"])


def owners_on(san: San, disk: DiskId) -> list[str]:
    return [life for (life, of), use in san.uses.items() if of == disk and use.owns is not None]
