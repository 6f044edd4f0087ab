from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as some

from coordinator.config import Network
from coordinator.membership.agents import Agent
from coordinator.networks.interfaces import NetworkState
from coordinator.networks.networks import conditions, default_order, migration_networks
from coordinator.scene import Scene
from coordinator.store.network_rows import with_automatic_metrics
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


def state_of(world: World, network: NetworkName) -> NetworkState:
    return conditions(scene_of(world))[network].network


def test_a_network_is_up_partitioned_or_down_by_its_routes() -> None:
    world = formed("ab")
    a, b = agent(world, "a"), agent(world, "b")
    assert state_of(world, CSV) is NetworkState.UP

    a.routes = (RouteReport(NodeName("b"), CSV, False),)
    b.routes = (RouteReport(NodeName("a"), CSV, True),)
    assert state_of(world, CSV) is NetworkState.PARTITIONED
    b.routes = (RouteReport(NodeName("a"), CSV, False),)
    assert state_of(world, CSV) is NetworkState.DOWN
    assert state_of(world, LAN) is NetworkState.UP


NAMES = some.lists(some.sampled_from("abcdefgh"), unique=True, max_size=6)


@some.composite
def networks(draw: some.DrawFn) -> tuple[Network, ...]:
    """Any few networks, with automatic metrics and others."""
    return with_automatic_metrics(
        Network(
            NetworkName(name),
            "10.0.0.0/24",
            draw(some.sampled_from((0, 1, 3))),
            draw(some.integers(1, 12000)),
            draw(some.booleans()),
            draw(some.booleans()),
        )
        for name in draw(NAMES)
    )


@given(networks(), some.randoms())
def test_the_default_order_has_each_network_of_the_cluster_once_and_csv_last(
    given_networks: tuple[Network, ...], chance: Random
) -> None:
    by_name = {network.name: network for network in given_networks}

    order = default_order(given_networks)

    assert sorted(order) == sorted(n.name for n in given_networks if n.role > 0)
    if order:
        csv, others = by_name[order[-1]], [by_name[name] for name in order[:-1]]
        assert all((csv.metric, csv.name) < (other.metric, other.name) for other in others)
        assert others == sorted(others, key=lambda n: (n.gateway, n.metric, n.name))
    shuffled = chance.sample(given_networks, len(given_networks))
    assert default_order(shuffled) == order


def test_private_networks_come_before_those_with_a_gateway_whatever_their_metric() -> None:
    lan = Network(NetworkName("lan"), "10.0.0.0/24", 3, 950, gateway=True)
    csv = Network(NetworkName("csv"), "10.0.1.0/24", 1, 900)

    assert default_order((lan, *NETWORKS[1:], csv)) == (COPY, LAN, lan.name, CSV)
