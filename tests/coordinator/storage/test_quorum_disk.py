"""A disk of the SAN becomes the witness, is nothing else meanwhile, and comes back."""

import dataclasses

import pytest

from coordinator.requests import (
    Accepted,
    AddClusterDisk,
    AddSharedVolume,
    Declined,
    FormCluster,
    MaintainDisk,
    MoveClusterDisk,
    RemoveClusterDisk,
    SetProperty,
    SetQuorum,
)
from protocol.disks import WITNESS_BYTES_MIN, DiskContent, DiskId, DiskRole
from protocol.messages import UseDisks
from protocol.names import NodeName, QuorumMode, Witness, WitnessKind
from tests.coordinator.agent import Register
from tests.coordinator.driver import World
from tests.coordinator.ground import TIMING
from tests.coordinator.storage.san import San, with_san
from tests.coordinator.storage.stories import clustered, disk_row, owner_of, shared

DISK = WitnessKind.DISK


def chosen(path: str, kind: WitnessKind = DISK, name: str = "Witness") -> SetQuorum:
    mode = QuorumMode.NODE_AND_DISK if kind is DISK else QuorumMode.NODE_AND_SHARE
    return SetQuorum(mode, Witness(name, kind, path))


def reached(world: World) -> None:
    """All agents reach one and the same witness."""
    register = Register()
    for name in "abc":
        world[name].witness = register


def used(world: World, name: str) -> set[DiskId]:
    orders = [said for said in world[name].heard if isinstance(said, UseDisks)]
    return {use.disk for use in orders[-1].disks}


def started() -> tuple[World, San, DiskId]:
    world, san = clustered()
    reached(world)
    first = next(iter(san.luns))
    answer = world.ask(chosen("cluster disk 1"))
    assert isinstance(answer, Accepted), answer
    world.after(10)
    return world, san, first


def test_a_disk_is_chosen_by_its_name_and_is_used_by_nobody_any_more() -> None:
    world, san, first = started()
    _, second = san.luns

    assert world.row("view")["votes"]["witness"] == ["Cluster Disk 1", "Disk", f"lun:{first}"]
    row = disk_row(world, first)
    assert (row["role"], row["state"], row["owner"]) == (DiskRole.WITNESS.value, "Offline", None)
    for name in "abc":
        assert used(world, name) == {second}
    assert 9090 not in world.events(), "that is told of disks that were in the cluster with 9010"


def test_the_same_disk_under_another_name_is_no_other_witness() -> None:
    world, _, first = started()
    index = world.row("view")["votes"]["index"]

    for path in (f"lun:{first}", first, "Cluster Disk 1"):
        assert isinstance(world.ask(chosen(path, name="quorum")), Accepted)
    assert world.row("view")["votes"]["index"] == index


def test_it_is_nothing_else_meanwhile() -> None:
    world, _, first = started()
    world.ask(SetProperty("EnableSharedVolumes", "Enabled"))

    for request in (
        AddSharedVolume("Cluster Disk 1", force=True),
        RemoveClusterDisk("Cluster Disk 1"),
        MaintainDisk("Cluster Disk 1", True),
    ):
        refusal = world.ask(request)
        assert isinstance(refusal, Declined), request
        assert "it is Witness" in refusal.sentence
    assert isinstance(world.ask(MoveClusterDisk("Cluster Disk 1", None)), Declined)
    assert isinstance(world.ask(AddClusterDisk(first)), Declined)


def test_with_another_mode_it_is_in_available_storage_again() -> None:
    world, san, first = started()
    before = world.row(f"disk/{first}")

    assert isinstance(world.ask(SetQuorum(QuorumMode.NODE_MAJORITY, None)), Accepted)
    world.after(10)

    row = disk_row(world, first)
    assert (row["role"], row["state"]) == (DiskRole.AVAILABLE.value, "Online")
    assert world.row(f"disk/{first}")["epoch"] > before["epoch"]
    assert owner_of(world, first) in "abc"
    assert used(world, "a") == set(san.luns)
    assert 9091 in world.events()


def test_a_disk_that_is_not_in_the_cluster_gets_a_row_when_it_is_the_witness() -> None:
    world, san = clustered()
    reached(world)
    third = DiskId("3" * 16)
    san.luns[third] = dataclasses.replace(next(iter(san.luns.values())), id=third, keys=set())
    for name in "abc":
        san.report(world[name])
    world.after(2)

    assert isinstance(world.ask(chosen(third)), Accepted)
    world.after(5)

    assert disk_row(world, third)["role"] == DiskRole.WITNESS.value
    assert isinstance(world.ask(AddClusterDisk(third)), Declined)


@pytest.mark.parametrize(
    ("content", "size_bytes", "says"),
    [
        (DiskContent.FOREIGN, 1 << 30, "which a witness would destroy"),
        (DiskContent.OURS, 1 << 30, "which a witness would destroy"),
        (DiskContent.DAMAGED, 1 << 30, "which a witness would destroy"),
        (DiskContent.BLANK, WITNESS_BYTES_MIN - 4096, "take a larger LUN"),
    ],
)
def test_a_disk_that_holds_something_or_is_too_small_is_refused(
    content: DiskContent, size_bytes: int, says: str
) -> None:
    world, san = clustered()
    lun = next(iter(san.luns.values()))
    lun.content, lun.size_bytes = content, size_bytes
    for name in "abc":
        san.report(world[name])
    world.after(1)

    refusal = world.ask(chosen("Cluster Disk 1"))

    assert isinstance(refusal, Declined)
    assert says in refusal.sentence


def test_what_is_no_disk_that_could_be_a_witness_is_refused() -> None:
    world, san, first = shared()

    for path, kind, says in (
        ("Cluster Disk 1", DISK, "a disk of its own (5928)"),
        ("Cluster Disk 9", DISK, "no disk 'Cluster Disk 9'"),
        (f"lun:{first}", WitnessKind.SHARE, "wants the path of a folder"),
        ("Cluster Disk 2", WitnessKind.SHARE, "full path of a folder"),
    ):
        refusal = world.ask(chosen(path, kind))
        assert isinstance(refusal, Declined), path
        assert says in refusal.sentence
    assert san.luns[first].content is DiskContent.OURS


def test_a_disk_that_one_node_does_not_see_is_refused() -> None:
    world, san = clustered()
    world.after(1)
    strange = DiskId("4" * 16)
    san.luns[strange] = dataclasses.replace(next(iter(san.luns.values())), id=strange, keys=set())
    san.report(world["a"])
    world.after(1)

    refusal = world.ask(chosen(f"lun:{strange}"))

    assert isinstance(refusal, Declined)
    assert "is not seen by b, c" in refusal.sentence


def test_a_new_cluster_has_it_before_any_node_has_told_of_its_disks() -> None:
    disk = DiskId("6000000000000001")
    world = World("abc")
    reached(world)
    world.all_hear_all()
    world.begin()
    world.connect()
    witness, mode = Witness("quorum1", DISK, f"lun:{disk}"), QuorumMode.NODE_AND_DISK
    world.ask(FormCluster("lab", tuple(map(NodeName, "abc")), TIMING, mode, witness))
    world.after(2)
    assert world.row("view")["votes"]["witness"] == ["quorum1", "Disk", f"lun:{disk}"]
    assert world.store.get(f"disk/{disk}").value is None

    with_san(world)
    world.after(5)

    row = disk_row(world, disk)
    assert (row["role"], row["size_bytes"]) == (DiskRole.WITNESS.value, 1 << 30)
    assert 9090 in world.events()
