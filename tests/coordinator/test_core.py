"""VMs from their first start to their end, and nodes that come and go: through the one door."""

from coordinator.requests import (
    Accepted,
    CreateVm,
    Declined,
    DeleteVm,
    JoinNode,
    MigrateVm,
    PauseNode,
    ResumeNode,
    StartVm,
    StopVm,
)
from protocol.messages import GaveUp, VmStopped
from protocol.names import AttemptId, Epoch, NodeName, Step, Verify, VmName
from tests.coordinator.driver import formed, with_vm
from tests.coordinator.ground import MOVE, SQL, TIMING, A, spec


def test_a_vm_is_created_moved_stopped_started_and_deleted() -> None:
    world = with_vm(formed())
    assert world.vm("sql01")["state"] == "Online"

    assert world.ask(MOVE) == Accepted({"attempt": 1})
    world.after(1)
    assert world.running() == {"a": [], "b": ["sql01"], "c": []}
    assert (world.row("vm/sql01")["epoch"], world.row("vm/sql01")["attempt"]) == (2, None)

    assert isinstance(world.ask(StopVm(SQL)), Accepted)
    world.after(1)
    assert world.vm("sql01")["state"] == "Offline"
    assert isinstance(world.ask(StartVm(SQL)), Accepted)
    world.after(1)
    assert world.running()["b"] == ["sql01"], "it starts where it was"
    assert world.row("vm/sql01")["epoch"] == 3
    world.ask(StopVm(SQL))
    assert world.ask(DeleteVm(SQL)) == Accepted({"vm": "sql01"})
    assert world.store.get("vm/sql01").value is None


def test_a_dead_nodes_vms_start_elsewhere_once_on_the_emptiest_nodes() -> None:
    world = formed()
    for number in range(4):
        world.ask(CreateVm(VmName(f"vm{number}"), spec(), A, True))
    world.die("a")
    world.after(10)

    running = world.running()
    assert len(running["b"]) == len(running["c"]) == 2
    assert sorted(running["b"] + running["c"]) == ["vm0", "vm1", "vm2", "vm3"]
    assert world.events().count(1135) == 1
    assert world.node("a")["state"] == "Down"


def test_nothing_is_started_elsewhere_before_the_view_without_the_owner_holds() -> None:
    world = with_vm(formed(b={"acks": True}))
    for name in "bc":
        world[name].acks = False
    world.die("a")
    world.after(30)
    assert world.running()["b"] == world.running()["c"] == []
    assert world.row("vm/sql01")["owner"] == "a"

    world["b"].acks = world["c"].acks = True
    world.after(2)
    assert world.row("vm/sql01")["owner"] != "a"


def test_a_node_that_comes_back_is_a_new_member_and_its_old_life_never_is() -> None:
    world = with_vm(formed())
    world["a"].reborn()
    world.connect("a")
    world.after(2)

    row = world.row("view")
    assert [member["incarnation"] for member in row["members"]] == ["a-2", "b-1", "c-1"]
    assert row["left"] == ["a-1"]
    assert world.row("vm/sql01")["epoch"] == 2, "its VM was restarted"

    world["a"].life = 1
    world.connect("a")
    world.after(10)
    assert "a-1" not in [member["incarnation"] for member in world.row("view")["members"]]


def test_a_joined_node_is_up_once_the_old_and_the_new_votes_hold() -> None:
    world = formed()
    world.add(NodeName("d"))
    world.connect("d")
    assert [node["name"] for node in world.core.picture().available] == ["d"]

    answer = world.ask(JoinNode(NodeName("d")))
    world.all_hear_all()

    assert answer == Accepted({"node": "d"})
    assert world.node("d")["state"] == "Joining", "nobody was seen to hear it yet"
    assert world.core.picture().status["quorum"]["votes"] == 4
    world.after(1)
    assert world.node("d")["state"] == "Up"
    world.die("b")
    world.after(TIMING.outlast_s - 1.5)
    assert len(world.row("view")["members"]) == 4, "after changed votes no view for a while"
    world.after(10)
    assert len(world.row("view")["members"]) == 3


def test_a_vm_that_fails_is_restarted_then_fails_over_and_at_last_stays_failed() -> None:
    world = with_vm(formed())

    def fail(name: str) -> None:
        agent = world[name]
        epoch = agent.vms.pop(SQL)
        head = (agent.known, agent.term, agent.incarnation)
        agent.say(VmStopped(*head, SQL, epoch, "its worker ended"))
        world.drain()
        world.after(3)

    for name in "abc":
        fail(name)
        assert world.running()[name] == ["sql01"], "it is restarted where it was, once"
        fail(name)
    assert world.running() == {"a": [], "b": [], "c": []}, "two others allow two failovers"
    assert world.vm("sql01")["state"] == "Failed"
    assert world.events().count(1069) == 6
    assert 1254 in world.events()

    assert isinstance(world.ask(StartVm(SQL)), Accepted)
    world.after(1)
    assert world.vm("sql01")["state"] == "Online"


def test_what_a_node_runs_without_owning_it_is_stopped() -> None:
    world = with_vm(formed())
    world["c"].vms = {SQL: Epoch(1), VmName("ghost"): Epoch(3)}
    world.after(2)

    assert world.running() == {"a": ["sql01"], "b": [], "c": []}


def test_a_start_that_was_lost_is_ordered_again() -> None:
    world = with_vm(formed())
    world["a"].vms.clear()
    world.after(4)

    assert world.running()["a"] == ["sql01"]


def test_a_drain_moves_all_vms_one_after_the_other_and_resume_ends_the_pause() -> None:
    world = formed()
    for number in range(3):
        world.ask(CreateVm(VmName(f"vm{number}"), spec(), A, True))
    world.after(1)

    assert isinstance(world.ask(PauseNode(A, True)), Accepted)
    world.after(5)

    assert world.running()["a"] == []
    assert (world.node("a")["state"], world.node("a")["draining"]) == ("Paused", False)
    assert 9025 in world.events()
    refused = world.ask(MigrateVm(VmName("vm0"), A, "2008r2", Verify.OFF))
    assert isinstance(refused, Declined)
    assert refused.status == 409
    assert isinstance(world.ask(ResumeNode(A)), Accepted)
    assert world.node("a")["state"] == "Up"


def test_a_drain_gives_a_vm_up_after_two_tries() -> None:
    world = with_vm(formed(a={"copies": False}))
    world.ask(PauseNode(A, True))
    for number in (1, 2):
        source = world["a"]
        head = (source.known, source.term, source.incarnation)
        source.say(GaveUp(*head, AttemptId(number), SQL, Epoch(number), True, Step.CONNECT, "no"))
        world.drain()
        world.after(2)

    assert world.node("a")["draining"] is False
    assert world.running()["a"] == ["sql01"]
    assert 1137 in world.events()
