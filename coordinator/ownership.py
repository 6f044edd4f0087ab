"""Who owns a VM: the transactions that create it, give it to a node, and take note that it stopped.

A VM that is live belongs to one incarnation. Nobody else is given it before that one has said that
it stopped, or a view holds without that one.
"""

from dataclasses import dataclass, replace
from typing import Any

from coordinator import chronicle
from coordinator.chronicle import Note
from coordinator.doorstep import LEAP_MAX
from coordinator.pen import Draft
from coordinator.placement import best_node
from coordinator.rows import VIEW, AttemptRow, VmRow, attempt_key, vm_key
from coordinator.scene import Scene
from protocol.names import (
    Decision,
    Epoch,
    Incarnation,
    NodeName,
    Outcome,
    VmName,
)


def given(scene: Scene, vm: VmRow, node: NodeName) -> VmRow:
    """`vm` in the hands of `node`'s present life, under the next epoch."""
    agent = scene.agents.at(node)
    assert agent is not None, node
    assert scene.may_own(node, agent.incarnation), node
    return replace(
        vm,
        owner=node,
        owner_incarnation=agent.incarnation,
        epoch=Epoch(vm.epoch + 1),
        on=True,
        live=True,
        failed="",
        waiting="",
    )


def without_place(scene: Scene, vm: VmRow) -> str:
    """Why `place_for` finds nothing."""
    if cleaning_up(scene, vm.name):
        return "its last migration is still being cleaned up where there is room for it"
    return f"no node that is Up has {vm.spec.memory_bytes} bytes of memory free for it"


def cleaning_up(scene: Scene, vm: VmName) -> set[NodeName]:
    """Where an attempt may have left something of `vm` that has still to go."""
    return {
        node
        for attempt in scene.book.unclosed.values()
        if attempt.vm == vm
        for node in (attempt.source, attempt.target)
        if node is not None
    }


def place_for(scene: Scene, vm: VmRow) -> NodeName | None:
    """Where to start it: not where it is being cleaned up, and after a failure elsewhere."""
    cleaning = cleaning_up(scene, vm.name)
    size = vm.spec.memory_bytes
    if vm.restarts:
        elsewhere = best_node(scene, size, avoid=cleaning | {vm.owner})
        if elsewhere is not None:
            return elsewhere
    return best_node(scene, size, avoid=cleaning, already_on=vm.owner)


@dataclass(frozen=True, slots=True)
class Give:
    """Start a VM that is wanted and nowhere live, or write why it has no place."""

    vm: VmName

    def draft(self, scene: Scene) -> Draft | None:
        vm = scene.book.vms.get(self.vm)
        if vm is None or not vm.on or vm.live or vm.failed:
            return None
        node = place_for(scene, vm)
        if node is None:
            reason = without_place(scene, vm)
            if vm.waiting == reason:
                return None
            row = replace(vm, waiting=reason)
            return Draft(
                puts=((vm_key(vm.name), row.data()),),
                notes=(chronicle.group_without_place(vm.name, reason),),
            )
        row = given(scene, vm, node)
        return Draft(
            relies=(VIEW,),
            puts=((vm_key(vm.name), row.data()),),
            notes=(chronicle.group_coming_online(vm.name, node, row.epoch),),
        )


@dataclass(frozen=True, slots=True)
class FailOver:
    """The owner's life is in no held view any more: end its attempt and start it elsewhere."""

    vm: VmName
    incarnation: Incarnation

    def draft(self, scene: Scene) -> Draft | None:
        vm = scene.book.vms.get(self.vm)
        if vm is None or not vm.live or vm.owner_incarnation != self.incarnation:
            return None
        if scene.in_held_view(vm.owner, self.incarnation):
            return None
        reason = f"node {vm.owner}, the source, was removed from the cluster"
        row, puts, notes = _released(scene, vm, reason)
        notes.insert(0, chronicle.owner_lost(vm.name, vm.owner, vm.epoch))
        if vm.on:
            row, more = _elsewhere(scene, row)
            notes += more
        puts.append((vm_key(vm.name), row.data()))
        return Draft(relies=(VIEW,), puts=tuple(puts), notes=tuple(notes))


