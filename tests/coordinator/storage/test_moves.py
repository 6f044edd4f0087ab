"""The files of a running VM move to another volume, or stay: decided once, in the VM's row."""

from collections.abc import Callable

import pytest

from coordinator.requests import (
    Accepted,
    AddSharedVolume,
    CancelStorageMove,
    CreateVm,
    Declined,
    MaintainDisk,
    MigrateVm,
    MoveVmStorage,
    RemoveSharedVolume,
    StartVm,
    StopVm,
)
from coordinator.storage.moves import SwitchMove
from coordinator.store.rows import VmRow
from protocol.disks import DiskId
from protocol.messages import (
    FromAgent,
    MoveStorage,
    StorageDecided,
    StorageMirrored,
    StorageMoveEnded,
    StorageMoveFailed,
    StorageProgress,
)
from protocol.names import Epoch, Outcome, Verify, VmName, VolumeName
from tests.coordinator.agent import Scripted
from tests.coordinator.driver import World, another
from tests.coordinator.storage.san import San
from tests.coordinator.storage.stories import DETECTED_S, SQL, V1, A, B, on_volume, shared

V2 = VolumeName("Volume2")


def with_two_volumes() -> tuple[World, San, tuple[DiskId, DiskId]]:
    """sql01 runs on a, with its files on Volume1."""
    world, san, first = shared()
    assert isinstance(world.ask(AddSharedVolume("Cluster Disk 2")), Accepted)
    world.after(5)
    assert isinstance(world.ask(CreateVm(SQL, on_volume(), A, True)), Accepted)
    world.after(5)
    second = next(disk for disk in san.luns if disk != first)
    return world, san, (first, second)


def moving() -> tuple[World, San, tuple[DiskId, DiskId]]:
    world, san, disks = with_two_volumes()
    assert world.ask(MoveVmStorage(SQL, "Volume2")) == Accepted({"vm": SQL, "move": 1})
    return world, san, disks


def row(world: World) -> VmRow:
    return VmRow.read(world.row(f"vm/{SQL}"))


def heard(agent: Scripted, kind: type) -> list[MoveStorage | StorageDecided]:
    orders = [said for said in agent.heard if isinstance(said, MoveStorage | StorageDecided)]
    return [order for order in orders if isinstance(order, kind)]


def says(world: World, name: str, kind: Callable[..., FromAgent], *more: object) -> None:
    agent = world[name]
    agent.say(kind(agent.known, agent.term, agent.incarnation, SQL, row(world).epoch, *more))
    world.drain()


def test_all_files_go_to_the_other_volume_under_the_same_epoch() -> None:
    world, san, (first, _) = moving()
    (order,) = heard(world["a"], MoveStorage)
    assert isinstance(order, MoveStorage)
    assert (order.move, order.spec.volumes, row(world).spec.volumes) == (1, (V2,), (V1,))
    says(world, "a", StorageProgress, 1, 100, 200)
    shown = world.core.picture().vms[0]["storage_move"]
    assert (shown["state"], shown["copied_bytes"], shown["total_bytes"]) == ("Copying", 100, 200)

    says(world, "a", StorageMirrored, 1)
    (decided,) = heard(world["a"], StorageDecided)
    assert isinstance(decided, StorageDecided)
    assert decided.switched
    assert (row(world).spec, row(world).epoch) == (order.spec, Epoch(1))
    world.after(3)
    assert san.removed == [], "not before the node has left them"
    says(world, "a", StorageMoveEnded, 1)
    world.after(3)

    assert [(disk, vm, epoch) for _, disk, vm, epoch in san.removed] == [(first, SQL, 1)]
    assert world.events()[-3:] == [9080, 9081, 9084]
    assert world.core.picture().vms[0]["storage_move"]["outcome"] == "completed"
    assert world.ask(MoveVmStorage(SQL, "Volume1")) != Accepted({"vm": SQL, "move": 2})
    world.after(12)
    assert world.ask(MoveVmStorage(SQL, "Volume1")) == Accepted({"vm": SQL, "move": 2})


def cancelled(world: World) -> None:
    assert world.ask(CancelStorageMove(SQL)) == Accepted({"vm": SQL, "move": 1})


def failed(world: World) -> None:
    says(world, "a", StorageMoveFailed, 1, "it is full")


def maintained(world: World) -> None:
    assert isinstance(world.ask(MaintainDisk("Volume2", True)), Accepted)
    world.after(2)


@pytest.mark.parametrize(
    ("happens", "outcome", "reason"),
    [
        (cancelled, Outcome.CANCELLED, "an operator cancelled it"),
        (failed, Outcome.FAILED, "it is full"),
        (maintained, Outcome.FAILED, "Volume2 is in maintenance mode"),
    ],
)
def test_before_the_decision_it_can_be_given_up_and_the_new_files_go(
    happens: Callable[[World], None], outcome: Outcome, reason: str
) -> None:
    world, san, (_, second) = moving()
    happens(world)
    (decided,) = heard(world["a"], StorageDecided)
    assert isinstance(decided, StorageDecided)
    assert not decided.switched
    says(world, "a", StorageMirrored, 1)  # too late
    says(world, "a", StorageMoveEnded, 1)
    if happens is maintained:
        world.after(3)
        assert san.removed == [], "nobody writes there now"
        assert isinstance(world.ask(MaintainDisk("Volume2", False)), Accepted)
    world.after(5)

    after = row(world)
    assert after.spec.volumes == (V1,)
    assert after.move is not None
    assert (after.move.outcome, after.move.reason) == (outcome, reason)
    assert [disk for _, disk, _, _ in san.removed] == [second]


