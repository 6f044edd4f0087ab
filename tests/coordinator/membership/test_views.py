from dataclasses import replace

import pytest

from coordinator.membership.views import acked_by, comes_to_hold, next_number, wanted
from coordinator.requests import Accepted, Declined, FormCluster, JoinNode
from protocol.messages import ProposeView
from protocol.names import NodeName, Timing
from tests.coordinator.driver import World, formed, with_vm
from tests.coordinator.ground import TIMING


def members(world: World) -> list[str]:
    return [member["incarnation"] for member in world.row("view")["members"]]


def connected(names: str = "abc") -> World:
    world = World(names)
    world.all_hear_all()
    world.begin()
    world.connect()
    return world


def test_forming_is_answered_once_the_first_view_holds() -> None:
    world = connected()
    for name in "abc":
        world[name].acks = False
    body = FormCluster("test", (NodeName("a"), NodeName("b"), NodeName("c")))

    assert world.ask(body) is None
    assert world.row("view")["held"] is False
    assert world.row("view")["number"] == 1
    world["a"].acks = world["b"].acks = True
    world.after(1)
    assert isinstance(world.answers[1], Accepted)
    assert world.row("view")["held"] is True


def test_what_cannot_be_formed_is_refused_and_nothing_is_half_made() -> None:
    world = connected()
    a, b = NodeName("a"), NodeName("b")
    world["b"].cluster = "other"  # type: ignore[assignment]
    world.disconnect("b")
    world.connect("b")
    for body in (
        FormCluster("", (a,)),
        FormCluster("test", ()),
        FormCluster("test", (a, a)),
        FormCluster("test", (a, b)),
        FormCluster("test", (a, NodeName("x"))),
        FormCluster("test", (a,), Timing(delay_s=0)),
        FormCluster("test", (a,), Timing(drift_rate=0.7)),
    ):
        answer = world.ask(body)
        assert isinstance(answer, Declined), body
    assert {row.key for row in world.store.range("")} <= {
        "term",
        "counter",
        "event/000000000001",
    }
    early = world.ask(JoinNode(a))
    assert isinstance(early, Declined)
    assert "form one first" in early.sentence


def test_a_member_without_a_link_stays_while_others_hear_it() -> None:
    world = formed()
    world.disconnect("c")
    world.after(60)

    assert members(world) == ["a-1", "b-1", "c-1"]
    assert world.node("c")["state"] == "Up"


def test_a_member_that_nobody_hears_is_removed_also_with_its_link_open() -> None:
    world = formed()
    world["c"].hear = lambda message: None  # type: ignore[method-assign]
    for name in "ab":
        world[name].hears = {NodeName("a"), NodeName("b")} - {NodeName(name)}
    world.after(4)
    assert members(world) == ["a-1", "b-1", "c-1"], "not before it was silent for a lease"
    world.after(5)
    assert members(world) == ["a-1", "b-1"]


def test_a_member_that_has_had_no_lease_for_a_lease_is_removed() -> None:
    world = formed()
    world["c"].lease_s = 0.0
    world.after(TIMING.support_s)
    assert members(world) == ["a-1", "b-1", "c-1"]
    world.after(3)
    assert members(world) == ["a-1", "b-1"]
    assert world["c"].left, "it was shown the view that it is not in"


def test_members_without_a_lease_stay_when_too_few_would_be_left() -> None:
    world = formed("abcde")
    world["b"].lease_s = world["c"].lease_s = 0.0
    world.die("e")
    world.after(15)

    assert members(world) == ["a-1", "b-1", "c-1", "d-1"], "the dead one goes all the same"


def test_several_changes_make_one_view() -> None:
    world = formed("abcde")
    world["a"].reborn()
    world["b"].reborn()
    number = world.row("view")["number"]
    world.disconnect("a", "b")
    for name in "ab":
        world[name].acks = False
    world.connect("a", "b")
    world.after(3)

    assert world.row("view")["number"] <= number + 2
    assert members(world) == ["a-2", "b-2", "c-1", "d-1", "e-1"]


def test_a_pending_view_is_replaced_when_one_of_its_members_dies_with_it() -> None:
    world = formed("abcde")
    for name in "abcde":
        world[name].acks = False
    world.die("e")
    world.after(8)
    assert members(world) == ["a-1", "b-1", "c-1", "d-1"]
    world.die("d")
    world.after(8)
    assert members(world) == ["a-1", "b-1", "c-1"]
    assert world.row("view")["held"] is False

    for name in "abc":
        world[name].acks = True
    world.after(2)
    assert world.row("view")["held"] is True
    assert world.events().count(1135) == 2
    assert set(world.row("view")["left"]) == {"d-1", "e-1"}


def test_a_changed_vote_configuration_needs_quorums_of_the_old_and_of_the_new() -> None:
    world = formed("abc")
    for name in "abc":
        world[name].acks = False
    for name in "def":
        world.add(NodeName(name))
    world.all_hear_all()
    world.connect("d")
    assert world.ask(JoinNode(NodeName("d"))) is None
    again = world.ask(JoinNode(NodeName("e")))
    assert isinstance(again, Declined), "one change at a time"
    world.after(2)
    scene = world.core._desk.scene
    assert acked_by(scene, scene.book.view.view) == {"d"}  # type: ignore[union-attr]
    world["a"].acks = True
    world.after(2)
    assert not comes_to_hold(scene), "two of four, and one of the old three"
    world["b"].acks = True
    world.after(2)
    assert world.row("view")["held"] is True


@pytest.mark.parametrize(("weight_of_a", "lets_in"), [(0, True), (1, False)])
def test_a_pending_view_lets_in_who_wants_in_only_if_it_lacks_the_votes(
    weight_of_a: int, lets_in: bool
) -> None:
    """The votes changed while c was on its way out, and now a and b alone may be too few."""
    world = formed()
    world.die("c")
    world.after(8)
    scene = world.core._desk.scene
    row = scene.book.view
    assert row is not None
    assert members(world) == ["a-1", "b-1"]
    votes = replace(row.view.votes, index=2, votes=_weights(a=weight_of_a, b=1, c=1))
    pending = replace(row.view, number=next_number(scene), votes=votes)
    scene.book.view = replace(row, view=pending, changed=True)
    world["c"].life = 2
    world.connect("c")

    assert ("c-2" in members(world)) is lets_in


def _weights(**weights: int) -> tuple[tuple[NodeName, int], ...]:
    return tuple((NodeName(node), weight) for node, weight in weights.items())


def test_numbers_only_grow_and_nothing_is_wanted_in_peace() -> None:
    world = formed()
    scene = world.core._desk.scene

    assert wanted(scene) is None
    assert next_number(scene) == world.row("view")["number"] + 1


def test_a_member_that_missed_the_view_is_shown_it_again_with_the_next_ping() -> None:
    world = formed()
    world["b"].acks = False
    world["c"].reborn()
    world.connect("c")
    world.after(3)
    shown = [m for m in world["b"].heard if isinstance(m, ProposeView)]

    assert len(shown) >= 4
    assert world.row("view")["held"] is True


def test_a_vm_is_given_only_to_lives_that_are_in_the_view_and_stay_in_it() -> None:
    world = with_vm(formed())
    scene = world.core._desk.scene
    a, life = NodeName("a"), world["a"].incarnation
    assert scene.may_own(a, life)

    for name in "bc":
        world[name].acks = False
    world.die("a")
    world.after(8)
    assert scene.in_held_view(a, life)
    assert not scene.may_own(a, life)
