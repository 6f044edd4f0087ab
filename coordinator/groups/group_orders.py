"""What operators ask of groups and resources: settings, a move, a failure on purpose."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from coordinator.events import RequestId
from coordinator.groups.group_properties import GROUP, RESOURCE, Value, checked, nearest
from coordinator.groups.ownership import cleaning_up
from coordinator.groups.placement import best_node, fitting
from coordinator.groups.stops import CONFIGURATION, KINDS, MACHINE
from coordinator.migration import admission
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.storage import needs
from coordinator.store.group_rows import GroupRow, ResourceRow, Settings, group_key
from coordinator.store.rows import VIEW, VmRow, vm_key
from protocol.names import NodeName, VmName


def unknown_group(scene: Scene, group: VmName) -> Declined:
    sentence = f"There is no group {group!r}.{nearest(group, scene.book.vms)}"
    return Declined(404, "unknown-group", sentence)


def unknown_resource(scene: Scene, name: str) -> Declined:
    names = [f"{kind} {vm}" for vm in scene.book.vms for kind in KINDS.values()]
    return Declined(
        404, "unknown-resource", f"There is no resource {name!r}.{nearest(name, names)}"
    )


def resource_named(scene: Scene, name: str) -> tuple[VmRow, str] | None:
    """The VM and the part of its group that `name` stands for, whatever its case."""
    for part in (CONFIGURATION, MACHINE):
        prefix = f"{KINDS[part]} "
        if not name.lower().startswith(prefix.lower()):
            continue
        wanted = name[len(prefix) :]
        if (exact := scene.book.vms.get(VmName(wanted))) is not None:
            return exact, part
        for vm in scene.book.vms.values():
            if vm.name.lower() == wanted.lower():
                return vm, part
    return None


def hashable(settings: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    """Lists as tuples: a plan is compared with those that wait already."""
    return tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in settings)


def with_settings(known: Settings, more: Mapping[str, Value]) -> Settings:
    return tuple(sorted({**dict(known), **more}.items()))


def _words(settings: Mapping[str, Value]) -> str:
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()}
    return ", ".join(f"{name} = {value}" for name, value in plain.items())


@dataclass(frozen=True, slots=True)
class ConfigureGroup:
    """(Get-ClusterGroup X).Setting = value, all of them or none."""

    request: RequestId
    group: VmName
    settings: tuple[tuple[str, Any], ...]

    def draft(self, scene: Scene) -> Draft | Declined:
        vm = scene.book.vms.get(self.group)
        if vm is None:
            return unknown_group(scene, self.group)
        found = checked(GROUP, self.settings, scene.book.nodes, f"Group {vm.name}")
        if isinstance(found, Declined):
            return found
        if found.get("PersistentState") == 1 and not vm.on:
            sentence = f"Group {vm.name} is off: start it, and its PersistentState is 1."
            return Declined(409, "group-off", sentence)
        row = scene.book.group(vm.name)
        changed = replace(row, settings=with_settings(row.settings, found))
        if "PreferredOwners" in found and scene.held is not None:
            # Owners that are here already call nothing back; they do when they come again.
            lives = (scene.held.incarnation_of(node) for node in changed.preferred)
            changed = replace(changed, passed=tuple(life for life in lives if life is not None))
        return Draft(
            relies=(vm_key(vm.name),),
            puts=((group_key(vm.name), changed.data()),),
            notes=(chronicle.group_configured(vm.name, f"Group {vm.name}", _words(found)),),
        )

    def answer(self, scene: Scene) -> dict[str, Any]:
        return {"group": self.group, "settings": scene.book.group(self.group).shown()}


@dataclass(frozen=True, slots=True)
class ConfigureResource:
    """(Get-ClusterResource X).Setting = value, all of them or none."""

    request: RequestId
    resource: str
    settings: tuple[tuple[str, Any], ...]

    def draft(self, scene: Scene) -> Draft | Declined:
        named = resource_named(scene, self.resource)
        if named is None:
            return unknown_resource(scene, self.resource)
        vm, part = named
        name = f"{KINDS[part]} {vm.name}"
        found = checked(RESOURCE, self.settings, scene.book.nodes, f"Resource {name}")
        if isinstance(found, Declined):
            return found
        row = scene.book.group(vm.name)
        resource: ResourceRow = getattr(row, part)
        resource = replace(resource, settings=with_settings(resource.settings, found))
        period, retry = (resource.number(n) for n in ("RestartPeriod", "RetryPeriodOnFailure"))
        if retry < period:
            sentence = (
                f"RetryPeriodOnFailure, {retry} ms, must be at least RestartPeriod, {period} ms."
            )
            return Declined(422, "out-of-range", sentence)
        changed = with_part(row, part, resource)
        return Draft(
            relies=(vm_key(vm.name),),
            puts=((group_key(vm.name), changed.data()),),
            notes=(chronicle.group_configured(vm.name, f"Resource {name}", _words(found)),),
        )

    def answer(self, scene: Scene) -> dict[str, Any]:
        named = resource_named(scene, self.resource)
        if named is None:
            return {"resource": self.resource}
        vm, part = named
        resource: ResourceRow = getattr(scene.book.group(vm.name), part)
        return {"resource": f"{KINDS[part]} {vm.name}", "settings": resource.shown()}


def with_part(row: GroupRow, part: str, resource: ResourceRow) -> GroupRow:
    if part == CONFIGURATION:
        return replace(row, configuration=resource)
    return replace(row, machine=resource)


@dataclass(frozen=True, slots=True)
class Relocate:
    """Move-ClusterGroup: offline here, online there. What runs is stopped and starts cold."""

    request: RequestId
    group: VmName
    node: NodeName | None

    def draft(self, scene: Scene) -> Draft | Declined:
        vm = scene.book.vms.get(self.group)
        if vm is None:
            return unknown_group(scene, self.group)
        if refusal := admission.check_at_rest(vm):
            return refusal
        node = self._target(scene, vm)
        if isinstance(node, Declined):
            return node
        group = scene.book.group(vm.name)
        if vm.live:
            how = "it is stopped here and starts cold there; to keep it running, live migrate it"
            row, group = vm, replace(group, move_to=node if vm.on else None)
        else:
            how = "it was not running"
            row = replace(vm, owner=node, waiting="")
        note = chronicle.group_moved(vm.name, vm.owner, node, how)
        return Draft(
            relies=(VIEW,),
            puts=((vm_key(vm.name), row.data()), (group_key(vm.name), group.data())),
            notes=(note,),
        )

    def _target(self, scene: Scene, vm: VmRow) -> NodeName | Declined:
        group, size = scene.book.group(vm.name), vm.spec.memory_bytes
        if vm.live and not vm.on:
            sentence = f"Group {vm.name} is going offline: wait until it is, then move it."
            return Declined(409, "vm-pending", sentence)
        if self.node != vm.owner and (refusal := needs.check_may_leave(scene, vm)):
            return refusal
        avoid = cleaning_up(scene, vm.name) | {vm.owner}
        if self.node is None:
            return best_node(scene, size, avoid, None, group) or admission.no_room(scene, size)
        if self.node not in scene.book.nodes:
            sentence = f"The cluster has no node {self.node!r}."
            hint = nearest(self.node, scene.book.nodes)
            return Declined(404, "unknown-node", sentence + hint)
        if self.node == vm.owner:
            sentence = f"Group {vm.name} is on node {vm.owner} already: choose another node."
            return Declined(409, "same-node", sentence)
        if refusal := admission.check_receiving(scene, self.node):
            return refusal
        if not group.may_be_on(self.node):
            sentence = f"Node {self.node} is no possible owner of the resources of {vm.name}."
            return Declined(409, "not-possible-owner", sentence)
        if self.node not in fitting(scene, size, replace(group, settings=()), avoid):
            return admission.too_little(scene, self.node, size)
        return self.node

    def answer(self, scene: Scene) -> dict[str, Any]:
        vm, group = scene.book.vms[self.group], scene.book.group(self.group)
        how = "cold" if vm.live else "at rest"
        return {"group": vm.name, "from": vm.owner, "node": group.move_to or vm.owner, "how": how}


@dataclass(frozen=True, slots=True)
class FailOnPurpose:
    """Test-ClusterResourceFailure: the owner is told to end the VM, and the policy applies."""

    request: RequestId
    resource: str

    def draft(self, scene: Scene) -> Draft | Declined:
        named = resource_named(scene, self.resource)
        if named is None:
            return unknown_resource(scene, self.resource)
        vm, _ = named
        if not (vm.on and vm.live):
            sentence = f"Resource {self.resource} is not online: start group {vm.name} first."
            return Declined(409, "vm-off", sentence)
        if refusal := admission.check_at_rest(vm):
            return refusal
        if scene.agents.living(vm.owner, vm.owner_incarnation) is None:
            sentence = f"Node {vm.owner}, where {vm.name} is, is not connected: wait until it is."
            return Declined(409, "node-unreachable", sentence)
        return Draft(relies=(vm_key(vm.name),))

    def answer(self, scene: Scene) -> dict[str, Any]:
        named = resource_named(scene, self.resource)
        node = None if named is None else named[0].owner
        return {"resource": self.resource, "node": node}
