"""A VM as the cluster shows it: a group with two resources, of which one depends on the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.rows import VmRow
from coordinator.scene import Scene
from protocol.names import GroupState, ResourceState, VmName


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


def resources(vm: VmName, state: ResourceState) -> tuple[Resource, Resource]:
    """The configuration is registered whenever its VM is anything else than off."""
    configuration = Resource(
        f"Virtual Machine Configuration {vm}",
        "Virtual Machine Configuration",
        ResourceState.OFFLINE if state is ResourceState.OFFLINE else ResourceState.ONLINE,
    )
    return configuration, Resource(
        f"Virtual Machine {vm}", "Virtual Machine", state, (configuration.name,)
    )


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
