"""Disks and shared volumes as people see them."""

from typing import Any

from coordinator.scene import Scene
from coordinator.storage import disks, fences, removals
from coordinator.storage.csv_settings import volumes_root
from coordinator.store.disk_rows import DiskRow, DiskState
from protocol.disks import DiskStatus, VolumeAccess, VolumeMode

Data = dict[str, Any]


def disks_data(scene: Scene) -> tuple[Data, ...]:
    """Those of the cluster by number, then those that could be added."""
    clustered = [_disk(scene, row) for row in disks.ordered(scene)]
    more = [_available(scene, status) for status in disks.available(scene).values()]
    return (*clustered, *more)


def _disk(scene: Scene, row: DiskRow) -> Data:
    return {
        "name": row.name,
        "id": row.id,
        "clustered": True,
        "state": row.state.value,
        "role": row.role.value,
        "owner": row.owner if row.is_served else None,
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
