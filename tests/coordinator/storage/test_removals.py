"""The files of a deleted VM go, whatever happens to those who remove them."""

import dataclasses

from coordinator.requests import (
    Accepted,
    CreateVm,
    Declined,
    DeleteVm,
    MoveClusterDisk,
    RemoveSharedVolume,
    StopVm,
)
from coordinator.storage.removals import TakeFilesRemoved
from coordinator.store.rows import DeletedRow
from protocol.disks import DiskId
from protocol.messages import FilesRemoved
from protocol.names import NO_VOLUME, Epoch, Incarnation
from tests.coordinator.driver import World, another
from tests.coordinator.storage.san import San
from tests.coordinator.storage.stories import (
    DETECTED_S,
    SQL,
    A,
    B,
    C,
    on_volume,
    owner_of,
    shared,
)


def with_deleted(cannot_remove: str = "") -> tuple[World, San, DiskId]:
    """A VM ran on Volume1, was stopped and deleted."""
    world, san, disk = shared()
    assert isinstance(world.ask(CreateVm(SQL, on_volume(), A, True)), Accepted)
    world.after(3)
    assert isinstance(world.ask(StopVm(SQL)), Accepted)
    world.after(3)
    san.cannot_remove = cannot_remove
    assert isinstance(world.ask(DeleteVm(SQL)), Accepted)
    return world, san, disk


def left(world: World) -> DeletedRow:
    return DeletedRow.read(world.row(f"deleted/{SQL}"))


def test_deleting_a_vm_deletes_its_files() -> None:
    world, san, disk = with_deleted()
    owner = world[owner_of(world, disk)].incarnation

    assert san.removed == [(owner, disk, SQL, Epoch(1))]
    assert left(world).files == ()
    assert world.events().count(9074) == 1


def test_what_could_not_be_removed_is_tried_until_it_can() -> None:
    world, san, disk = with_deleted("it is busy")

    assert left(world).files == (disk,)
    world.after(10)
    assert san.removed == []
    assert world.core.picture().volumes[0]["being_removed"] == [SQL]
    san.cannot_remove = ""
    world.after(5)
    assert len(san.removed) == 1
    assert left(world).files == ()
    assert world.core.picture().volumes[0]["being_removed"] == []


def test_a_new_vm_of_the_name_and_the_volume_wait_until_the_files_are_gone() -> None:
    world, san, _ = with_deleted("it is busy")

    again = world.ask(CreateVm(SQL, on_volume(), A, True))
    away = world.ask(RemoveSharedVolume("Volume1"))
    assert isinstance(again, Declined)
    assert isinstance(away, Declined)
    assert (again.status, again.code) == (away.status, away.code) == (409, "files-remain")
    assert "earlier VM 'sql01' are still being removed from Volume1" in again.sentence
    assert "deleted VMs (sql01)" in away.sentence
    san.cannot_remove = ""
    world.after(5)
    assert isinstance(world.ask(CreateVm(SQL, on_volume(), A, True)), Accepted)
    assert world.row(f"vm/{SQL}")["epoch"] == 2


def test_a_disk_that_nobody_sees_any_more_can_be_given_back_with_what_is_on_it() -> None:
    world, san, disk = with_deleted("it is busy")
    san.fails_to_own = dict.fromkeys("abc", "it is gone")
    del san.luns[disk]
    for agent in world.agents.values():
        san.report(agent)
    world.drain()

    assert isinstance(world.ask(RemoveSharedVolume("Volume1")), Accepted)
    plain = dataclasses.replace(on_volume(), disks=(), home=NO_VOLUME)
    assert isinstance(world.ask(CreateVm(SQL, plain, A, False)), Accepted)


def test_another_owner_carries_on() -> None:
    world, san, disk = with_deleted("it is busy")
    before = owner_of(world, disk)
    other = next(node for node in (A, B, C) if node != before)

    assert isinstance(world.ask(MoveClusterDisk("Volume1", other, True)), Accepted)
    world.after(3)
    san.cannot_remove = ""
    world.after(5)
    assert san.removed == [(world[other].incarnation, disk, SQL, Epoch(1))]


def test_the_owners_death_does_not_end_it() -> None:
    world, san, disk = with_deleted("it is busy")
    before = owner_of(world, disk)
    world.die(before)
    san.cannot_remove = ""
    world.after(DETECTED_S + 10)

    assert left(world).files == ()
    assert [life for life, _, _, _ in san.removed] != [world[before].incarnation]


def test_another_leader_carries_on() -> None:
    world, san, _ = with_deleted("it is busy")
    second = another(world)
    for agent in second.agents.values():
        agent.storage = san
    second.begin()
    san.cannot_remove = ""
    second.connect("a", "b", "c")
    second.after(10)

    assert len(san.removed) == 1
    assert left(second).files == ()


def test_a_late_word_of_an_older_vm_or_of_no_owner_counts_for_nothing() -> None:
    world, _, disk = with_deleted("it is busy")
    row = world.row(f"disk/{disk}")
    owner, epoch = Incarnation(str(row["owner_incarnation"])), Epoch(int(str(row["epoch"])))
    scene = world.core._desk.scene

    for said in (
        TakeFilesRemoved(disk, SQL, Epoch(0), owner, epoch),
        TakeFilesRemoved(disk, SQL, Epoch(1), Incarnation("x-1"), epoch),
        TakeFilesRemoved(disk, SQL, Epoch(1), owner, Epoch(epoch - 1)),
        TakeFilesRemoved(DiskId("other"), SQL, Epoch(1), owner, epoch),
    ):
        assert said.draft(scene) is None, said
    assert TakeFilesRemoved(disk, SQL, Epoch(1), owner, epoch).draft(scene) is not None
    agent = world[str(row["owner"])]
    head = agent.known, agent.term, agent.incarnation
    agent.say(FilesRemoved(*head, disk, epoch, SQL, Epoch(1), "no"))
    world.drain()
    assert left(world).files == (disk,)


def test_a_deleted_vm_of_an_older_store_has_no_files_left() -> None:
    assert DeletedRow.read({"name": SQL, "epoch": 3}) == DeletedRow(SQL, Epoch(3))


def test_what_is_left_of_a_vm_keeps_where_its_files_are() -> None:
    gone = DeletedRow(SQL, Epoch(3), (DiskId("6001"), DiskId("6002")))

    assert DeletedRow.read(gone.data()) == gone
