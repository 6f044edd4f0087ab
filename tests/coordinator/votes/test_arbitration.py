"""The witness's vote, as the coordinator counts it: who carries it, who is asked to take it, and
which views it lets hold.
"""

from dataclasses import replace

import pytest

from coordinator.events import LinkId
from coordinator.membership.agents import Agent
from coordinator.requests import Declined, StartVm
from coordinator.shown import chronicle
from coordinator.votes.arbitration import Arbitration, have_quorum, holders
from protocol.messages import Arbitrate, WitnessStatus
from protocol.names import Incarnation, NodeName, ViewNumber, VmName, WitnessState
from tests.coordinator.agent import Register
from tests.coordinator.driver import World, another, with_vm
from tests.coordinator.ground import TIMING, A, B, C
from tests.coordinator.votes.test_dealing import DISK, NODES_DISK, NODES_SHARE, SHARE, lab

D = NodeName("d")


def pair() -> World:
    """Two nodes and a disk: node a holds it."""
    world = lab("ab", NODES_DISK, DISK)
    assert world["a"].holds
    return world


def register(world: World) -> Register:
    found = world["a"].witness
    assert found is not None
    return found


def asked(world: World) -> list[str]:
    """Who was told to take the witness, in order."""
    links = {link: name for name, link in world.links.items()}
    return [links.get(send.link, "?") for send in world.sent(Arbitrate)]


def members(world: World) -> list[str]:
    return [member["node"] for member in world.row("view")["members"]]


def restarted(world: World, *names: str) -> World:
    """Another coordinator on the same store, and every agent in a new life."""
    second = another(world)
    register(world).holder = None
    for agent in second.agents.values():
        agent.reborn()
    second.all_hear_all()
    second.begin()
    second.connect(*names)
    return second


# ---- leading


def test_half_of_the_nodes_and_the_witness_lead() -> None:
    second = restarted(pair(), "b")
    second["b"].hears.clear()

    assert second.core.leads
    assert second["b"].holds
    second.after(10)
    assert members(second) == ["b"]
    assert second.row("view")["held"] is True


def test_half_of_the_nodes_do_not_lead_while_another_holds_the_witness() -> None:
    world = pair()
    second = another(world)
    second.begin()
    second.connect("b")
    second.after(60)
    assert not second.core.leads
    answer = second.ask(StartVm(VmName("sql01")))
    assert isinstance(answer, Declined)
    assert "none of these nodes holds the witness Disk 1" in answer.sentence

    register(second).holder = None  # what its holder promised has run out
    second.after(TIMING.arbitration_max_s + 1)
    assert second.core.leads


def test_nobody_is_asked_for_a_witness_whose_vote_would_not_be_enough() -> None:
    world = lab("abcd", NODES_SHARE, SHARE)
    second = another(world)
    second.begin()
    second.connect("a")
    second.after(30)

    assert asked(second) == []
    assert not second.core.leads


def test_who_cannot_reach_the_witness_is_passed_over() -> None:
    world = lab("abcd", NODES_SHARE, SHARE)
    at = register(world)
    second = another(world)
    at.holder = None
    second["a"].witness = None
    second.begin()
    second.connect("a", "b")
    second.after(3 * TIMING.delay_s)

    assert asked(second) == ["b"]
    assert second.core.leads
    assert second["b"].holds


def test_a_holder_that_must_first_adopt_a_newer_view_counts_for_leading() -> None:
    world = pair()
    second = another(world)
    register(world).holder = None
    second["b"].view = None
    second.begin()
    second.connect("b")

    assert second.core.leads
    second["b"].hears.clear()
    second.after(10)
    assert members(second) == ["b"]
    assert second.row("view")["number"] > 1


def test_a_leader_goes_on_with_the_holder_of_the_witness_alone() -> None:
    world = with_vm(pair(), node="b")
    world.die("b")
    world.after(20)

    assert world.core.leads
    assert world.core.term == 1
    assert members(world) == ["a"]
    assert world.running()["a"] == ["sql01"]


def test_a_leader_whose_holder_died_leads_again_once_another_has_the_witness() -> None:
    world = with_vm(pair(), node="a")
    world.die("a")
    world.after(TIMING.support_s + 2)
    assert not world.core.leads, "one of three votes"
    world.connect("b")
    world.after(2)
    assert not world.core.leads, "the dead one's promises last still"

    register(world).holder = None
    world.after(TIMING.arbitration_max_s + 2)
    assert world.core.leads
    assert members(world) == ["b"]
    assert world.running()["b"] == ["sql01"]
    assert 1177 in world.events()


