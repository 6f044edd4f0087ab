"""What people and scripts see of the cluster: plain data, made anew each time it is asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from coordinator.groups.groups import (
    group_data,
    group_state,
    groups_data,
    reason,
    resources,
    vm_state,
)
from coordinator.leadership.leading import Phase, waiting_for
from coordinator.membership.properties import listed
from coordinator.membership.views import acked_by
from coordinator.migration import admission, queue
from coordinator.migration.conduct import Conducted
from coordinator.migration.records import record_of
from coordinator.networks.networks import migration_networks_data, networks_data
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown.picture_nodes import available_data, nodes_data
from coordinator.shown.picture_quorum import glance, quorum_data
from coordinator.shown.picture_storage import disks_data, storage_move, volumes_data
from coordinator.store.rows import AttemptRow, VmRow
from protocol.names import AttemptId, GroupState, ResourceState, VmName

Data = dict[str, Any]

GROUP_STATES = {
    state: group_state([part.state for part in resources(VmName("any"), state)])
    for state in ResourceState
}
"""The state of a group follows from that of its VM."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One moment. The fields' words are those of the contract for scripts."""

    status: Data
    nodes: tuple[Data, ...]
    networks: tuple[Data, ...]
    vms: tuple[Data, ...]
    attempts: tuple[Data, ...]
    available: tuple[Data, ...]
    """Connected nodes that belong to no cluster: what can be formed of, or joined."""

    view: Data | None
    leads: bool
    waiting: str
    """Why nothing is decided at this moment; empty when it is."""

    quorum: Data
    """Every voter, and what may fail yet."""

    properties: tuple[Data, ...]
    migration: Data
    """Which networks live migration uses, the first to try first."""

    in_full: Callable[[str | None], tuple[Data, ...]]
    """Makes all that there is of one group, or of all of them. Most who look do not ask for it;
    whoever does so before anything else happens sees the same moment.
    """

    disks: tuple[Data, ...] = ()
    """Clustered ones, and those that all members see and could be clustered."""

    volumes: tuple[Data, ...] = ()

    @property
    def groups(self) -> tuple[Data, ...]:
        return self.in_full(None)

    def group(self, name: str) -> Data | None:
        return next(iter(self.in_full(name)), None)

    @property
    def resources(self) -> tuple[Data, ...]:
        return tuple(part for group in self.groups for part in group["resources"])

    def resource(self, name: str) -> Data | None:
        """A resource's name ends with that of its group, which has no blanks."""
        parts = (part for group in self.in_full(name.split(" ")[-1]) for part in group["resources"])
        return next((part for part in parts if part["name"] == name), None)


def picture_of(scene: Scene, phase: Phase, under_way: Mapping[AttemptId, Conducted]) -> Picture:
    leads = phase is Phase.LEADING
    rows = [row for _, row in sorted(scene.book.vms.items())]
    nodes, groups = nodes_data(scene), [_glance(scene, row) for row in rows]
    networks, votes = networks_data(scene), quorum_data(scene, leads)
    volumes = volumes_data(scene)
    cluster = scene.book.cluster
    status = {
        "cluster": None if cluster is None else cluster.name,
        "cluster_id": None if cluster is None else cluster.id,
        "leader": scene.config.leader if leads else None,
        "term": scene.term,
        "quorum": glance(votes),
        "nodes": [{key: n[key] for key in ("name", "state", "votes", "vms")} for n in nodes],
        "networks": [
            {key: n[key] for key in ("name", "state", "role", "metric", "subnet")} for n in networks
        ],
        "groups": [{key: g[key] for key in ("name", "state", "owner", "epoch")} for g in groups],
        "volumes": [{key: v[key] for key in ("name", "state", "owner", "path")} for v in volumes],
        "leader_api": None,
        "followers": [],
        "waits": [
            {"group": g["name"], "reason": g["reason"]}
            for g in groups
            if g["reason"] and g["state"] != GroupState.FAILED.value
        ],
    }
    return Picture(
        status,
        nodes,
        networks,
        tuple(_vm(scene, row) for row in rows),
        _attempts(scene, under_way),
        available_data(scene),
        _view(scene),
        leads,
        "" if leads else waiting_for(phase, scene),
        votes,
        listed(scene.book),
        migration_networks_data(scene),
        partial(_in_full, scene),
        disks_data(scene),
        volumes,
    )


def _in_full(scene: Scene, only: str | None) -> tuple[Data, ...]:
    if only is None:
        return tuple(groups_data(scene))
    row = scene.book.vms.get(VmName(only))
    return () if row is None else (group_data(scene, row),)


def _glance(scene: Scene, row: VmRow) -> Data:
    """What of a group stands in the status, and why it waits."""
    return {
        "name": row.name,
        "state": GROUP_STATES[vm_state(scene, row)].value,
        "owner": row.owner,
        "epoch": row.epoch,
        "reason": reason(row, scene.book.group(row.name)),
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
        "disks": [
            {"volume": disk.volume, "path": disk.path, "size_bytes": disk.size_bytes}
            for disk in row.spec.disks
        ],
        "home": row.spec.home,
        "shared_storage": bool(row.spec.home),
        "fill": row.spec.fill.value,
        "seed": row.spec.seed,
        "running": bool(report is not None and fresh and report.running),
        "holds": [] if report is None else [hold.name for hold in report.holds],
        "wish": "on" if row.on else "off",
        "attempt": row.attempt,
        "reason": row.failed or row.waiting,
        "storage_move": storage_move(scene, row),
    }


def _attempts(scene: Scene, under_way: Mapping[AttemptId, Conducted]) -> tuple[Data, ...]:
    """By their numbers, also those that wait for their turn."""
    rows = scene.book.attempts.items()
    found = {number: _attempt(scene, row, under_way.get(number)) for number, row in rows}
    for number, waits in scene.book.queued.items():
        checked = admission.migration_target(scene, waits.vm, waits.target)
        why = checked.sentence if isinstance(checked, Declined) else queue.AFTER_OTHERS
        row = queue.as_attempt(scene, waits, why)
        found[number] = {**record_of(row), "state": "Queued"}
    return tuple(data for _, data in sorted(found.items()))


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
