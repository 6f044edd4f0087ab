"""A VM's own disk: it is where the VM is, through starts, moves, deaths, and at S10."""

import dataclasses

import pytest

from coordinator.requests import (
    Accepted,
    CancelAttempt,
    CreateVm,
    Declined,
    DeleteVm,
    MigrateVm,
    MoveClusterDisk,
    MoveGroup,
    RemoveClusterDisk,
    StopVm,
)
from protocol.disks import DiskContent, DiskId
from protocol.messages import GaveUp, OwnDisk, Progress, ReleaseDisk, RemoveFiles, StartVm, VolumeAt
from protocol.names import AttemptId, NodeName, Step, Verify, VmDisk, VmName, VmSpec, VolumeName
from tests.coordinator.agent import Scripted
from tests.coordinator.driver import World, another
from tests.coordinator.ground import spec
from tests.coordinator.storage.san import San
from tests.coordinator.storage.stories import DETECTED_S, SQL, A, B, clustered, owners_on

DISK = "Cluster Disk 1"
FIRST = AttemptId(1)


def with_disk(size_bytes: int = 1 << 20) -> VmSpec:
    return dataclasses.replace(
        spec(), disks=(VmDisk(VolumeName(""), "sql01/disk1.vhd", size_bytes),)
    )


def create(vm: VmName = SQL, node: NodeName | None = A, start: bool = True) -> CreateVm:
    return CreateVm(vm, with_disk(), node, start, disk=DISK)


def of_its_own(names: str = "abc", node: NodeName = A) -> tuple[World, San, DiskId]:
    """sql01 runs on `node` with the first LUN as its own disk."""
    world, san = clustered(names)
    disk = next(iter(san.luns))
    answer = world.ask(create(node=node))
    assert isinstance(answer, Accepted), answer
    world.after(4)
    assert where(world, disk) == (node, node), world.row(f"disk/{disk}")
    return world, san, disk


def where(world: World, disk: DiskId) -> tuple[str | None, str | None]:
    """The node that has the disk online, and the one on which the VM runs."""
    row, vm = world.row(f"disk/{disk}"), world.row(f"vm/{SQL}")
    at = str(row["owner"]) if row["state"] == "Online" else None
    return at, str(vm["owner"]) if vm["live"] else None


def at_s10(world: World, disk: DiskId, to: str = "b") -> Scripted:
    """The guest stands still on a, and the disk is online on the target."""
    source = world["a"]
    source.consents = False
    assert isinstance(world.ask(MigrateVm(SQL, NodeName(to), "", Verify.OFF)), Accepted)
    assert where(world, disk) == ("a", "a"), "it does not move before"
    stands_still(source)
    world.drain()
    return source


def stands_still(source: Scripted) -> None:
    (order,) = source.sources.values()
    head = (source.known, source.term, source.incarnation)
    source.say(Progress(*head, FIRST, Step.STORAGE, order.networks[0], 1000, 1000, None))


def consents(world: World) -> None:
    source = world["a"]
    (order,) = source.sources.values()
    source.consent(order)
    world.drain()
    world.after(2)


# ---- a disk in a group


def test_a_disk_of_available_storage_joins_the_group_and_comes_online_before_the_vm() -> None:
    world, san, disk = of_its_own()

    row = world.row(f"disk/{disk}")
    assert (row["role"], row["volume"], row["format_as"]) == ("Virtual Machine", DISK, "")
    assert san.luns[disk].content is DiskContent.OURS
    sent = [send.message for send in world.actions if hasattr(send, "message")]
    owned = max(i for i, m in enumerate(sent) if isinstance(m, OwnDisk) and m.volume == DISK)
    assert owned < next(i for i, m in enumerate(sent) if isinstance(m, StartVm))
    (group,) = world.core.picture().groups
    assert [part["name"] for part in group["resources"]] == [
        DISK,
        "Virtual Machine Configuration sql01",
        "Virtual Machine sql01",
    ]
    assert [part["depends_on"] for part in group["resources"]] == [
        [],
        [DISK],
        ["Virtual Machine Configuration sql01"],
    ]


def test_no_other_node_is_told_who_serves_it() -> None:
    world, _, disk = of_its_own()

    told = {
        world.links[NodeName(name)]: [
            m for m in world[name].heard if isinstance(m, VolumeAt) and m.disk == disk
        ]
        for name in "abc"
    }
    for name in "bc":
        places = told[world.links[NodeName(name)]]
        assert places
        assert all(place.owner is None and place.root == "" for place in places)


