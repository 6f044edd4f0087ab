from coordinator.requests import Accepted, Declined, EvictNode, JoinNode, SetProperty
from protocol.messages import Evicted
from protocol.names import NodeName
from tests.coordinator.driver import World, formed, with_vm

A, C = NodeName("a"), NodeName("c")


def old_cluster(names: str = "abc") -> World:
    world = formed(names)
    world.after(10)
    return world


def declined(world: World, node: str) -> str:
    answer = world.ask(EvictNode(NodeName(node)))
    assert isinstance(answer, Declined), answer
    return answer.code


def evict(world: World, node: str) -> None:
    world.ask_later(EvictNode(NodeName(node)))
    world.drain()
    world.after(2)
    assert isinstance(world.answers[max(world.answers)], Accepted), world.answers


def test_a_node_goes_with_its_row_and_its_vote_and_is_told() -> None:
    world = old_cluster()
    evict(world, "c")

    view = world.row("view")
    assert [member["incarnation"] for member in view["members"]] == ["a-1", "b-1"]
    assert view["held"] is True
    assert "c" not in world.core._desk.scene.book.nodes
    assert any(isinstance(message, Evicted) for message in world["c"].heard)
    assert 1011 in world.events()
    assert 1135 not in world.events(), "nothing was lost"


def test_a_node_that_was_away_is_told_when_it_comes_back() -> None:
    world = old_cluster()
    world.die("c")
    world.after(10)
    evict(world, "c")
    assert not any(isinstance(message, Evicted) for message in world["c"].heard)

    cluster = world["c"].cluster
    world["c"].reborn()
    world["c"].cluster = cluster
    world.connect("c")
    assert isinstance(world["c"].heard[-1], Evicted)
    assert C not in world.core._desk.scene.book.nodes


def test_an_evicted_node_is_added_again_only_after_the_delay() -> None:
    world = old_cluster()
    evict(world, "c")
    world["c"].reborn()
    world["c"].cluster = None
    world.disconnect("c")
    world.connect("c")
    world.after(10)
    early = world.ask(JoinNode(C))
    assert isinstance(early, Declined)
    assert early.code == "evict-delay"
    assert " s (AddEvictDelay)" in early.sentence

    world.ask(SetProperty("AddEvictDelay", 15))
    world.after(10)
    world.ask(JoinNode(C))
    world.after(3)
    assert world.row("node/c")["id"] == 3, "the number is free again"
    assert world.store.get("evicted/c").value is None


def test_what_must_not_be_evicted_is_refused_with_its_reason() -> None:
    world = with_vm(old_cluster("ab"), node="a")
    assert declined(world, "x") == "unknown-node"
    assert declined(world, "a") == "node-owns-groups"
    world.die("b")
    world.after(3)
    assert declined(formed("a"), "a") == "last-node"


def test_the_quorum_is_not_evicted() -> None:
    world = old_cluster("abcd")
    world.die("d")
    world.after(8)
    answer = world.ask(EvictNode(C))

    assert isinstance(answer, Declined)
    assert answer.code == "quorum-would-be-lost"
    assert "5939" in answer.sentence


def test_the_last_node_is_not_evicted() -> None:
    world = old_cluster("a")

    assert declined(world, "a") == "last-node"


def test_vms_that_are_off_on_it_belong_to_another_node() -> None:
    world = with_vm(old_cluster(), node="c", start=False)
    evict(world, "c")

    assert world.row("vm/sql01")["owner"] in ("a", "b")
