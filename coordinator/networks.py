"""Which networks a live migration tries, in which order, and how each network is."""

import enum
from collections.abc import Sequence

from coordinator.config import Network
from coordinator.scene import Scene
from protocol.names import Endpoint, Member, NetworkName, NodeName


class NetworkState(enum.Enum):
    """The state of a network, as the cluster's administrator reads it."""

    UNAVAILABLE = "Unavailable"
    DOWN = "Down"
    PARTITIONED = "Partitioned"
    UP = "Up"


def default_order(networks: Sequence[Network]) -> tuple[NetworkName, ...]:
    """By metric, but the network with the lowest (it carries CSV and heartbeats) comes last."""
    usable = sorted((n for n in networks if n.role > 0), key=lambda n: (n.metric, n.name))
    if not usable:
        return ()
    first, *others = usable
    return tuple(network.name for network in (*others, first))


def migration_networks(scene: Scene, source: Member, target: Member) -> tuple[NetworkName, ...]:
    """What to try, best first: networks that both are on, those last seen down after the others."""
    config = scene.config
    order = config.migration_order or default_order(config.networks)
    both = _joined(source.endpoint) & _joined(target.endpoint)
    if not config.networks:
        order = tuple(sorted(both))
    usable = [name for name in order if name in both and name not in config.migration_exclude]
    down = {
        route.network
        for node, peer in ((source.node, target.node), (target.node, source.node))
        if (agent := scene.agents.at(node)) is not None
        for route in agent.routes
        if route.node == peer and not route.up
    }
    return tuple(sorted(usable, key=lambda name: name in down))


def network_state(scene: Scene, network: NetworkName) -> NetworkState:
    """From the routes between the members that are connected."""
    present = _present(scene, network)
    if not present:
        return NetworkState.UNAVAILABLE
    routes = [
        route.up
        for agent in scene.agents
        if agent.node in present
        for route in agent.routes
        if route.network == network and route.node in present
    ]
    if all(routes):
        return NetworkState.UP
    return NetworkState.PARTITIONED if any(routes) else NetworkState.DOWN


def _present(scene: Scene, network: NetworkName) -> set[NodeName]:
    return {
        agent.node
        for agent in scene.agents
        if network in _joined(agent.hello.endpoint)
        and scene.in_held_view(agent.node, agent.incarnation)
    }


def _joined(endpoint: Endpoint) -> set[NetworkName]:
    return {network for network, _ in endpoint.addresses}