def test_the_vm_of_a_node_that_dies_starts_from_what_the_store_says() -> None:
    for consents, volume in ((False, V1), (True, V2)):
        world, san, disks = moving()
        if consents:
            says(world, "a", StorageMirrored, 1)
        world.die("a")
        world.after(DETECTED_S)
        world.after(10)

        after = row(world)
        assert (after.owner != A, after.live, after.spec.volumes) == (True, True, (volume,))
        assert not after.storage_moves
        left = disks[0] if consents else disks[1]
        assert {disk for _, disk, _, _ in san.removed} == {left}


def test_a_vm_that_stops_ends_its_move() -> None:
    world, san, (_, second) = moving()
    assert isinstance(world.ask(StopVm(SQL)), Accepted)
    world.after(5)

    after = row(world)
    assert after.move is not None
    assert (after.move.is_closed, after.move.outcome) == (True, Outcome.FAILED)
    assert [disk for _, disk, _, _ in san.removed] == [second]
    assert isinstance(world.ask(StartVm(SQL)), Accepted)
    world.after(3)
    assert row(world).spec.volumes == (V1,)


def followed(world: World, san: San, leader: str) -> World:
    """Another coordinator leads, and what was said to the one before is forgotten."""
    heir = another(world, leader)
    for agent in heir.agents.values():
        agent.storage, agent.heard = san, []
    heir.begin()
    heir.connect("a", "b", "c")
    heir.after(10)
    return heir


def test_another_leader_goes_on_with_what_is_in_the_row() -> None:
    world, san, _ = moving()
    heir = followed(world, san, "c2")
    assert heard(heir["a"], MoveStorage)
    says(heir, "a", StorageMirrored, 1)
    assert row(heir).spec.volumes == (V2,)

    third = followed(heir, san, "c3")
    assert heard(third["a"], StorageDecided), "until it is heard of"
    says(third, "a", StorageMoveEnded, 1)
    assert not row(third).storage_moves


def test_consent_of_another_life_or_another_move_counts_for_nothing() -> None:
    world, _, _ = moving()
    world["b"].say(
        StorageMirrored(world["b"].known, world["b"].term, world["b"].incarnation, SQL, Epoch(1), 1)
    )
    world.drain()
    assert row(world).spec.volumes == (V1,)
    says(world, "a", StorageMirrored, 7)
    assert row(world).spec.volumes == (V1,)
    assert SwitchMove(SQL, 1, world["b"].incarnation).draft(world.core._desk.scene) is None


def test_a_move_and_a_live_migration_exclude_each_other() -> None:
    world, _, _ = with_two_volumes()
    world["a"].consents = False
    assert isinstance(world.ask(MigrateVm(SQL, B, "", Verify.OFF)), Accepted)
    refused = world.ask(MoveVmStorage(SQL, "Volume2"))
    assert isinstance(refused, Declined)
    assert refused.code == "vm-busy"

    world, _, _ = moving()
    refused = world.ask(MigrateVm(SQL, B, "", Verify.OFF))
    assert isinstance(refused, Declined)
    assert (refused.code, refused.sentence) == (
        "vm-storage-moving",
        "The files of VM sql01 are being moved to Volume2: cancel that or wait for its end.",
    )
    again = world.ask(MoveVmStorage(SQL, "Volume2"))
    assert isinstance(again, Declined)
    assert again.code == "vm-storage-moving"
    away = world.ask(RemoveSharedVolume("Volume2"))
    assert isinstance(away, Declined)
    assert away.code == "volume-in-use"


def test_what_cannot_be_is_refused_with_a_sentence() -> None:
    world, san, (_, second) = with_two_volumes()

    def code(vm: str, volume: str) -> str:
        answer = world.ask(MoveVmStorage(VmName(vm), volume))
        assert isinstance(answer, Declined), answer
        assert answer.sentence.endswith(".")
        return answer.code

    assert code("nobody", "Volume2") == "unknown-vm"
    assert code("sql01", "Volume9") == "unknown-volume"
    assert code("sql01", "Volume1") == "same-volume"
    san.free_bytes = 1000
    for agent in world.agents.values():
        san.report(agent)
    world.drain()
    assert code("sql01", "Volume2") == "no-space"
    assert isinstance(world.ask(MaintainDisk("Volume2", True)), Accepted)
    assert code("sql01", "Volume2") == "volume-offline"
    refused = world.ask(CancelStorageMove(SQL))
    assert isinstance(refused, Declined)
    assert refused.code == "no-move"
    assert isinstance(world.ask(StopVm(SQL)), Accepted)
    world.after(3)
    assert code("sql01", "Volume2") == "vm-off"
    assert second in san.luns
