"""Disks through the deaths of their owners, and through everything that is less than that."""

import pytest

from coordinator.requests import (
    Accepted,
    AddClusterDisk,
    CreateVm,
    Declined,
    MoveClusterDisk,
    PauseNode,
    RemoveClusterDisk,
    RemoveSharedVolume,
    StopNode,
)
from coordinator.store.disk_rows import DiskRow
from protocol.messages import DiskLost, FenceDisk, GrantDisk, OwnDisk, RequestRefused, UseDisks
from protocol.names import Epoch, NodeName
from tests.coordinator.driver import another, formed
from tests.coordinator.storage.san import San, with_san
from tests.coordinator.storage.stories import (
    DETECTED_S,
    SQL,
    clustered,
    disk_row,
    on_volume,
    owner_of,
    owners_on,
    shared,
)


def test_a_disk_that_all_nodes_see_becomes_available_storage_and_has_one_owner() -> None:
    world, san = clustered()

    for number, disk in enumerate(san.luns, start=1):
        row = disk_row(world, disk)
        assert (row["number"], row["state"], row["role"]) == (number, "Online", "Available Storage")
        assert len(owners_on(san, disk)) == 1


def test_the_owners_are_spread_over_the_nodes() -> None:
    world, san = clustered(count=6)

    owners = sorted(owner_of(world, disk) for disk in san.luns)
    assert owners == ["a", "a", "b", "b", "c", "c"]


def test_a_disk_that_one_node_does_not_see_is_not_clustered() -> None:
    world = formed()
    san = with_san(world)
    disk = next(iter(san.luns))
    world["c"].storage = San({})
    world["c"].storage.report(world["c"])
    world.drain()

    refusal = world.ask(AddClusterDisk(disk))
    assert isinstance(refusal, Declined)
    assert (refusal.status, refusal.code) == (409, "disk-not-shared")
    assert "not seen by c" in refusal.sentence


def test_nobody_is_granted_a_disk_before_the_row_says_that_it_registered() -> None:
    world, san = clustered()

    grants = [s.message for s in world.sent(GrantDisk) if isinstance(s.message, GrantDisk)]
    assert {grant.registrations for grant in grants} == {1}
    for disk in san.luns:
        assert len(disk_row(world, disk)["registrants"]) == 3  # type: ignore[arg-type]
    order = [type(send.message) for send in world.actions if hasattr(send, "message")]
    assert order.index(UseDisks) < order.index(GrantDisk) < order.index(OwnDisk)


def test_a_planned_move_has_no_moment_with_two_owners() -> None:
    world, san, disk = shared()
    before = disk_row(world, disk)
    other = next(n for n in "abc" if n != before["owner"])

    assert world.ask(MoveClusterDisk("Volume1", NodeName(other), True)) == Accepted(
        {"disk": "Volume1", "node": other}
    )
    world.after(3)
    assert owner_of(world, disk) == other
    assert disk_row(world, disk)["epoch"] == int(str(before["epoch"])) + 1
    assert owners_on(san, disk) == [world[other].incarnation]
    assert world.sent(FenceDisk) == []


@pytest.mark.parametrize("victim", ["owner", "other"])
def test_the_keys_of_a_dead_node_go_before_anything_moves(victim: str) -> None:
    world, san, disk = shared()
    owner = owner_of(world, disk)
    dead = owner if victim == "owner" else next(n for n in "abc" if n != owner)
    world.die(dead)
    world.after(DETECTED_S)

    assert owner_of(world, disk) != dead
    assert len(san.luns[disk].keys) == 2
    assert san.fences
    fenced_at = max(i for i, a in enumerate(world.actions) if a in world.sent(FenceDisk))
    owned_at = [
        i
        for i, a in enumerate(world.actions)
        if a in world.sent(OwnDisk) and a.message.disk == disk  # type: ignore[union-attr]
    ]
    assert victim == "other" or fenced_at < max(owned_at)


def test_without_a_path_to_the_disk_nothing_moves_and_the_vm_says_why() -> None:
    world, san, disk = shared()
    owner = owner_of(world, disk)
    world.ask(CreateVm(SQL, on_volume(), NodeName(owner), True))
    world.after(2)
    assert SQL in world[owner].vms
    for name in "abc":
        if name != owner:
            san.pathless.add((name, disk))
            san.report(world[name])
    world.drain()
    world.die(owner)
    world.after(2 * DETECTED_S)

    row = disk_row(world, disk)
    assert (row["state"], row["owner"]) == ("Offline", owner)
    assert "may still write to Volume1" in str(world.vm(SQL)["reason"])
    for name in "abc":
        san.pathless.discard((name, disk))
        if name != owner:
            san.report(world[name])
    world.after(5)
    assert owner_of(world, disk) != owner
    assert any(SQL in world[name].vms for name in "abc" if name != owner)


def test_a_vm_starts_elsewhere_only_after_the_fence() -> None:
    world, san, disk = shared()
    owner = owner_of(world, disk)
    home = next(n for n in "abc" if n != owner)
    world.ask(CreateVm(SQL, on_volume(), NodeName(home), True))
    world.after(2)
    san.silent |= set("abc") - {home}
    world.die(home)
    world.after(DETECTED_S)
    others = [n for n in "abc" if n != home]

    # All who are left are asked to fence and do not, and so nobody starts the VM.
    assert not any(SQL in world[name].vms for name in others)
    san.silent.clear()
    world.after(5)
    assert san.fences
    assert any(SQL in world[name].vms for name in others)


