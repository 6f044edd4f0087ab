"""What operators wish of VMs: create, delete, start, stop. Each is one transaction or a refusal."""

from dataclasses import dataclass, replace

from coordinator.events import RequestId
from coordinator.groups.ownership import (
    cleaning_up,
    given,
    group_puts,
    place_for,
    seated,
    without_place,
)
from coordinator.groups.placement import free_bytes
from coordinator.groups.restarting import fresh
from coordinator.migration import admission
from coordinator.pen import Draft
from coordinator.requests import CreateVm, Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle, chronicle_storage
from coordinator.storage import needs, removals, vm_disk_plans, vm_files
from coordinator.storage.volume_choice import proposed
from coordinator.store.disk_rows import disk_key
from coordinator.store.group_rows import GroupRow, group_key
from coordinator.store.rows import VIEW, DeletedRow, VmRow, deleted_key, node_key, vm_key
from protocol.names import Epoch, VmName


def no_cluster() -> Declined:
    sentence = "There is no cluster yet: form one first."
    return Declined(409, "no-cluster", sentence)


def wished(group: GroupRow) -> GroupRow:
    """A start or a stop sets PersistentState by itself; what was set before is over."""
    kept = tuple(pair for pair in group.settings if pair[0] != "PersistentState")
    return replace(group, settings=kept)


def _group_keys(scene: Scene, vm: VmName) -> tuple[str, ...]:
    return (group_key(vm),) if vm in scene.book.groups else ()


