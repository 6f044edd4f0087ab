"""Nodes and networks as people see them."""

from collections.abc import Mapping
from typing import Any

from coordinator.groups.placement import node_memory_bytes, owned_bytes
from coordinator.scene import Scene
from protocol.names import NodeName

Data = dict[str, Any]


def nodes_data(scene: Scene) -> tuple[Data, ...]:
    row, taken = scene.book.view, owned_bytes(scene)
    votes = {} if row is None else dict(row.view.votes.votes)
    return tuple(_node(scene, node, votes, taken) for node in sorted(scene.book.nodes))


def _node(
    scene: Scene, name: NodeName, votes: Mapping[NodeName, int], taken: Mapping[NodeName, int]
) -> Data:
    row, agent = scene.book.nodes[name], scene.agents.at(name)
    memory_bytes = node_memory_bytes(scene, name)
    endpoint = None if agent is None else agent.hello.endpoint
    return {
        "name": name,
        "state": scene.node_state(name).value,
        "votes": votes.get(name, 0),
        "vms": sorted(vm.name for vm in scene.book.vms.values() if vm.owner == name),
        "id": row.id,
        "weight": row.weight,
        "stopped": row.stopped,
        "draining": row.draining,
        "paused": row.paused,
        "migration_rate_bytes_per_s": row.migration_rate_bytes_per_s,
        "connected": agent is not None and agent.welcomed,
        "incarnation": None if agent is None else agent.incarnation,
        "memory_bytes": memory_bytes,
        "memory_free_bytes": memory_bytes - taken.get(name, 0),
        "lease_s": None if agent is None else agent.lease_s,
        "tracker": None if agent is None else agent.hello.tracker,
        "addresses": {} if endpoint is None else dict(endpoint.addresses),
        "routes": []
        if agent is None
        else [{"node": r.node, "network": r.network, "up": r.up} for r in agent.routes],
    }


def available_data(scene: Scene) -> tuple[Data, ...]:
    """Connected nodes that belong to no cluster."""
    return tuple(
        {
            "name": agent.node,
            "memory_bytes": agent.hello.memory_bytes,
            "tracker": agent.hello.tracker,
            "addresses": dict(agent.hello.endpoint.addresses),
        }
        for agent in scene.agents
        if not agent.welcomed and agent.hello.cluster is None
    )