def _released(
    scene: Scene, vm: VmRow, reason: str
) -> tuple[VmRow, list[tuple[str, dict[str, Any]]], list[Note]]:
    """`vm` taken from its owner; an attempt that is open is aborted with it, for `reason`."""
    attempt = None if vm.attempt is None else scene.book.attempts.get(vm.attempt)
    if attempt is None or attempt.decision is not Decision.OPEN:
        return replace(vm, live=False), [], []
    ended = aborted(attempt, Outcome.FAILED, reason)
    epoch = Epoch(vm.epoch + 1)
    note = chronicle.migration_failed(vm.name, attempt.id, vm.owner, epoch, reason)
    row = replace(vm, live=False, epoch=epoch)
    return row, [(attempt_key(attempt.id), ended.data())], [note]


def aborted(attempt: AttemptRow, outcome: Outcome, reason: str) -> AttemptRow:
    return replace(attempt, decision=Decision.ABORTED, outcome=outcome, reason=reason)


def _elsewhere(scene: Scene, vm: VmRow) -> tuple[VmRow, list[Note]]:
    node = place_for(scene, vm)
    if node is None:
        reason = without_place(scene, vm)
        return replace(vm, waiting=reason), [chronicle.group_without_place(vm.name, reason)]
    row = given(scene, vm, node)
    text = (
        f"Group {vm.name} is coming online on node {node} by failover: the VM starts cold,"
        " from its specification."
    )
    return row, [chronicle.group_coming_online(vm.name, node, row.epoch, text)]


@dataclass(frozen=True, slots=True)
class TakeStopped:
    """The owner's life has said that, under this epoch, the VM never runs there again."""

    vm: VmName
    incarnation: Incarnation
    epoch: Epoch
    reason: str

    def draft(self, scene: Scene) -> Draft | None:
        vm = scene.book.vms.get(self.vm)
        if vm is None or not vm.live or vm.owner_incarnation != self.incarnation:
            return None
        if self.epoch < vm.epoch:
            # An answer to a stop that was ordered before this start: the VM may run there now.
            return None
        row, puts, notes = _released(scene, vm, "the VM stopped on the source")
        if vm.on and self.reason:
            row, more = self._failed(scene, row)
            notes += more
        else:
            # With a wish to run, an earlier stop was answered after a new start was asked for.
            notes.append(chronicle.group_offline(vm.name, vm.owner, vm.epoch))
        puts.append((vm_key(vm.name), row.data()))
        return Draft(puts=tuple(puts), notes=tuple(notes))

    def _failed(self, scene: Scene, vm: VmRow) -> tuple[VmRow, list[Note]]:
        config = scene.config
        lately = scene.wall - vm.restarted_at <= config.restart_period_s
        restarts = vm.restarts if lately else 0
        notes = [chronicle.resource_failed(vm.name, vm.owner, vm.epoch, self.reason)]
        if restarts < config.restart_threshold:
            row = replace(vm, restarts=restarts + 1, restarted_at=scene.wall)
            return row, notes
        notes.append(chronicle.group_failed(vm.name, vm.owner, restarts))
        return replace(vm, failed=self.reason), notes


@dataclass(frozen=True, slots=True)
class RaiseEpoch:
    """An agent has told of an epoch that the store has lost (a restored backup): go above."""

    vm: VmName
    heard: Epoch

    def draft(self, scene: Scene) -> Draft | None:
        vm = scene.book.vms.get(self.vm)
        if vm is None or not vm.epoch < self.heard <= vm.epoch + LEAP_MAX:
            return None
        attempt = None if vm.attempt is None else scene.book.attempts.get(vm.attempt)
        if attempt is not None and attempt.decision is Decision.OPEN:
            return None
        row = replace(vm, epoch=Epoch(self.heard + 1))
        return Draft(puts=((vm_key(vm.name), row.data()),))