@dataclass(frozen=True, slots=True)
class Create:
    """A VM with its group and two resources, started at once if asked for."""

    request: RequestId
    body: CreateVm

    def draft(self, scene: Scene) -> Draft | Declined:
        body = self.body
        if scene.book.cluster is None:
            return no_cluster()
        if refusal := admission.check_vm_name(body.vm):
            return refusal
        if body.vm in scene.book.vms:
            sentence = f"A VM {body.vm!r} exists already: choose another name."
            return Declined(409, "vm-exists", sentence)
        if refusal := admission.check_spec(scene, body.spec) or vm_files.check_place(body):
            return refusal
        if body.disk:
            return self._on_disk(scene)
        spec = body.spec if body.local else proposed(scene, body.spec)
        if isinstance(spec, Declined):
            return spec
        body = replace(body, spec=spec)
        node = admission.node_for_new_vm(scene, body)
        if isinstance(node, Declined):
            return node
        earlier = scene.book.deleted.get(body.vm)
        if earlier is not None and (refusal := removals.check_gone(scene, earlier)):
            return refusal
        # Nodes refuse epochs that they have seen, also those of a VM that had the name before.
        epoch = Epoch(0) if earlier is None else earlier.epoch
        row = VmRow(body.vm, body.spec, owner=node, epoch=epoch)
        notes = [chronicle.group_created(body.vm, node)]
        if body.start:
            row = given(scene, row, node)
            notes.append(chronicle.group_coming_online(body.vm, node, row.epoch))
        return Draft(
            relies=(VIEW, node_key(node), *needs.keys_for(scene, row.spec)),
            puts=((vm_key(body.vm), row.data()),),
            deletes=() if earlier is None else (deleted_key(body.vm),),
            notes=tuple(notes),
        )

    def _on_disk(self, scene: Scene) -> Draft | Declined:
        """With a disk from Available Storage. The VM starts once that is online on its node."""
        body = self.body
        disk = vm_disk_plans.wanted_disk(scene, body)
        if isinstance(disk, Declined):
            return disk
        node = vm_disk_plans.node_for(scene, body, disk)
        if isinstance(node, Declined):
            return node
        earlier = scene.book.deleted.get(body.vm)
        if earlier is not None and (refusal := removals.check_gone(scene, earlier)):
            return refusal
        epoch = Epoch(0) if earlier is None else earlier.epoch
        spec = vm_disk_plans.on_disk(body.spec, disk)
        row = VmRow(body.vm, spec, owner=node, epoch=epoch, on=body.start)
        taken = vm_disk_plans.in_group(scene, disk, node)
        group = replace(scene.book.group(body.vm), move_to=node if body.start else None)
        notes = (
            chronicle.group_created(body.vm, node),
            chronicle_storage.disk_joined_group(disk.name, body.vm),
        )
        return Draft(
            relies=(VIEW, node_key(node)),
            puts=(
                (vm_key(body.vm), row.data()),
                (disk_key(disk.id), taken.data()),
                *group_puts(scene, group),
            ),
            deletes=() if earlier is None else (deleted_key(body.vm),),
            notes=notes,
        )


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a VM that is off, with its group. Its files go afterwards, wherever it has some."""

    request: RequestId
    vm: VmName

    def draft(self, scene: Scene) -> Draft | Declined:
        vm = scene.book.vms.get(self.vm)
        if vm is None:
            return admission.unknown_vm(self.vm)
        if (vm.on and not vm.failed) or vm.live:
            sentence = f"VM {vm.name} is not off: stop it and wait until it is Offline."
            return Declined(409, "vm-on", sentence)
        if refusal := admission.check_at_rest(vm):
            return refusal
        note = chronicle.group_deleted(vm.name, vm.owner)
        left = DeletedRow(vm.name, vm.epoch, removals.disks_of(scene, vm.spec))
        return Draft(
            puts=((deleted_key(vm.name), left.data()),),
            deletes=(vm_key(vm.name), *_group_keys(scene, vm.name)),
            notes=(note,),
        )


@dataclass(frozen=True, slots=True)
class TurnOn:
    """The VM shall run: on the node that has it if that can be, else where placement says."""

    request: RequestId
    vm: VmName

    def draft(self, scene: Scene) -> Draft | Declined:
        vm = scene.book.vms.get(self.vm)
        if vm is None:
            return admission.unknown_vm(self.vm)
        if vm.on and not vm.failed:
            sentence = f"VM {vm.name} is on already."
            return Declined(409, "vm-on", sentence)
        wanted = replace(vm, on=True, failed="", waiting="")
        group = wished(fresh(scene.book.group(vm.name)))
        if vm.live:
            # It is still being stopped: it starts anew once it has.
            return Draft(puts=((vm_key(vm.name), wanted.data()), *group_puts(scene, group)))
        busy = vm.owner in cleaning_up(scene, vm.name)
        stays = not busy and admission.check_receiving(scene, vm.owner) is None
        roomy = stays and free_bytes(scene, vm.owner) >= 0 and group.may_be_on(vm.owner)
        roomy = roomy and needs.may_run(scene, vm.owner, vm.spec)
        node = vm.owner if roomy else place_for(scene, wanted)
        if node is None:
            sentence = (
                f"VM {vm.name} cannot start: {without_place(scene, vm)}: make room or add a node."
            )
            stored = vm.spec.volumes and (
                needs.why_waits(scene, vm.spec)
                or not any(needs.is_reached(scene, n, vm.spec) for n in scene.book.nodes)
            )
            return Declined(409, "volume-offline" if stored else "no-memory", sentence)
        row = given(scene, wanted, node)
        note = chronicle.group_coming_online(vm.name, node, row.epoch)
        puts = ((vm_key(vm.name), row.data()), *group_puts(scene, seated(scene, group)))
        relied = (VIEW, *needs.keys_for(scene, vm.spec))
        return Draft(relies=relied, puts=puts, notes=(note,))


@dataclass(frozen=True, slots=True)
class TurnOff:
    """The VM shall not run; its owner is told until it says that it has stopped."""

    request: RequestId
    vm: VmName

    def draft(self, scene: Scene) -> Draft | Declined:
        vm = scene.book.vms.get(self.vm)
        if vm is None:
            return admission.unknown_vm(self.vm)
        if not vm.on:
            sentence = f"VM {vm.name} is off already, or about to be."
            return Declined(409, "vm-off", sentence)
        if refusal := admission.check_at_rest(vm):
            return refusal
        row = replace(vm, on=False, failed="", waiting="")
        note = chronicle.group_going_offline(vm.name, vm.owner, vm.epoch)
        group = replace(wished(scene.book.group(vm.name)), move_to=None, retry_at=None)
        return Draft(puts=((vm_key(vm.name), row.data()), *group_puts(scene, group)), notes=(note,))
