"""What nobody can fence moves on an operator's oath only, and that is told."""

from coordinator.requests import Accepted, CreateVm, Declined, ForceDisk
from protocol.disks import DiskId
from protocol.names import NodeName
from tests.coordinator.driver import World
from tests.coordinator.storage.san import San
from tests.coordinator.storage.stories import (
    DETECTED_S,
    SQL,
    disk_row,
    on_volume,
    owner_of,
    shared,
)


def unfenced() -> tuple[World, San, DiskId, str]:
    """The owner died with a VM, and the target removes nobody's keys."""
    world, san, disk = shared()
    owner = owner_of(world, disk)
    assert isinstance(world.ask(CreateVm(SQL, on_volume(), NodeName(owner), True)), Accepted)
    world.after(3)
    san.cannot_fence = "the target is half broken"
    world.die(owner)
    world.after(3 * DETECTED_S)
    return world, san, disk, owner


def test_without_a_fence_or_an_oath_nothing_moves() -> None:
    world, _, disk, owner = unfenced()
    life = world[owner].incarnation

    assert disk_row(world, disk)["state"] == "Offline"
    assert world.row("vm/sql01")["live"] is False
    refusal = world.ask(ForceDisk("Volume1", False))
    assert isinstance(refusal, Declined)
    assert (refusal.status, refusal.code) == (409, "oath-missing")
    assert f"The keys of {life} have not been removed from Cluster Disk 1" in refusal.sentence
    assert disk_row(world, disk)["state"] == "Offline"
    assert 9075 not in world.events()


def test_on_oath_the_disk_and_what_is_on_it_move_and_it_is_told() -> None:
    world, _, disk, owner = unfenced()

    assert world.ask(ForceDisk("Volume1", True)) == Accepted({"disk": "Volume1", "forced": True})
    world.after(10)

    assert owner_of(world, disk) != owner
    vm = world.row("vm/sql01")
    assert (vm["owner"] != owner, vm["live"]) == (True, True)
    assert world.events().count(9075) == 1


def test_where_nobody_is_to_be_fenced_there_is_nothing_to_swear() -> None:
    world, _, _ = shared()

    for disk, code in (("Cluster Disk 1", "nothing-to-force"), ("ghost", "unknown-disk")):
        refusal = world.ask(ForceDisk(disk, True))
        assert isinstance(refusal, Declined)
        assert refusal.code == code


def test_nobody_can_swear_that_a_node_is_off_that_lives() -> None:
    world, san, disk = shared()
    owner = owner_of(world, disk)
    san.cannot_fence = "the target is half broken"
    san.gives_up(world[owner], disk)
    world.after(3)

    refusal = world.ask(ForceDisk("Volume1", True))

    assert isinstance(refusal, Declined)
    assert (refusal.code, world[owner].incarnation in refusal.sentence) == ("node-lives", True)
    assert disk_row(world, disk)["state"] == "Offline"
