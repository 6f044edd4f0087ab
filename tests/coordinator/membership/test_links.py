"""Broken links between members that the coordinator hears, through the whole core."""

from coordinator.membership.links import pattern_of
from protocol.names import NodeName
from tests.coordinator.driver import World, formed
from tests.coordinator.ground import TIMING

YOUNG_S = TIMING.outlast_s + 2 * TIMING.delay_s


def old_cluster(names: str = "abcde") -> World:
    world = formed(names)
    world.after(YOUNG_S + 1)
    return world


def sever(world: World, *pairs: str) -> None:
    """Neither end of these pairs hears the other."""
    for pair in pairs:
        one, other = pair[0], pair[1]
        world[one].hears.discard(NodeName(other))
        world[other].hears.discard(NodeName(one))


def members(world: World) -> list[str]:
    return [member["incarnation"] for member in world.row("view")["members"]]


def comes_back(world: World, *names: str) -> None:
    """They ended the life that was sent away, and say Hello in the next."""
    for name in names:
        world.disconnect(name)
        world[name].reborn()
        world.connect(name)


BRIDGE = ("ad", "ae", "bd", "be")


def test_a_bridge_ends_in_one_fully_connected_view_after_opening_and_pruning() -> None:
    world = old_cluster()
    sever(world, *BRIDGE)
    world.after(9)
    assert members(world) == ["a-1", "b-1", "c-1", "d-1", "e-1"]

    world.after(4)
    assert members(world) == ["a-1", "b-1", "c-1"]
    assert world["d"].left, "it is told that it is out"
    assert world["e"].left, "it is told that it is out"
    assert world.events().count(1135) == 2


def test_a_link_that_comes_back_in_time_costs_nobody_the_membership() -> None:
    world = old_cluster()
    sever(world, *BRIDGE)
    world.after(8)
    world.all_hear_all()
    world.after(60)

    assert members(world) == ["a-1", "b-1", "c-1", "d-1", "e-1"]


def test_an_isolated_node_goes_as_soon_as_all_agree_though_its_control_link_is_whole() -> None:
    world = old_cluster("abc")
    sever(world, "ac", "bc")
    world.after(3)

    assert members(world) == ["a-1", "b-1"]


def test_a_link_that_works_one_way_only_is_broken() -> None:
    world = old_cluster("abc")
    world["a"].hears.discard(NodeName("b"))
    world.after(13)

    assert members(world) == ["a-1", "c-1"]


def test_where_no_fully_connected_part_has_a_quorum_the_view_stays() -> None:
    world = old_cluster()
    sever(world, "ac", "ad", "bd", "be", "ce")
    world.after(60)

    assert members(world) == ["a-1", "b-1", "c-1", "d-1", "e-1"]
    assert {world.node(name)["state"] for name in "abcde"} == {"Up"}


def test_who_was_sent_away_comes_back_later_each_time_and_is_up_only_with_whole_links() -> None:
    world = old_cluster()
    sever(world, *BRIDGE)
    world.after(13)
    comes_back(world, "d", "e")
    world.after(1)
    assert members(world) == ["a-1", "b-1", "c-1"], "not at once"
    assert world.node("d")["state"] == "Joining"

    world.after(2 * TIMING.support_s)
    assert members(world) == ["a-1", "b-1", "c-1", "d-2", "e-2"]
    assert world.node("d")["state"] == "Joining", "a and b do not hear it"
    for _ in range(20):
        if len(members(world)) == 5:
            world.after(1)
    assert members(world) == ["a-1", "b-1", "c-1"]

    comes_back(world, "d", "e")
    world.after(2 * TIMING.support_s + 2)
    assert members(world) == ["a-1", "b-1", "c-1"], "two leases this time"
    world.all_hear_all()
    world.after(TIMING.support_s + 3)
    assert members(world) == ["a-1", "b-1", "c-1", "d-3", "e-3"]
    assert world.node("d")["state"] == "Up"


def test_who_waits_outside_is_let_in_at_once_where_its_vote_is_needed() -> None:
    world = old_cluster()
    sever(world, *BRIDGE)
    world.after(13)
    comes_back(world, "d", "e")
    world.after(1)
    assert members(world) == ["a-1", "b-1", "c-1"]

    world.die("a")
    world.after(2)
    assert members(world) == ["b-1", "c-1", "d-2", "e-2"]


def test_links_of_a_member_that_is_not_heard_are_taken_as_the_others_see_them() -> None:
    world = old_cluster("abc")
    world.disconnect("c")
    world.after(60)
    assert members(world) == ["a-1", "b-1", "c-1"]

    world["a"].hears.discard(NodeName("c"))
    world.after(13)
    assert members(world) == ["a-1", "b-1"], "those who are heard can acknowledge"


def test_nobody_who_just_came_is_sent_away_before_it_could_be_heard() -> None:
    world = old_cluster("abc")
    for name in "ab":
        world[name].hears.discard(NodeName("c"))
    world["c"].hears.clear()
    comes_back(world, "c")
    world.after(YOUNG_S - 2)

    assert members(world) == ["a-1", "b-1", "c-2"]
    assert world.node("c")["state"] == "Joining"


def test_the_pattern_knows_who_reported_and_who_is_silent() -> None:
    world = old_cluster("abc")
    world.disconnect("c")
    scene = world.core._desk.scene
    assert scene.book.view is not None
    pattern = pattern_of(scene, scene.book.view.view.members)

    assert [peer.reported_at is None for peer in pattern.peers] == [False, False, True]
    assert [peer.id for peer in pattern.peers] == [1, 2, 3]
    assert pattern.whole


def test_a_change_of_the_membership_in_between_does_not_begin_the_wait_anew() -> None:
    world = old_cluster()
    sever(world, *BRIDGE)
    world.after(6)
    comes_back(world, "e")
    world.after(7)

    assert members(world) == ["a-1", "b-1", "c-1", "e-2"], "d goes when its time has come"
