"""From Available Storage to a volume that every node has, and back."""

import dataclasses

from coordinator.requests import (
    Accepted,
    AddSharedVolume,
    CheckSharedVolume,
    CreateVm,
    Declined,
    MaintainDisk,
    MoveClusterDisk,
    RedirectVolume,
    RemoveClusterDisk,
    RemoveSharedVolume,
    RenameSharedVolume,
    SetProperty,
)
from protocol.disks import DiskContent, VolumeAccess, VolumeMode
from protocol.messages import VolumeAt
from protocol.names import VmDisk, VolumeName
from tests.coordinator.storage.stories import (
    SQL,
    V1,
    A,
    clustered,
    disk_row,
    on_volume,
    owner_of,
    shared,
)


def test_shared_volumes_are_enabled_once_and_the_second_time_is_harmless() -> None:
    world, _ = clustered()

    assert isinstance(world.ask(AddSharedVolume("Cluster Disk 1")), Declined)
    for wish in ("Enabled", "enabled", 1):
        assert world.ask(SetProperty("EnableSharedVolumes", wish)) == Accepted(
            {"EnableSharedVolumes": "Enabled"}
        )
    assert world.events().count(9068) == 1
    refusal = world.ask(SetProperty("EnableSharedVolumes", "Disabled"))
    assert isinstance(refusal, Declined)
    assert "cannot be disabled (5947)" in refusal.sentence


def test_a_volume_is_on_every_node_under_the_same_name_and_epoch() -> None:
    world, san, disk = shared()
    row = disk_row(world, disk)

    assert san.luns[disk].content is DiskContent.OURS
    for name in "abc":
        at = san.volumes[world[name].incarnation, disk]
        assert (at.volume, at.root, at.epoch) == (V1, "ClusterStorage", row["epoch"])
        assert at.owner is not None
        assert (at.owner.node, at.mode) == (row["owner"], VolumeMode.DIRECT)
        assert at.networks[0] == "csv"


def test_a_foreign_disk_is_formatted_by_force_only() -> None:
    world, san = clustered()
    world.ask(SetProperty("EnableSharedVolumes", "Enabled"))
    disk = next(iter(san.luns))
    san.luns[disk].content = DiskContent.FOREIGN
    for agent in world.agents.values():
        san.report(agent)
    world.drain()

    refusal = world.ask(AddSharedVolume(disk))
    assert isinstance(refusal, Declined)
    assert (refusal.code, san.luns[disk].content) == ("disk-not-blank", DiskContent.FOREIGN)
    assert isinstance(world.ask(AddSharedVolume(disk, force=True)), Accepted)
    world.after(5)
    assert san.luns[disk].content is DiskContent.OURS


def test_moving_a_shared_volume_as_a_disk_names_the_right_command() -> None:
    world, _, _ = shared()

    refusal = world.ask(MoveClusterDisk("Cluster Disk 1", None))
    assert isinstance(refusal, Declined)
    assert (refusal.code, "5948" in refusal.sentence) == ("use-csv", True)


def test_maintenance_of_a_volume_is_refused_for_a_disk_that_is_none() -> None:
    world, _, _ = shared()
    world.ask(RemoveSharedVolume("Volume1"))
    world.after(2)

    refusal = world.ask(MaintainDisk("Cluster Disk 1", True, is_volume=True))

    assert isinstance(refusal, Declined)
    assert refusal.code == "unknown-volume"
    assert isinstance(world.ask(MaintainDisk("Cluster Disk 1", True)), Accepted)