def test_only_a_disk_of_available_storage_is_taken_and_only_once() -> None:
    world, _, _ = of_its_own()

    again = world.ask(create(VmName("sql02")))
    assert isinstance(again, Declined)
    assert (again.code, again.status) == ("not-available-storage", 409)
    assert "delete the VM" in again.sentence


def test_a_virtual_disk_that_does_not_fit_is_refused() -> None:
    world, _ = clustered()

    refusal = world.ask(CreateVm(SQL, with_disk(1 << 30), A, True, disk=DISK))
    assert isinstance(refusal, Declined)
    assert refusal.code == "disk-too-small"


def test_its_owner_is_changed_by_moving_the_group_only() -> None:
    world, _, _ = of_its_own()

    refusal = world.ask(MoveClusterDisk(DISK, B))
    assert isinstance(refusal, Declined)
    assert refusal.code == "use-group"
    assert "group move sql01" in refusal.sentence
    refusal = world.ask(RemoveClusterDisk(DISK))
    assert isinstance(refusal, Declined)
    assert refusal.code == "not-available-storage"


def test_a_vm_that_was_deleted_gives_it_back_without_its_files() -> None:
    world, san, disk = of_its_own()
    world.ask(StopVm(SQL))
    world.after(2)

    san.silent.add("a")
    assert isinstance(world.ask(DeleteVm(SQL)), Accepted)
    world.after(3)
    assert [send.message.vm for send in world.sent(RemoveFiles)][:1] == [SQL]  # type: ignore[union-attr]
    assert world.row(f"disk/{disk}")["role"] == "Virtual Machine", "its files are there still"
    san.silent.clear()
    world.after(6)

    row = world.row(f"disk/{disk}")
    assert (row["role"], row["volume"], row["state"]) == ("Available Storage", "", "Online")
    assert isinstance(world.ask(create()), Accepted), "and another VM of that name may have it"
    world.after(4)
    assert where(world, disk) == ("a", "a")


# ---- where the VM goes


def test_a_group_that_is_off_takes_its_disk_along() -> None:
    world, _, disk = of_its_own()
    world.ask(StopVm(SQL))
    world.after(2)

    assert isinstance(world.ask(MoveGroup(SQL, B)), Accepted)
    world.after(3)
    assert where(world, disk) == ("b", None)


def test_a_group_that_runs_is_stopped_then_its_disk_moves_then_it_starts() -> None:
    world, san, disk = of_its_own()

    assert isinstance(world.ask(MoveGroup(SQL, B)), Accepted)
    world.after(5)
    assert where(world, disk) == ("b", "b")
    assert world.running()["b"] == ["sql01"]
    assert owners_on(san, disk) == ["b-1"]


def test_the_death_of_its_node_is_a_fence_then_the_disk_then_the_vm() -> None:
    world, san, disk = of_its_own()

    world.die("a")
    world.after(DETECTED_S + 8)

    at, runs = where(world, disk)
    assert at == runs
    assert at in ("b", "c")
    assert any(of == disk and "a-1" in lives for _, of, lives in san.fences)
    assert world.row(f"disk/{disk}")["epoch"] > 1


def test_a_node_without_a_path_to_it_is_given_neither() -> None:
    world, san, disk = of_its_own()
    san.pathless.add(("b", disk))
    san.report(world["b"])
    world.drain()

    refusal = world.ask(MoveGroup(SQL, B))
    assert isinstance(refusal, Declined)
    refusal = world.ask(MigrateVm(SQL, B, "", Verify.OFF))
    assert isinstance(refusal, Declined)
    world.die("a")
    world.after(DETECTED_S + 8)
    assert where(world, disk) == ("c", "c")


def test_an_owner_that_lost_its_path_is_fenced_and_the_vm_goes_where_the_disk_can_be() -> None:
    world, san, disk = of_its_own()

    san.gives_up(world["a"], disk)
    world.drain()
    world.after(25)
    at, runs = where(world, disk)
    assert at == runs, world.row(f"vm/{SQL}")
    assert at in ("b", "c")


# ---- live migration


def test_at_s10_the_disk_goes_to_the_target_and_the_vm_only_with_the_commit() -> None:
    world, san, disk = of_its_own()

    at_s10(world, disk)
    assert where(world, disk) == ("b", "a")
    consents(world)

    assert where(world, disk) == ("b", "b")
    assert world.running()["b"] == ["sql01"]
    assert owners_on(san, disk) == ["b-1"]


