"""Disks and shared volumes as people see them."""

from typing import Any

from coordinator.scene import Scene
from coordinator.storage import disks, fences, removals
from coordinator.storage.csv_settings import volumes_root
from coordinator.store.disk_rows import DiskRow, DiskState
from coordinator.store.rows import VmRow
from coordinator.votes.arbitration import holders
from protocol.disks import DiskRole, DiskStatus, VolumeAccess, VolumeMode
from protocol.names import Decision, NodeName

Data = dict[str, Any]


def disks_data(scene: Scene) -> tuple[Data, ...]:
    """Those of the cluster by number, then those that could be added."""
    clustered = [_disk(scene, row) for row in disks.ordered(scene)]
    more = [_available(scene, status) for status in disks.available(scene).values()]
    return (*clustered, *more)


def _disk(scene: Scene, row: DiskRow) -> Data:
    holder = _holder(scene, row)
    return {
        "name": row.name,
        "id": row.id,
        "clustered": True,
        "state": row.state.value if holder is None else DiskState.ONLINE.value,
        "role": row.role.value,
        "owner": row.owner if row.is_served else holder,
        "epoch": row.epoch,
        "size_bytes": row.size_bytes,
        "volume": row.volume,
        "maintenance": row.maintenance,
        "content": _content(list(disks.seen_by(scene, row.id).values())),
        "paths": _paths(scene, row.id),
        "registered": sorted(r.incarnation for r in row.registrants),
        "to_be_fenced": sorted(life.incarnation for life in fences.departed(scene, row)),
        "moving_to": row.move_to,
        "reason": row.reason,
    }


def _holder(scene: Scene, row: DiskRow) -> NodeName | None:
    """Who holds the disk as the witness: nobody owns it otherwise."""
    if row.role is not DiskRole.WITNESS or scene.held is None:
        return None
    return min(holders(scene, scene.held.votes), default=None)


def _available(scene: Scene, status: DiskStatus) -> Data:
    return {
        "name": "",
        "id": status.disk,
        "clustered": False,
        "state": "Available",
        "role": "",
        "owner": None,
        "epoch": 0,
        "size_bytes": status.size_bytes,
        "volume": "",
        "maintenance": False,
        "content": _content([status]),
        "paths": _paths(scene, status.disk),
        "registered": [],
        "to_be_fenced": [],
        "moving_to": None,
        "reason": "",
    }


def _content(found: list[DiskStatus]) -> str:
    return found[0].content.name.lower() if found else "unknown"


def _paths(scene: Scene, disk: Any) -> list[Data]:
    return [
        {"node": node, "up": status.paths_up, "of": status.paths, "registered": bool(status.key)}
        for node, status in sorted(disks.seen_by(scene, disk).items())
    ]


def volumes_data(scene: Scene) -> tuple[Data, ...]:
    return tuple(_volume(scene, row) for row in disks.ordered(scene) if disks.is_csv(row))


def volume_state(scene: Scene, row: DiskRow) -> str:
    """One of the four states of the field."""
    mode = disks.mode_of(scene, row)
    if mode in (VolumeMode.DIRECT, VolumeMode.REDIRECTED) and row.state is DiskState.PENDING:
        return VolumeMode.OFFLINE.value
    return mode.value


def _volume(scene: Scene, row: DiskRow) -> Data:
    owner = scene.agents.living(row.owner, row.owner_incarnation)
    at_owner = disks.access_of(owner, row.id)
    nodes = []
    for agent in disks.members(scene):
        access = disks.access_of(agent, row.id)
        current = access is not None and access.epoch == row.epoch
        nodes.append(
            {
                "node": agent.node,
                "access": access.access.value if access and current else _not_yet(row),
                "reason": access.reason if access and current else "",
            }
        )
    return {
        "name": row.volume,
        "state": volume_state(scene, row),
        "owner": row.owner if row.is_served else None,
        "path": f"{volumes_root(scene.book.cluster)}/{row.volume}",
        "disk": row.name,
        "disk_id": row.id,
        "epoch": row.epoch,
        "size_bytes": at_owner.size_bytes if at_owner else row.size_bytes,
        "free_bytes": at_owner.free_bytes if at_owner else None,
        "redirected": row.redirected,
        "maintenance": row.maintenance,
        "vms": list(disks.users_of(scene, row.volume)),
        "being_removed": [gone.name for gone in removals.left_on(scene, row.id)],
        "nodes": nodes,
        "moving_to": row.move_to,
        "reason": row.reason,
    }


def _not_yet(row: DiskRow) -> str:
    access = VolumeAccess.QUEUED if row.is_served else VolumeAccess.OFFLINE
    return str(access.value)


def storage_move(scene: Scene, vm: VmRow) -> Data | None:
    """The newest move of a VM's files, under way or over."""
    move = vm.move
    if move is None:
        return None
    number, copied, total = scene.copied.get(vm.name, (0, 0, 0))
    if number != move.number:
        copied, total = 0, sum(disk.size_bytes for disk in move.spec.disks)
    words = {Decision.OPEN: "Copying", Decision.COMMITTED: "Switched", Decision.ABORTED: "Aborted"}
    until = scene.wall if move.decided_at is None else move.decided_at
    return {
        "move": move.number,
        "to": move.volume,
        "state": "Closed" if move.is_closed else words[move.decision],
        "outcome": None if move.outcome is None else move.outcome.value,
        "reason": move.reason,
        "copied_bytes": copied,
        "total_bytes": total,
        "seconds": max(0.0, until - move.asked_at),
    }
