from dataclasses import replace

from coordinator.config import Network
from coordinator.membership import Agent
from coordinator.networks import NetworkState, default_order, migration_networks, network_state
from coordinator.scene import Scene
from protocol.messages import RouteReport
from protocol.names import NetworkName, NodeName
from tests.coordinator.driver import World, formed
from tests.coordinator.ground import NETWORKS

LAN = NetworkName("management")
COPY = NetworkName("migration")
CSV = NetworkName("csv")


def scene_of(world: World) -> Scene:
    return world.core._desk.scene


def agent(world: World, name: str) -> Agent:
    found = scene_of(world).agents.at(NodeName(name))
    assert found is not None
    return found


def test_the_network_with_the_lowest_metric_comes_last_and_the_others_by_metric() -> None:
    assert default_order(NETWORKS) == (COPY, LAN, CSV)
    assert default_order(tuple(reversed(NETWORKS))) == (COPY, LAN, CSV)
    assert default_order(NETWORKS[:1]) == (CSV,)
    assert default_order(()) == ()


def test_a_network_that_is_not_for_the_cluster_carries_no_migration() -> None:
    storage = Network(NetworkName("storage"), "127.9.0.0/16", role=0, metric=900)

    assert default_order((storage, *NETWORKS)) == (COPY, LAN, CSV)


def test_a_network_that_is_down_between_the_two_is_tried_last() -> None:
    world = formed("ab")
    a, b = agent(world, "a"), agent(world, "b")
    a.routes = (RouteReport(NodeName("b"), COPY, False),)

    order = migration_networks(scene_of(world), a.as_member(), b.as_member())

    assert order == (LAN, CSV, COPY)


def test_only_networks_that_both_nodes_are_on_are_tried() -> None:
    world = formed("ab")
    b = agent(world, "b").as_member()
    b = replace(b, endpoint=replace(b.endpoint, addresses=((LAN, "127.3.0.2"),)))

    assert migration_networks(scene_of(world), agent(world, "a").as_member(), b) == (LAN,)


def test_an_order_that_was_set_is_kept_and_what_is_excluded_is_left_out() -> None:
    world = formed("ab")
    scene = scene_of(world)
    scene.config = replace(scene.config, migration_order=(CSV, LAN, COPY), migration_exclude=(LAN,))
    a, b = agent(world, "a"), agent(world, "b")

    assert migration_networks(scene, a.as_member(), b.as_member()) == (CSV, COPY)


def test_a_network_is_up_partitioned_or_down_by_its_routes() -> None:
    world = formed("ab")
    scene = scene_of(world)
    a, b = agent(world, "a"), agent(world, "b")
    assert network_state(scene, CSV) is NetworkState.UP

    a.routes = (RouteReport(NodeName("b"), CSV, False),)
    assert network_state(scene, CSV) is NetworkState.PARTITIONED
    b.routes = (RouteReport(NodeName("a"), CSV, False),)
    assert network_state(scene, CSV) is NetworkState.DOWN
    assert network_state(scene, NetworkName("none")) is NetworkState.UNAVAILABLE
