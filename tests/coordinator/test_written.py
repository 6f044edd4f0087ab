"""What is asked becomes one plan; what became of the plan is told to who asked."""

import typing

import pytest

from coordinator import requests
from coordinator.asking import asker_of, plan_for
from coordinator.events import RequestId
from coordinator.forecast_requests import EstimateDrain, EstimateVm
from coordinator.groups.ownership import Give
from coordinator.requests import (
    Accepted,
    AddClusterDisk,
    AddSharedVolume,
    CancelAttempt,
    CancelStorageMove,
    CheckSharedVolume,
    CreateVm,
    Declined,
    DeleteVm,
    EvictNode,
    FailResource,
    ForceDisk,
    ForceQuorum,
    FormCluster,
    JoinNode,
    LimitNode,
    MaintainDisk,
    MigrateVm,
    MoveClusterDisk,
    MoveGroup,
    MoveVmStorage,
    PauseNode,
    RedirectVolume,
    RemoveClusterDisk,
    RemoveSharedVolume,
    RenameSharedVolume,
    Request,
    ResumeNode,
    SetGroup,
    SetMigrationNetworks,
    SetNetwork,
    SetProperties,
    SetProperty,
    SetQuorum,
    SetResource,
    SetWeight,
    StartNode,
    StartVm,
    StopNode,
    StopVm,
    Unknown,
)
from protocol.disks import DiskId
from protocol.messages import VmStopped
from protocol.names import AttemptId, Epoch, NetworkName, NodeName, QuorumMode, Verify
from tests.coordinator.driver import World, formed, with_vm
from tests.coordinator.ground import spec
from tests.coordinator.stage import SQL, A, B, C

D = NodeName("d")
REQUESTS: list[Request] = [
    FormCluster("test", (A,)),
    JoinNode(D),
    CreateVm(SQL, spec(), None, True),
    DeleteVm(SQL),
    StartVm(SQL),
    StopVm(SQL),
    MigrateVm(SQL, B, "2008r2", Verify.OFF),
    CancelAttempt(AttemptId(1)),
    PauseNode(A, True),
    ResumeNode(A),
    SetGroup(SQL, (("PreferredOwners", ["a", "b"]),)),  # a list, as it may come
    SetResource("Virtual Machine sql01", (("RestartAction", 1),)),
    MoveGroup(SQL, B),
    FailResource("Virtual Machine sql01"),
    SetQuorum(QuorumMode.NODE_MAJORITY, None),
    SetWeight(A, 0),
    LimitNode(A, 10**6),
    EstimateVm(SQL, B),
    EstimateDrain(A),
    ForceQuorum((A,), oath=True),
    SetProperty("SameSubnetDelay", 1000),
    SetProperties((("SameSubnetDelay", 1000),)),
    EvictNode(C),
    StopNode(C),
    StartNode(C),
    SetNetwork(NetworkName("csv"), metric=1000),
    SetMigrationNetworks((), ()),
    AddClusterDisk(DiskId("6001")),
    RemoveClusterDisk("Cluster Disk 1"),
    MoveClusterDisk("Cluster Disk 1", A),
    MaintainDisk("Cluster Disk 1", True),
    AddSharedVolume("Cluster Disk 1"),
    RemoveSharedVolume("Volume1"),
    RenameSharedVolume("Volume1", "Data"),
    RedirectVolume("Volume1", True),
    CheckSharedVolume("Volume1"),
    ForceDisk("Cluster Disk 1", oath=True),
    MoveVmStorage(SQL, "Volume2"),
    CancelStorageMove(SQL),
]


def test_every_request_there_is_becomes_a_plan_that_answers_its_asker() -> None:
    assert {type(body) for body in REQUESTS} == set(typing.get_args(requests.Request))
    for number, body in enumerate(REQUESTS, start=1):
        plan = plan_for(RequestId(number), body)
        assert asker_of(plan) == number
        assert plan == plan_for(RequestId(number), body), "a plan is a value"
    assert asker_of(Give(SQL)) is None


def test_what_was_done_is_answered_with_what_it_was_done_to() -> None:
    world = formed("abc")

    assert world.ask(CreateVm(SQL, spec(), C, True)) == Accepted(
        {"vm": "sql01", "node": "c", "epoch": 1}
    )
    world.after(2)
    assert world.ask(PauseNode(B, False)) == Accepted({"node": "b"})
    assert world.ask(ResumeNode(B)) == Accepted({"node": "b"})
    assert world.ask(StopVm(SQL)) == Accepted({"vm": "sql01", "node": "c", "epoch": 1})
    world.after(2)
    assert world.ask(DeleteVm(SQL)) == Accepted({"vm": "sql01"})


@pytest.mark.parametrize("body", [DeleteVm(SQL), StartVm(SQL), ResumeNode(A), StopVm(SQL)])
def test_a_refused_request_changes_no_row(body: Request) -> None:
    world = formed()
    before = world.store.range("", limit=100_000)

    assert isinstance(world.ask(body), Declined)
    assert world.store.range("", limit=100_000) == before


def test_who_asked_for_a_membership_is_told_it_is_unknown_when_the_leader_lets_go() -> None:
    world = World("abc")
    world.all_hear_all()
    world.begin()
    world.connect()
    for name in "abc":
        world[name].acks = False
    assert world.ask(FormCluster("test", (A, B, C))) is None

    for name in "abc":
        world.disconnect(name)
    world.after(10)
    answer = world.answers[1]
    assert isinstance(answer, Unknown)
    assert "stopped leading" in answer.sentence


def test_a_name_that_is_used_again_starts_on_nodes_that_have_seen_its_epochs() -> None:
    world = with_vm(formed())
    world.ask(StopVm(SQL))
    world.after(2)
    world.ask(DeleteVm(SQL))

    assert world.ask(CreateVm(SQL, spec(), A, True)) == Accepted(
        {"vm": "sql01", "node": "a", "epoch": 2}
    )
    world.after(2)
    assert world["a"].vms == {SQL: 2}
    assert {row.key for row in world.store.range("deleted/")} == set()


def test_the_second_answer_to_a_stop_does_not_release_a_vm_that_was_started_since() -> None:
    world = with_vm(formed())
    agent = world["a"]
    world.ask(StopVm(SQL))
    world.after(2)
    world.ask(StartVm(SQL))
    world.after(1)

    late = VmStopped(agent.known, agent.term, agent.incarnation, SQL, Epoch(1))
    agent.say(late)
    world.drain()
    world.after(3)
    assert world.running() == {"a": ["sql01"], "b": [], "c": []}
    assert (world.row("vm/sql01")["owner"], world.row("vm/sql01")["epoch"]) == ("a", 2)
