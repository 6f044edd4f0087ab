"""What a follower shows of a cluster that another leads, and whom it names."""

from coordinator.leadership.candidacy import Rival
from coordinator.leadership.following import MIRRORED, Following
from coordinator.requests import Declined
from coordinator.store.interface import Row
from tests.coordinator.driver import World, formed, with_vm
from tests.coordinator.ground import config

LEADER = Rival("c1", "http://127.0.0.1:1")


def rows_of(world: World) -> tuple[Row, ...]:
    return tuple(row for prefix in MIRRORED for row in world.store.range(prefix, limit=10_000))


def leader_of(world: World) -> Rival:
    return Rival(str(world.row("term")["leader"]), LEADER.api)


def following(world: World) -> Following:
    follower = Following(config("c2"))
    follower.begin(rows_of(world))
    follower.led_by(leader_of(world))
    return follower


def test_a_follower_shows_the_nodes_groups_and_vms_that_the_leader_does() -> None:
    world = with_vm(formed())
    there, here = world.core.picture(), following(world).picture(world.now)

    for key in ("cluster", "cluster_id", "term", "groups", "networks"):
        assert here.status[key] == there.status[key], key
    assert [node["state"] for node in here.nodes] == ["Up", "Up", "Up"]
    assert [(vm["name"], vm["state"], vm["node"]) for vm in here.vms] == [("sql01", "Online", "a")]
    assert here.view == there.view


def test_it_names_the_leader_and_where_to_ask_it() -> None:
    world = formed()
    follower, leader = following(world), leader_of(world)

    seen = follower.picture(world.now)

    assert not seen.leads
    assert (seen.status["leader"], seen.status["leader_api"]) == (leader.name, leader.api)
    assert leader.name in seen.waiting
    assert leader.api in seen.waiting
    assert follower.refusal() == Declined(421, "not-leader", seen.waiting)
    assert follower.turned_away() == f"{leader.name} leads."


def test_while_nobody_holds_the_election_nobody_leads_whatever_the_term_says() -> None:
    world = formed()
    follower = following(world)
    for holder in (None, Rival("c7", "http://elsewhere")):
        follower.led_by(holder)
        seen = follower.picture(world.now)
        assert seen.status["leader"] is None
        assert follower.refusal().status == 503
        assert "no coordinator leads" in seen.waiting


def test_what_changes_is_shown_and_what_comes_late_is_not() -> None:
    world = with_vm(formed())
    follower = following(world)
    row = world.store.get("vm/sql01")

    follower.learn(Row(row.key, None, row.revision + 5))
    assert follower.picture(world.now).vms == ()
    follower.learn(row)
    assert follower.picture(world.now).vms == (), "an older change told again"


def test_a_follower_of_an_empty_store_knows_nothing_and_says_so() -> None:
    follower = Following(config("c2"))
    seen = follower.picture(1.0)
    assert seen.status["cluster"] is None
    assert seen.nodes == ()
    assert seen.waiting
