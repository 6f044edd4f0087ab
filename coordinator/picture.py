"""What people and scripts see of the cluster: plain data, made anew each time it is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coordinator import quorum
from coordinator.conduct import Conducted
from coordinator.groups import group_state, resources, vm_state
from coordinator.leading import Phase, configured_heard, vote_configs, waiting_for
from coordinator.networks import network_state
from coordinator.placement import node_memory_bytes, owned_bytes
from coordinator.records import record_of
from coordinator.rows import AttemptRow, VmRow
from coordinator.scene import Scene
from coordinator.views import acked_by
from protocol.names import AttemptId, NodeName

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """One moment. The fields' words are those of the contract for scripts."""

    status: Data
    nodes: tuple[Data, ...]
    networks: tuple[Data, ...]
    groups: tuple[Data, ...]
    vms: tuple[Data, ...]
    attempts: tuple[Data, ...]
    available: tuple[Data, ...]
    """Connected nodes that belong to no cluster: what can be formed of, or joined."""

    view: Data | None
    leads: bool
    waiting: str
    """Why nothing is decided at this moment; empty when it is."""


def picture_of(scene: Scene, phase: Phase, under_way: Mapping[AttemptId, Conducted]) -> Picture:
    leads = phase is Phase.LEADING
    nodes, groups = _nodes(scene), _groups(scene)
    networks = _networks(scene)
    cluster = scene.book.cluster
    status = {
        "cluster": None if cluster is None else cluster.name,
        "cluster_id": None if cluster is None else cluster.id,
        "leader": scene.config.leader if leads else None,
        "term": scene.term,
        "quorum": _quorum(scene, leads),
        "nodes": [{key: n[key] for key in ("name", "state", "votes", "vms")} for n in nodes],
        "networks": list(networks),
        "groups": [{key: g[key] for key in ("name", "state", "owner", "epoch")} for g in groups],
        "volumes": [],
    }
    return Picture(
        status,
        nodes,
        networks,
        groups,
        tuple(_vm(scene, row) for _, row in sorted(scene.book.vms.items())),
        tuple(
            _attempt(scene, row, under_way.get(row.id))
            for _, row in sorted(scene.book.attempts.items())
        ),
        _available(scene),
        _view(scene),
        leads,
        "" if leads else waiting_for(phase, scene),
    )


def _quorum(scene: Scene, leads: bool) -> Data:
    configs = vote_configs(scene)
    if not configs:
        return {"mode": None, "votes": 0, "present": 0, "needed": 0, "has_quorum": False}
    config = configs[-1]
    heard = {node for node in configured_heard(scene) if not leads or not scene.silent(node)}
    return {
        "mode": config.mode,
        "votes": sum(votes for _, votes in config.votes),
        "present": quorum.votes_of(config, heard),
        "needed": config.needed,
        "has_quorum": quorum.has_quorum(config, heard),
    }


def _nodes(scene: Scene) -> tuple[Data, ...]:
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
        "draining": row.draining,
        "paused": row.paused,
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


def _networks(scene: Scene) -> tuple[Data, ...]:
    return tuple(
        {
            "name": network.name,
            "state": network_state(scene, network.name).value,
            "role": network.role,
            "metric": network.metric,
            "subnet": network.subnet,
        }
        for network in scene.config.networks
    )


def _groups(scene: Scene) -> tuple[Data, ...]:
    return tuple(_group(scene, row) for _, row in sorted(scene.book.vms.items()))


def _group(scene: Scene, row: VmRow) -> Data:
    parts = resources(row.name, vm_state(scene, row))
    return {
        "name": row.name,
        "state": group_state([part.state for part in parts]).value,
        "owner": row.owner,
        "epoch": row.epoch,
        "resources": [part.data() for part in parts],
    }


def _vm(scene: Scene, row: VmRow) -> Data:
    owner = scene.agents.living(row.owner, row.owner_incarnation)
    report = None if owner is None else owner.vms.get(row.name)
    fresh = report is not None and report.epoch == row.epoch
    work = row.spec.workload
    return {
        "name": row.name,
        "state": vm_state(scene, row).value,
        "node": row.owner,
        "epoch": row.epoch,
        "memory_bytes": row.spec.memory_bytes,
        "workload": {
            "name": work.name,
            "rate_bytes_per_s": work.rate_bytes_per_s,
            "set_bytes": work.set_bytes,
        },
        "steps": 0 if report is None else report.steps,
        "dirty_bytes_per_s": 0.0 if report is None else report.dirty_bytes_per_s,
        "fill": row.spec.fill.value,
        "seed": row.spec.seed,
        "running": bool(report is not None and fresh and report.running),
        "holds": [] if report is None else [hold.name for hold in report.holds],
        "wish": "on" if row.on else "off",
        "attempt": row.attempt,
        "reason": row.failed or row.waiting,
    }


def _attempt(scene: Scene, row: AttemptRow, under_way: Conducted | None) -> Data:
    """The record, and for an attempt under way what was seen of it so far."""
    if under_way is None:
        return {**record_of(row), "state": "Closed" if row.closed else "Open"}
    record = record_of(under_way.seen.into(row))
    return {
        **record,
        "state": type(under_way.state).__name__,
        "step": under_way.step.value,
        "round": max((r["round"] for r in record["rounds"]), default=None),
        "pages_sent": under_way.pages_sent,
        "pages_total": under_way.pages_total,
        "since_s": max(0.0, scene.now - under_way.began_at),
    }


def _available(scene: Scene) -> tuple[Data, ...]:
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


def _view(scene: Scene) -> Data | None:
    row = scene.book.view
    if row is None:
        return None
    return {
        "number": row.view.number,
        "holds": row.holds,
        "held": None if row.held is None else row.held.number,
        "members": [member.node for member in row.view.members],
        "acknowledged": sorted(acked_by(scene, row.view)),
        "votes_index": row.view.votes.index,
    }
