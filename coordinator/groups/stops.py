"""What is written when a VM has stopped: it was asked for, it is to move, or it has failed."""

from dataclasses import dataclass, replace

from coordinator.groups.ownership import (
    Puts,
    cleaning_up,
    given,
    group_puts,
    released,
    seated,
)
from coordinator.groups.placement import next_node
from coordinator.groups.restarting import Remedy, forgiven, judge
from coordinator.pen import Draft
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.shown.chronicle import Note
from coordinator.storage import needs
from coordinator.store.group_rows import GroupRow
from coordinator.store.rows import VIEW, VmRow, vm_key
from protocol.names import Epoch, Incarnation, VmName

MACHINE, CONFIGURATION = "machine", "configuration"
"""The two resources of a group, as its row names them."""

KINDS = {
    MACHINE: "Virtual Machine",
    CONFIGURATION: "Virtual Machine Configuration",
}


@dataclass(frozen=True, slots=True)
class TakeStopped:
    """The owner's life has said that, under this epoch, the VM never runs there again.

    A `reason` makes it a failure, of the resource `part`.
    """

    vm: VmName
    incarnation: Incarnation
    epoch: Epoch
    reason: str
    part: str = MACHINE

    def draft(self, scene: Scene) -> Draft | None:
        vm = scene.book.vms.get(self.vm)
        if vm is None or not vm.live or vm.owner_incarnation != self.incarnation:
            return None
        if self.epoch < vm.epoch:
            # An answer to a stop that was ordered before this start: the VM may run there now.
            return None
        row, puts, notes = released(scene, vm, "the VM stopped on the source")
        group = scene.book.group(vm.name)
        if vm.on and self.reason and group.move_to is None:
            row, more_puts, more_notes = self._failed(scene, row, group)
        else:
            # With a wish to run it is on the move, or its node gives its groups away, or it was
            # started anew before the stop was answered.
            more_puts = []
            more_notes = [chronicle.group_offline(vm.name, vm.owner, vm.epoch)]
        puts += more_puts
        notes += more_notes
        puts.append((vm_key(vm.name), row.data()))
        relied = (VIEW, *needs.keys_for(scene, vm.spec))
        return Draft(relies=relied, puts=tuple(puts), notes=tuple(notes))

    def _failed(self, scene: Scene, vm: VmRow, group: GroupRow) -> tuple[VmRow, Puts, list[Note]]:
        kind = KINDS[self.part]
        notes = [chronicle.resource_failed(vm.name, vm.owner, vm.epoch, self.reason, kind)]
        cleaning, size = cleaning_up(scene, vm.name), vm.spec.memory_bytes
        other = next_node(scene, size, group, vm.owner, cleaning)
        verdict = judge(group, self.part, other is not None, len(scene.book.nodes), scene.wall)
        match verdict.remedy:
            case Remedy.STAY_FAILED:
                notes.append(chronicle.group_failed(vm.name, vm.owner, verdict.why))
                return replace(vm, failed=self.reason), group_puts(scene, verdict.group), notes
            case Remedy.FAIL_OVER:
                assert other is not None
                notes.append(chronicle.group_failing_over(vm.name, vm.owner, other))
                # Given in a transaction of its own, once it is written that nobody has it.
                return vm, group_puts(scene, replace(verdict.group, move_to=other)), notes
            case Remedy.RESTART if vm.owner in cleaning or not _may_restart(scene, vm):
                return vm, group_puts(scene, verdict.group), notes
            case Remedy.RESTART:
                row = given(scene, vm, vm.owner)
                notes.append(chronicle.group_coming_online(vm.name, vm.owner, row.epoch))
                return row, group_puts(scene, seated(scene, verdict.group)), notes


def _may_restart(scene: Scene, vm: VmRow) -> bool:
    """In place: its node need not accept other groups (it may be paused), but must stay."""
    node, agent = scene.book.nodes.get(vm.owner), scene.agents.at(vm.owner)
    return (
        node is not None
        and not node.stopped
        and agent is not None
        and agent.welcomed
        and scene.may_own(vm.owner, agent.incarnation)
        and scene.book.group(vm.name).may_be_on(vm.owner)
        and needs.may_run(scene, vm.owner, vm.spec)
    )


@dataclass(frozen=True, slots=True)
class Retry:
    """RetryPeriodOnFailure is over: the group is tried again, wherever it can be."""

    vm: VmName

    def draft(self, scene: Scene) -> Draft | None:
        vm, group = scene.book.vms.get(self.vm), scene.book.group(self.vm)
        if vm is None or not vm.on or not vm.failed or vm.live:
            return None
        if group.retry_at is None or scene.wall < group.retry_at:
            return None
        row = replace(vm, failed="")
        return Draft(
            puts=((vm_key(vm.name), row.data()), *group_puts(scene, forgiven(group))),
            notes=(chronicle.group_retried(vm.name, vm.owner),),
        )


@dataclass(frozen=True, slots=True)
class Deadlocked:
    """DeadlockTimeout: the owner does not answer, and until it does nobody else may start the VM.

    Only its own word, or a view that holds without that life, takes the VM from it.
    """

    vm: VmName
    incarnation: Incarnation
    after_s: float

    def draft(self, scene: Scene) -> Draft | None:
        vm = scene.book.vms.get(self.vm)
        if vm is None or not vm.live or vm.owner_incarnation != self.incarnation:
            return None
        reason = (
            f"node {vm.owner} has not acknowledged its stop for {self.after_s:g} s; it cannot be"
            f" started elsewhere before it has, or before node {vm.owner} is out of the membership"
        )
        if vm.waiting == reason:
            return None
        row = replace(vm, waiting=reason)
        notes = chronicle.resource_deadlocked(vm.name, vm.owner, vm.epoch, reason)
        return Draft(puts=((vm_key(vm.name), row.data()),), notes=notes)
