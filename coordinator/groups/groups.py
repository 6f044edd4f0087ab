"""A VM as the cluster shows it: a group with its resources, of which some depend on others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.groups.restarting import failover_limit
from coordinator.groups.stops import CONFIGURATION, KINDS, MACHINE
from coordinator.scene import Scene
from coordinator.storage import disks, vm_disks
from coordinator.store.disk_rows import DiskState
from coordinator.store.group_rows import GroupRow, ResourceRow
from coordinator.store.rows import VmRow
from protocol.names import GroupState, ResourceState, VmName

PROVIDERS = {CONFIGURATION: (), MACHINE: (CONFIGURATION,)}
"""What each part of a group needs online before it; the disks of the group come before both."""

DISK_STATES = {
    DiskState.OFFLINE: ResourceState.OFFLINE,
    DiskState.PENDING: ResourceState.ONLINE_PENDING,
    DiskState.ONLINE: ResourceState.ONLINE,
    DiskState.RELEASING: ResourceState.OFFLINE_PENDING,
}


@dataclass(frozen=True, slots=True)
class Resource:
    name: str
    kind: str
    state: ResourceState
    depends_on: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.kind,
            "state": self.state.value,
            "depends_on": list(self.depends_on),
        }


def vm_state(scene: Scene, vm: VmRow) -> ResourceState:
    """The state of the VM's own resource, from its row and its owner's newest report."""
    if vm.failed:
        return ResourceState.FAILED
    if not vm.on:
        return ResourceState.OFFLINE_PENDING if vm.live else ResourceState.OFFLINE
    if not vm.live:
        return ResourceState.OFFLINE if vm.waiting else ResourceState.ONLINE_PENDING
    group = scene.book.groups.get(vm.name)
    if group is not None and group.move_to is not None:
        return ResourceState.OFFLINE_PENDING
    owner = scene.agents.living(vm.owner, vm.owner_incarnation)
    if owner is None:
        # Nobody can be asked: the owner's guests run as long as its lease, and stop by themselves.
        return ResourceState.ONLINE
    attempt = None if vm.attempt is None else scene.book.attempts.get(vm.attempt)
    if attempt is not None and attempt.target_incarnation == vm.owner_incarnation:
        return ResourceState.ONLINE  # it has just come here and need not start
    return (
        ResourceState.ONLINE if owner.online_at(vm.name, vm.epoch) else ResourceState.ONLINE_PENDING
    )


def online_order(providers: dict[str, tuple[str, ...]] = PROVIDERS) -> list[str]:
    """Each part after all that it needs; among the ready ones by name. Offline is the reverse."""
    done: list[str] = []
    left = dict(providers)
    while left:
        ready = sorted(name for name, needs in left.items() if set(needs) <= set(done))
        if not ready:
            names = ", ".join(sorted(left))
            raise ValueError(f"these resources depend on one another in a circle: {names}")
        done += ready
        for name in ready:
            del left[name]
    return done


ORDER = online_order()


def resources(vm: VmName, state: ResourceState) -> tuple[Resource, ...]:
    """In their online order. A configuration is registered whenever its VM is not off."""
    states = {
        MACHINE: state,
        CONFIGURATION: ResourceState.OFFLINE
        if state is ResourceState.OFFLINE
        else ResourceState.ONLINE,
    }
    return tuple(
        Resource(
            f"{KINDS[part]} {vm}",
            KINDS[part],
            states[part],
            tuple(f"{KINDS[needed]} {vm}" for needed in PROVIDERS[part]),
        )
        for part in ORDER
    )


def disk_resources(scene: Scene, row: VmRow) -> list[dict[str, Any]]:
    """The Physical Disks of the group: they come online first."""
    return [
        {
            **Resource(disk.name, "Physical Disk", DISK_STATES[disk.state]).data(),
            "group": row.name,
            "owner": disk.owner or row.owner,
            "settings": {},
            "possible_owners": sorted(node for _, _, node in disks.candidates(scene, disk)),
            "restarts": 0,
            "reason": disk.reason,
        }
        for disk in vm_disks.rows_of(scene, row.spec)
    ]


def group_state(states: Sequence[ResourceState]) -> GroupState:
    """Failed if any failed; else pending, if any is; a group without resources is offline."""
    if ResourceState.FAILED in states:
        return GroupState.FAILED
    if {ResourceState.ONLINE_PENDING, ResourceState.OFFLINE_PENDING} & set(states):
        return GroupState.PENDING
    online = states.count(ResourceState.ONLINE)
    if online == 0:
        return GroupState.OFFLINE
    return GroupState.ONLINE if online == len(states) else GroupState.PARTIAL_ONLINE


# ---- what is shown


def group_data(scene: Scene, row: VmRow) -> dict[str, Any]:
    """All of a group: its state, its settings with their defaults, and how often it failed."""
    group = scene.book.group(row.name)
    parts = resource_data(scene, row)
    state = group_state([ResourceState(part["state"]) for part in parts])
    return {
        "name": row.name,
        "state": state.value,
        "owner": row.owner,
        "epoch": row.epoch,
        "resources": list(parts),
        "settings": {**group.shown(), "PersistentState": persistent_state(row, group)},
        "preferred_owners": list(group.preferred),
        "reason": reason(row, group),
        "moving_to": group.move_to,
        "failovers": group.failovers,
        "failover_limit": failover_limit(group, len(scene.book.nodes)),
        "retry_at": group.retry_at if row.failed else None,
    }


def resource_data(scene: Scene, row: VmRow) -> tuple[dict[str, Any], ...]:
    group, nodes = scene.book.group(row.name), sorted(scene.book.nodes)
    found = disk_resources(scene, row)
    providers = [part["name"] for part in found]
    for part, shown in zip(ORDER, resources(row.name, vm_state(scene, row)), strict=True):
        kept: ResourceRow = getattr(group, part)
        found.append(
            {
                **shown.data(),
                "depends_on": [*(providers if part == CONFIGURATION else ()), *shown.depends_on],
                "group": row.name,
                "owner": row.owner,
                "settings": kept.shown(),
                "possible_owners": list(kept.names("PossibleOwners")) or nodes,
                "restarts": kept.restarts,
                "reason": reason(row, group) if part == MACHINE else "",
            }
        )
    return tuple(found)


def groups_data(scene: Scene) -> Iterable[dict[str, Any]]:
    return [group_data(scene, row) for _, row in sorted(scene.book.vms.items())]


def persistent_state(row: VmRow, group: GroupRow) -> int:
    """1 for a group that comes back after a cold start: it is meant to be on, and nobody forbade
    it.
    """
    return int(row.on and bool(group.number("PersistentState")))


def reason(row: VmRow, group: GroupRow) -> str:
    if row.failed or row.waiting:
        return row.failed or row.waiting
    if group.move_to is not None:
        return f"it stops here and starts cold on node {group.move_to}"
    return ""
