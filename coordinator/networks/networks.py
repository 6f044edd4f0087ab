"""How each network is, what the cluster's own traffic uses, and what a live migration tries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from coordinator.config import Network
from coordinator.membership.agents import Agent
from coordinator.networks.interfaces import Condition, NetworkState, Reach, condition
from coordinator.scene import Scene
from coordinator.store.network_rows import MigrationNetworksRow, effective
from protocol.names import Endpoint, Member, NetworkName, NodeName, NodeState

Data = dict[str, Any]

HERE = (NodeState.UP, NodeState.PAUSED)


def networks_of(scene: Scene) -> tuple[Network, ...]:
    """The networks as they count now: the configuration with what operators have set."""
    return effective(scene.config.networks, scene.book.networks)


# ---- which network for what


def csv_network(
    networks: Sequence[Network], now: Mapping[NetworkName, Condition] | None = None
) -> NetworkName | None:
    """What carries CSV and the cluster's own traffic: the lowest metric among roles 1 and 3.

    One that is Up is taken before one that is not, so the traffic moves by itself.
    """
    best = min(
        (network for network in networks if network.role > 0),
        key=lambda n: (_is_troubled(now, n.name), n.metric, n.name),
        default=None,
    )
    return None if best is None else best.name


def csv_order(
    networks: Sequence[Network], now: Mapping[NetworkName, Condition]
) -> tuple[NetworkName, ...]:
    """The network that carries CSV first, then those to which it would move, one after another."""
    usable = (network for network in networks if network.role > 0)
    order = sorted(usable, key=lambda n: (_is_troubled(now, n.name), n.metric, n.name))
    return tuple(network.name for network in order)


def _is_down(now: Mapping[NetworkName, Condition] | None, network: NetworkName) -> bool:
    return now is not None and now[network].network is NetworkState.DOWN


def _is_troubled(now: Mapping[NetworkName, Condition] | None, network: NetworkName) -> bool:
    return now is not None and now[network].network is not NetworkState.UP


def default_order(
    networks: Sequence[Network], now: Mapping[NetworkName, Condition] | None = None
) -> tuple[NetworkName, ...]:
    """Those without a default gateway first, by metric; what carries CSV comes last.

    Behind it are only networks that are down.
    """
    csv = csv_network(networks, now)
    usable = sorted(
        (n for n in networks if n.role > 0),
        key=lambda n: (_is_down(now, n.name), n.name == csv, n.gateway, n.metric, n.name),
    )
    return tuple(network.name for network in usable)


def migration_setting(scene: Scene) -> MigrationNetworksRow:
    """What counts for all VMs: what operators have set, else the configuration."""
    config = scene.config
    return scene.book.migration or MigrationNetworksRow(
        config.migration_order, config.migration_exclude
    )


def migration_order(
    scene: Scene,
    setting: MigrationNetworksRow,
    now: Mapping[NetworkName, Condition] | None = None,
) -> tuple[NetworkName, ...]:
    """The networks that a live migration may use under `setting`, the first to try first."""
    order = setting.order or default_order(networks_of(scene), now or conditions(scene))
    return tuple(name for name in order if name not in setting.exclude)


def migration_networks(scene: Scene, source: Member, target: Member) -> tuple[NetworkName, ...]:
    """What to try, best first: networks that both are on, those last seen down after the others."""
    both = _joined(source.endpoint) & _joined(target.endpoint)
    setting = migration_setting(scene)
    order = migration_order(scene, setting)
    if not scene.config.networks:
        order = tuple(sorted(both - set(setting.exclude)))
    usable = [name for name in order if name in both]
    down = {
        route.network
        for node, peer in ((source.node, target.node), (target.node, source.node))
        if (agent := scene.agents.at(node)) is not None
        for route in agent.routes
        if route.node == peer and not route.up
    }
    return tuple(sorted(usable, key=lambda name: name in down))


# ---- who is where


def as_member(scene: Scene, agent: Agent) -> Member:
    """The agent as a view names it: with its addresses on the networks of the cluster.

    A network of role 0 is left out, so no heartbeat and no support travels there.
    """
    member = agent.as_member()
    return replace(member, endpoint=for_cluster(networks_of(scene), member.endpoint))


def is_reachable(scene: Scene, agent: Agent) -> bool:
    """It is on some network of the cluster; without one nobody would hear it (code 1569)."""
    endpoint = agent.hello.endpoint
    return not endpoint.addresses or bool(for_cluster(networks_of(scene), endpoint).addresses)


def with_all_addresses(scene: Scene, member: Member) -> Member:
    """As its agent told of itself: a migration may be told to use a network of role 0."""
    agent = scene.agents.living(member.node, member.incarnation)
    return member if agent is None else agent.as_member()


def for_cluster(networks: Iterable[Network], endpoint: Endpoint) -> Endpoint:
    """The endpoint without its addresses on networks that are not for the cluster."""
    closed = {network.name for network in networks if network.role == 0}
    kept = tuple(pair for pair in endpoint.addresses if pair[0] not in closed)
    return endpoint if kept == endpoint.addresses else replace(endpoint, addresses=kept)


def _joined(endpoint: Endpoint) -> set[NetworkName]:
    return {network for network, _ in endpoint.addresses}


def _endpoints(scene: Scene) -> dict[NodeName, Endpoint]:
    """Where each node is, or was when it was last seen."""
    row = scene.book.view
    found = {} if row is None else {m.node: m.endpoint for m in row.view.members}
    found.update((agent.node, agent.hello.endpoint) for agent in scene.agents)
    return {node: found[node] for node in sorted(scene.book.nodes) if node in found}


# ---- how they are


def conditions(scene: Scene) -> dict[NetworkName, Condition]:
    """Every network of the configuration, from what the members report of their routes."""
    endpoints = _endpoints(scene)
    here = {node: scene.node_state(node) in HERE for node in endpoints}
    reports = _reports(scene)
    return {
        network.name: condition(
            {node: here[node] for node, at in endpoints.items() if network.name in _joined(at)},
            reports.get(network.name, ()) if network.role > 0 else (),
        )
        for network in networks_of(scene)
    }


def _reports(scene: Scene) -> dict[NetworkName, list[Reach]]:
    """What members say of the networks on which any route is down; the others are whole."""
    members = [a for a in scene.agents if scene.in_held_view(a.node, a.incarnation)]
    down = {route.network for agent in members for route in agent.routes if not route.up}
    found: dict[NetworkName, list[Reach]] = {network: [] for network in down}
    for agent in members if down else ():
        for route in agent.routes:
            if route.network in down:
                found[route.network].append(Reach(agent.node, route.node, route.up))
    return found


# ---- as people see them


def networks_data(scene: Scene) -> tuple[Data, ...]:
    networks, now, endpoints = networks_of(scene), conditions(scene), _endpoints(scene)
    csv = csv_network(networks, now)
    return tuple(
        {
            "name": network.name,
            "state": now[network.name].network.value,
            "role": network.role,
            "metric": network.metric,
            "subnet": network.subnet,
            "auto_metric": network.auto_metric,
            "gateway": network.gateway,
            "csv": network.name == csv,
            "migration_rate_bytes_per_s": _rate_bytes_per_s(scene, network.name),
            "interfaces": [
                {
                    "node": node,
                    "address": dict(endpoints[node].addresses)[network.name],
                    "state": state.value,
                }
                for node, state in now[network.name].interfaces.items()
            ],
        }
        for network in networks
    )


def _rate_bytes_per_s(scene: Scene, network: NetworkName) -> int:
    row = scene.book.networks.get(network)
    return 0 if row is None else row.migration_rate_bytes_per_s


def migration_networks_data(scene: Scene) -> Data:
    setting = migration_setting(scene)
    now = conditions(scene)
    warnings = _warnings(scene, setting, now)
    return {
        "order": list(setting.order),
        "exclude": list(setting.exclude),
        "effective": list(migration_order(scene, setting, now)),
        "warnings": list(warnings),
        "warning": " ".join(warnings),
    }


def _warnings(
    scene: Scene, setting: MigrationNetworksRow, now: Mapping[NetworkName, Condition]
) -> tuple[str, ...]:
    """What an operator ought to know of the order that follows from `setting`."""
    networks = {n.name: n for n in networks_of(scene)}
    order = [networks[n] for n in migration_order(scene, setting, now) if n in networks]
    if not order:
        return ()
    first = next((n for n in order if now[n.name].network is NetworkState.UP), order[0])
    found = []
    if first.name == csv_network(tuple(networks.values()), now):
        found.append(
            f"Live migration and Cluster Shared Volumes share network {first.name}:"
            " put another network before it."
        )
    if first.gateway:
        found.append(
            f"Live migration uses network {first.name}, which has a default gateway and serves"
            " management: put a private network before it."
        )
    found += [
        f"Network {n.name} has role 0: nothing tells whether it is up until a migration tries it."
        for n in order
        if n.role == 0
    ]
    if len(order) == 1:
        found.append(f"Network {first.name} is the only one: there is none to turn to if it fails.")
    return tuple(found)