def test_a_consent_before_the_disk_is_with_the_target_commits_nothing() -> None:
    world, san, disk = of_its_own()
    san.fails_to_own["b"] = "its key was refused"
    at_s10(world, disk)

    consents(world)
    world.after(3)
    assert world.attempt(1)["outcome"] == "failed"
    assert where(world, disk) == ("a", "a")


@pytest.mark.parametrize("who", ["source gives up", "target gives up", "operator"])
def test_an_attempt_that_ends_after_the_move_brings_the_disk_back_and_says_so(who: str) -> None:
    world, san, disk = of_its_own()
    source = at_s10(world, disk)

    match who:
        case "operator":
            world.ask(CancelAttempt(FIRST))
        case _:
            agent = source if who == "source gives up" else world["b"]
            head = (agent.known, agent.term, agent.incarnation)
            is_source = agent is source
            epoch = world.row(f"vm/{SQL}")["epoch"]
            said = GaveUp(*head, FIRST, SQL, epoch, is_source, Step.STORAGE, "it was too slow")
            agent.say(said)
            world.drain()
    world.after(4)

    assert where(world, disk) == ("a", "a")
    assert owners_on(san, disk) == ["a-1"]
    assert "Cluster Disk 1 goes back to node a" in world.attempt(1)["reason"]
    assert world.running() == {"a": ["sql01"], "b": [], "c": []}


def before_the_release(world: World, san: San, disk: DiskId) -> None:
    san.silent.add("a")
    at_s10(world, disk)
    assert world.row(f"disk/{disk}")["state"] == "OfflinePending"


def while_the_target_mounts(world: World, san: San, disk: DiskId) -> None:
    san.silent.add("b")
    at_s10(world, disk)
    assert world.row(f"disk/{disk}")["state"] == "OnlinePending"


def after_the_move(world: World, san: San, disk: DiskId) -> None:
    at_s10(world, disk)
    assert where(world, disk) == ("b", "a")


POINTS = [before_the_release, while_the_target_mounts, after_the_move]


@pytest.mark.parametrize("dies", ["a", "b"])
@pytest.mark.parametrize("point", POINTS)
def test_whoever_dies_at_s10_vm_and_disk_end_on_one_node(point: object, dies: str) -> None:
    world, san, disk = of_its_own()
    point(world, san, disk)  # type: ignore[operator]

    world.die(dies)
    san.silent.clear()
    world.after(DETECTED_S + 15)

    at, runs = where(world, disk)
    assert at == runs, (world.row(f"disk/{disk}"), world.row(f"vm/{SQL}"))
    assert at not in (None, dies)
    assert sum(len(vms) for name, vms in world.running().items() if name != dies) == 1
    assert any(f"{dies}-1" in lives for _, of, lives in san.fences if of == disk)


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("point", POINTS)
def test_a_new_coordinator_at_s10_goes_on_from_the_rows(point: object, commits: bool) -> None:
    world, san, disk = of_its_own()
    point(world, san, disk)  # type: ignore[operator]

    later = another(world)
    for agent in later.agents.values():
        agent.storage = san
    san.silent.clear()
    later.begin()
    later.connect()
    later.after(20)
    assert where(later, disk) == ("b", "a"), "it waits for the source's word, with the target"

    source = later["a"]
    (order,) = source.sources.values()
    if commits:
        source.consent(order)
    else:
        head = (source.known, source.term, source.incarnation)
        source.say(GaveUp(*head, FIRST, SQL, order.epoch, True, Step.STORAGE, "it took too long"))
    later.drain()
    later.after(5)

    end = "b" if commits else "a"
    assert where(later, disk) == (end, end)
    assert owners_on(san, disk) == [f"{end}-1"]
    assert [name for name, vms in later.running().items() if vms] == [end]


def test_the_disk_moves_no_more_once_the_attempt_is_decided() -> None:
    world, _, disk = of_its_own()
    source = at_s10(world, disk)
    world.ask(CancelAttempt(FIRST))
    world.after(4)
    releases = len(world.sent(ReleaseDisk))

    source.say(
        Progress(
            *(source.known, source.term, source.incarnation),
            *(FIRST, Step.STORAGE, VolumeName("management"), 1000, 1000, None),  # type: ignore[arg-type]
        )
    )
    world.drain()
    world.after(3)
    assert where(world, disk) == ("a", "a")
    assert len(world.sent(ReleaseDisk)) == releases
