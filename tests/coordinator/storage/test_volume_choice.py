"""A new VM is proposed the shared volume with the most room."""

from dataclasses import replace
from typing import Any

import pytest

from coordinator.requests import Accepted, CreateVm, Declined
from coordinator.storage.volume_choice import proposed
from coordinator.store.disk_rows import DiskRow, DiskState, Registrant, disk_key
from protocol.disks import DiskId, DiskRole, VolumeAccess, VolumeStatus
from protocol.messages import DiskReport
from protocol.names import NO_VOLUME, Epoch, NodeName, Term, VmDisk, VmName, VmSpec, VolumeName
from tests.coordinator.driver import formed
from tests.coordinator.ground import spec
from tests.coordinator.stage import LAB, Stage, life
from tests.coordinator.storage.stories import SQL, A, shared

MIB = 1 << 20
WITH_DISK = replace(spec(), disks=(VmDisk(NO_VOLUME, "sql01/disk1.vhd", 8 * MIB),))


def volume(stage: Stage, number: int, free_bytes: int, **fields: Any) -> VolumeStatus:
    disk, name = DiskId(f"600{number}"), VolumeName(f"Volume{number}")
    row = DiskRow(disk, number, 1 << 30, DiskRole.CSV, DiskState.ONLINE, volume=name)
    row = replace(row, owner=NodeName("a"), owner_incarnation=life("a"), epoch=Epoch(3))
    row = replace(row, registrants=(Registrant(life("a"), 1),))
    stage.put(disk_key(disk), replace(row, **fields).data())
    return VolumeStatus(
        disk, name, Epoch(3), VolumeAccess.DIRECT, size_bytes=1 << 30, free_bytes=free_bytes
    )


def staged(*free_bytes: int, **fields: Any) -> Stage:
    """Volume1, 2 .. with so much room; the `fields` are those of the last."""
    stage = Stage()
    statuses = [
        volume(stage, number, free, **(fields if number == len(free_bytes) else {}))
        for number, free in enumerate(free_bytes, start=1)
    ]
    stage.agent("a").storage = DiskReport(LAB, Term(3), life("a"), (), tuple(statuses))
    return stage


def chosen(stage: Stage, wanted: VmSpec = WITH_DISK) -> str:
    found = proposed(stage.scene, wanted)
    assert isinstance(found, VmSpec), found
    assert {disk.volume for disk in found.disks} <= {found.home}
    return found.home


def test_it_is_the_volume_with_the_most_room_and_of_equals_the_first() -> None:
    assert chosen(staged(9 * MIB, 20 * MIB, 12 * MIB)) == "Volume2"
    assert chosen(staged(20 * MIB, 20 * MIB)) == "Volume1"
    assert chosen(staged(9 * MIB), spec()) == "Volume1"


@pytest.mark.parametrize(
    "fields",
    [
        {"state": DiskState.OFFLINE},
        {"state": DiskState.PENDING},
        {"maintenance": True},
        {"role": DiskRole.AVAILABLE, "volume": NO_VOLUME},
        {"epoch": Epoch(4)},
    ],
)
def test_a_volume_on_which_nothing_can_be_made_is_not_proposed(fields: dict[str, Any]) -> None:
    assert chosen(staged(9 * MIB, 20 * MIB, **fields)) == "Volume1"


def test_without_room_anywhere_it_is_refused_and_the_way_out_named() -> None:
    found = proposed(staged(MIB, 7 * MIB).scene, WITH_DISK)

    assert isinstance(found, Declined)
    assert (found.status, found.code) == (409, "no-volume")
    assert "None of Volume1, Volume2 is online with 8388608 bytes free" in found.sentence


def test_a_volume_that_is_named_stays() -> None:
    named = replace(spec(), home=VolumeName("Volume1"))

    assert chosen(staged(9 * MIB, 20 * MIB), named) == "Volume1"


def test_in_a_cluster_without_volumes_nothing_is_proposed() -> None:
    world = formed()

    assert isinstance(world.ask(CreateVm(SQL, spec(), A, True)), Accepted)
    assert world.row("vm/sql01")["spec"]["home"] == ""
    refusal = world.ask(CreateVm(VmName("x"), WITH_DISK, A, True))
    assert isinstance(refusal, Declined)
    assert (refusal.status, refusal.code) == (422, "disk-without-volume")


def test_a_vm_that_is_to_be_local_is() -> None:
    world, _, _ = shared()

    assert isinstance(world.ask(CreateVm(SQL, spec(), A, True, local=True)), Accepted)
    assert world.row("vm/sql01")["spec"]["home"] == ""