def test_no_view_leaves_out_the_holder_of_the_witness_whose_vote_it_needs() -> None:
    """It is alive on the other side, and its guests run on."""
    world = with_vm(pair(), node="a")
    world.disconnect("a")
    world["b"].hears.clear()
    world.after(60)

    assert not world.core.leads
    assert members(world) == ["a", "b"]
    assert world.row("view")["left"] == []


def test_nobody_who_was_told_to_join_only_helps_to_form() -> None:
    world = lab("abc")
    second = another(world)
    for agent in second.agents.values():
        agent.reborn()
    second["b"].prevents = True
    second.begin()
    second.connect("a", "b")
    assert not second.core.leads

    second.connect("c")
    assert second.core.leads
    second.all_hear_all()
    second.after(10)
    assert "b" in members(second), "it joins"


def test_a_member_that_was_told_to_join_only_counts_once_it_has() -> None:
    world = lab("abc")
    second = another(world)
    second["b"].prevents = True
    second.begin()
    second.connect("a", "b")

    assert second.core.leads


# ---- keeping it


def test_a_leader_has_the_witness_taken_before_anybody_needs_it() -> None:
    world = lab("abcd", NODES_DISK, DISK)
    assert world["a"].holds
    assert chronicle.witness_taken("", A).id in world.events()
    register(world).holder = None
    world.after(2 * TIMING.delay_s)

    assert world["a"].holds
    assert chronicle.witness_failed("", "").id in world.events()


def test_a_witness_that_somebody_cannot_reach_is_told_of_once() -> None:
    world = lab("abcd", NODES_SHARE, SHARE)
    world["c"].witness = None
    world.after(10)

    note = chronicle.witness_unreachable("", C, True).id
    assert world.events().count(note) == 1


# ---- views


def test_a_view_holds_with_the_witness_only_when_it_has_written_the_view_down() -> None:
    world = pair()
    scene = world.core._desk.scene
    world["a"].acks = False
    number = world.row("view")["number"]
    world["b"].reborn()
    world.connect("b")
    world.after(3)
    assert world.row("view")["number"] > number
    assert world.row("view")["held"] is False, "b is one of three, and a has not acknowledged"

    agent = scene.agents.at(A)
    assert agent is not None
    agent.acked = scene.book.view.view.number  # type: ignore[union-attr]
    world.after(1)
    assert world.row("view")["held"] is True


def test_an_acknowledgement_with_another_witness_is_none_of_the_old_ones() -> None:
    world = lab("abcd", NODES_DISK, DISK)
    scene = world.core._desk.scene
    row = scene.book.view
    assert row is not None
    other = replace(row.view.votes, index=2, witness=replace(DISK, name="Disk 2", path="/san/2"))
    agent = scene.agents.at(A)
    assert agent is not None
    agent.acked_with_witness = ViewNumber(row.view.number + 1)

    assert holders(scene, row.view.votes) == {A}
    assert holders(scene, other) == set()


def test_the_witness_counts_with_those_who_hold_it() -> None:
    world = lab("abcd", NODES_DISK, DISK)
    scene = world.core._desk.scene

    assert have_quorum(scene, {A, B})
    assert not have_quorum(scene, {B, C})
    assert have_quorum(scene, {B, C, D})


# ---- whom to ask


def agent(name: str, state: WitnessState | None = None) -> Agent:
    world = World(name)
    hello = world[name].hello()
    status = None if state is None else WitnessStatus(1, state)
    return Agent(LinkId(1), hello, 0.0, {}, {}, witness=status)


def test_one_is_asked_at_a_time_and_the_next_when_its_time_is_over() -> None:
    turns = Arbitration()
    agents = [agent("b"), agent("a")]
    order = []
    for now in range(60):
        chosen = turns.next(float(now), agents, delay_s=1.0, arbitration_max_s=20.0)
        if chosen is not None:
            order.append((now, str(chosen.node)))

    assert order == [(0, "a"), (20, "b"), (40, "a")]


@pytest.mark.parametrize("state", [WitnessState.OTHER, WitnessState.CONTENDING, None])
def test_who_does_not_reach_it_comes_last(state: WitnessState | None) -> None:
    turns = Arbitration()
    agents = [agent("a", WitnessState.UNREACHABLE), agent("b", state)]

    first = turns.next(0.0, agents, 1.0, 20.0)
    assert first is not None
    assert first.node == "b"
    assert turns.next(5.0, agents, 1.0, 20.0) is None
    assert turns.next(6.0, [], 1.0, 20.0) is None


def test_settled_everybody_may_be_asked_anew() -> None:
    turns = Arbitration()
    first = turns.next(0.0, [agent("a")], 1.0, 20.0)
    turns.settle()

    assert first is not None
    assert first.incarnation == Incarnation("a-1")
    assert turns.next(0.1, [agent("a")], 1.0, 20.0) is not None
