from coordinator.requests import Accepted, Declined, StartNode, StopNode
from protocol.messages import StartVm
from protocol.names import NodeName
from tests.coordinator.driver import World, formed, with_vm
from tests.coordinator.ground import TIMING
from tests.coordinator.votes.test_arbitration import pair, register

A = NodeName("a")


def old_cluster(names: str = "abc") -> World:
    world = formed(names)
    world.after(10)
    return world


def members(world: World) -> list[str]:
    return [member["incarnation"] for member in world.row("view")["members"]]


def test_a_stopped_node_gives_its_groups_away_cleanly_and_leaves_without_a_wait() -> None:
    world = with_vm(old_cluster(), node="a")
    assert world.ask(StopNode(A)) == Accepted({"node": "a", "state": "Paused"})
    world.after(3)

    assert members(world) == ["b-1", "c-1"]
    assert world.running()["a"] == []
    row = world.row("vm/sql01")
    assert row["owner"] in ("b", "c")
    assert row["live"] is True
    assert world.node("a")["state"] == "Down"
    assert 1135 not in world.events()
    assert 1069 not in world.events()


def test_a_stopped_node_stays_out_and_down_until_it_is_started() -> None:
    world = old_cluster()
    world.ask(StopNode(A))
    world.after(3)
    world.disconnect("a")
    world["a"].reborn()
    world.connect("a")
    world.after(30)
    assert members(world) == ["b-1", "c-1"]
    assert world.node("a")["state"] == "Down"
    assert world.node("a")["connected"] is True

    world.ask(StartNode(A))
    world.after(3)
    assert members(world) == ["a-2", "b-1", "c-1"]
    assert world.node("a")["state"] == "Up"


def test_nothing_is_given_to_a_stopped_node() -> None:
    world = old_cluster()
    world.ask(StopNode(A))
    world = with_vm(world, node=None)

    assert world.row("vm/sql01")["owner"] != "a"
    assert not any(isinstance(message, StartVm) for message in world["a"].heard)


def test_the_last_node_of_a_quorum_is_not_stopped_by_itself() -> None:
    world = old_cluster()
    world.ask(StopNode(NodeName("c")))
    world.after(3)
    answer = world.ask(StopNode(NodeName("b")))

    assert isinstance(answer, Declined)
    assert answer.code == "quorum-would-be-lost"
    assert "Stop-Cluster" in answer.sentence


def test_what_is_stopped_is_not_stopped_again_nor_what_runs_started() -> None:
    world = old_cluster()
    codes = []
    for body in (StartNode(A), StopNode(NodeName("x")), StartNode(NodeName("x"))):
        answer = world.ask(body)
        assert isinstance(answer, Declined)
        codes.append(answer.code)
    world.ask(StopNode(A))
    again = world.ask(StopNode(A))
    assert isinstance(again, Declined)

    assert codes == ["node-not-stopped", "unknown-node", "unknown-node"]
    assert again.code == "node-stopped"


def test_the_holder_of_a_witness_that_is_needed_leaves_and_the_other_takes_it() -> None:
    world = pair()
    world.after(20)
    assert isinstance(world.ask(StopNode(A)), Accepted)
    world.after(3)
    assert members(world) == ["b-1"]
    assert world["a"].left

    world["a"].reborn()
    world.disconnect("a")
    world.connect("a")
    register(world).holder = None  # its time has run out
    world.after(TIMING.arbitration_max_s + 1)

    assert world["b"].holds
    b = world["b"]
    assert b.view is not None
    b.shown(b.view)  # it acknowledges again, now that the witness has
    world.drain()
    assert world.row("view")["held"] is True
    assert world.node("a")["state"] == "Down"