def test_redirection_and_maintenance_reach_all_nodes() -> None:
    world, san, disk = shared()
    world.ask(CreateVm(SQL, on_volume(), A, True))
    world.after(2)
    world.ask(RedirectVolume("Volume1", True))
    world.after(2)
    assert {san.volumes[world[n].incarnation, disk].mode for n in "abc"} == {VolumeMode.REDIRECTED}
    assert 5136 in world.events()
    world.ask(RedirectVolume("Volume1", False))
    world.ask(MaintainDisk("Volume1", True))
    world.after(4)
    assert not any(SQL in agent.vms for agent in world.agents.values())
    assert {san.volumes[world[n].incarnation, disk].mode for n in "abc"} == {VolumeMode.MAINTENANCE}
    world.ask(MaintainDisk("Volume1", False))
    world.after(4)
    assert {san.volumes[world[n].incarnation, disk].mode for n in "abc"} == {VolumeMode.DIRECT}
    assert not any(SQL in agent.vms for agent in world.agents.values()), "started by hand"


def test_a_volume_goes_back_to_available_storage_once_no_vm_has_files_there() -> None:
    world, san, disk = shared()
    world.ask(CreateVm(SQL, on_volume(), A, False))
    refusal = world.ask(RemoveSharedVolume("Volume1"))
    assert isinstance(refusal, Declined)
    assert "files of sql01 (5947)" in refusal.sentence
    assert isinstance(world.ask(RenameSharedVolume("Volume1", "Data")), Declined)

    world, san, disk = shared()
    assert isinstance(world.ask(RenameSharedVolume("Volume1", "Data")), Accepted)
    world.after(3)
    assert san.volumes[world["b"].incarnation, disk].volume == "Data"
    assert isinstance(world.ask(RemoveSharedVolume("Data")), Accepted)
    world.after(5)
    assert disk_row(world, disk)["role"] == "Available Storage"
    assert not san.volumes
    owner = world[owner_of(world, disk)]
    assert not san.use(owner, disk).mounted
    assert isinstance(world.ask(RemoveClusterDisk(disk)), Accepted)
    world.after(3)
    assert not san.luns[disk].keys
    assert world.store.get(f"gone-disk/{disk}").value is not None


def test_a_vm_is_created_on_nodes_that_reach_its_volume_only() -> None:
    world, san, disk = shared()
    bad = dataclasses.replace(on_volume(), home=VolumeName("Volume9"))
    refusal = world.ask(CreateVm(SQL, bad, None, True))
    assert isinstance(refusal, Declined)
    assert refusal.code == "unknown-volume"
    outside = dataclasses.replace(on_volume(), disks=(VmDisk(V1, "../x.vhd", 512),))
    refusal = world.ask(CreateVm(SQL, outside, None, True))
    assert isinstance(refusal, Declined)
    assert refusal.code == "bad-path"
    del san.volumes[world["a"].incarnation, disk]
    san.report(world["a"])
    san.silent.add("a")
    world.drain()
    refusal = world.ask(CreateVm(SQL, on_volume(), A, True))
    assert isinstance(refusal, Declined)
    assert refusal.code == "volume-not-reached"
    assert isinstance(world.ask(CreateVm(SQL, on_volume(), None, True)), Accepted)
    world.after(2)
    assert SQL not in world["a"].vms


def test_a_check_is_answered_by_the_owner_or_not_at_all() -> None:
    world, _, _ = shared()
    assert world.ask(CheckSharedVolume("Volume1")) is None
    assert isinstance(world.ask(CheckSharedVolume("Volume7")), Declined)
    world.after(30)
    assert any("has not answered" in getattr(a, "sentence", "") for a in world.answers.values())


def test_what_nodes_report_becomes_events_once() -> None:
    world, san, disk = shared()
    other = next(n for n in "abc" if n != owner_of(world, disk))
    san.pathless.add((other, disk))
    san.report(world[other])
    world.drain()
    world.after(3)
    assert world.events().count(5121) == 1
    san.pathless.discard((other, disk))
    san.report(world[other])
    world.drain()
    world.after(3)
    assert (world.events().count(5121), world.events().count(9073)) == (1, 1)
    assert VolumeAccess.DIRECT.value == "direct"
    assert world.sent(VolumeAt)