def test_another_member_fences_if_the_owner_does_not_answer() -> None:
    world, san, disk = shared()
    owner = owner_of(world, disk)
    dead, third = (n for n in "abc" if n != owner)
    san.silent.add(owner)
    world.die(dead)
    world.after(DETECTED_S)

    assert [life for life, of, _ in san.fences if of == disk] == [world[third].incarnation]


def test_an_owner_that_gave_up_uncleanly_is_fenced_although_it_lives() -> None:
    world, san, disk = shared()
    owner = world[owner_of(world, disk)]
    san.gives_up(owner, disk)
    world.drain()
    world.after(5)

    assert owner_of(world, disk) != owner.name
    assert san.fences[-1][2][0] == owner.incarnation
    san.finds_path(owner, disk)
    world.after(5)
    assert san.may_write(owner, disk)
    assert san.volumes[owner.incarnation, disk].epoch == disk_row(world, disk)["epoch"]


def test_who_gave_up_uncleanly_and_is_alone_with_the_disk_removes_its_old_key_itself() -> None:
    """Else nobody would, and the disk would have no owner until a node began anew."""
    world, san, disk = shared()
    owner = world[owner_of(world, disk)]
    for name in sorted({*"abc"} - {owner.name}):
        san.pathless.add((name, disk))
        san.report(world[name])
    before = DiskRow.read(disk_row(world, disk))
    san.gives_up(owner, disk)
    world.drain()
    world.after(5)
    assert disk_row(world, disk)["state"] == "Offline"

    san.finds_path(owner, disk)
    world.after(10)

    assert disk_row(world, disk)["state"] == "Online"
    assert DiskRow.read(disk_row(world, disk)).epoch > before.epoch
    assert owner_of(world, disk) == owner.name
    assert san.may_write(owner, disk)


def test_who_gave_up_uncleanly_stays_one_who_has_to_be_fenced() -> None:
    """Its next key may be there already."""
    world, san, disk = shared()
    owner = world[owner_of(world, disk)]
    san.gives_up(owner, disk)
    world.drain()
    world.after(5)

    kept = DiskRow.read(disk_row(world, disk)).registrant(owner.incarnation)
    assert kept is not None
    assert kept.fenced_to == 0


def test_a_node_that_lost_its_key_owns_nothing_and_its_guests_there_fail() -> None:
    world, san, disk = shared()
    owner = world[owner_of(world, disk)]
    world.ask(CreateVm(SQL, on_volume(), owner.name, True))
    world.after(2)
    key = san.key(owner, disk)
    san.luns[disk].keys.discard(key)
    use = san.use(owner, disk)
    use.lost, use.owns = True, None
    san.report(owner)
    owner.say(DiskLost(owner.known, owner.term, owner.incarnation, disk, key, "it was preempted"))
    world.drain()
    world.after(6)

    assert 1038 in world.events()
    assert owner_of(world, disk) != owner.name
    assert SQL not in owner.vms
    assert any(SQL in agent.vms for agent in world.agents.values())


def test_a_node_that_cannot_own_the_disk_is_passed_over() -> None:
    world, san, disk = shared()
    owner = owner_of(world, disk)
    others = [n for n in "abc" if n != owner]
    san.fails_to_own = {others[0]: "it cannot be mounted", others[1]: ""}
    world.ask(MoveClusterDisk("Volume1", NodeName(others[0]), True))
    world.after(5)

    assert owner_of(world, disk) in (owner, others[1])
    assert 5150 in world.events()


def test_a_paused_node_gives_its_disks_away_first() -> None:
    world, _, disk = shared()
    owner = owner_of(world, disk)
    world.ask(PauseNode(NodeName(owner), True))
    world.after(6)

    assert owner_of(world, disk) != owner
    assert not world.node(owner)["draining"]


def test_a_node_that_is_stopped_owns_no_disk_when_it_leaves() -> None:
    world, _, disk = shared()
    owner = owner_of(world, disk)
    world.ask(StopNode(NodeName(owner)))
    world.after(10)

    assert world.node(owner)["state"] == "Down"
    assert owner_of(world, disk) != owner
    sent = [type(s.message).__name__ for s in world.sent(FenceDisk)]
    assert sent, "its keys are removed once it is out"


def test_a_disk_that_comes_again_starts_above_its_old_epochs() -> None:
    world, san, disk = shared()
    for name in "ba":
        world.ask(MoveClusterDisk("Volume1", NodeName(name), True))
        world.after(3)
    epoch = int(str(disk_row(world, disk)["epoch"]))
    world.ask(RemoveSharedVolume("Volume1"))
    world.after(3)
    world.ask(RemoveClusterDisk(disk))
    world.after(3)
    for key in san.uses:
        san.uses[key].registered = False
    world.ask(AddClusterDisk(disk))
    world.after(5)
    assert int(str(disk_row(world, disk)["epoch"])) > epoch


def test_a_new_leader_goes_on_where_the_old_one_stopped() -> None:
    world, san, disk = shared()
    owner = owner_of(world, disk)
    world.die(owner)
    second = another(world)
    for agent in second.agents.values():
        agent.storage = san
    second.begin()
    second.connect(*[n for n in "abc" if n != owner])
    second.after(2 * DETECTED_S)

    row = second.row(f"disk/{disk}")
    assert (row["state"], row["owner"] != owner) == ("Online", True)
    assert san.fences


def test_what_a_source_refused_after_its_guest_was_to_stand_is_in_the_log_once() -> None:
    world, _, _ = shared()
    agent = world["a"]
    head = agent.known, agent.term, agent.incarnation

    for _ in range(3):
        agent.say(RequestRefused(*head, SQL, Epoch(4), "write"))
    world.drain()

    assert world.events().count(9076) == 1
