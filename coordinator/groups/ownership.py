"""Who owns a VM: the transactions that give it to a node.

A VM that is live belongs to one incarnation. Nobody else is given it before that one has said that
it stopped, or a view holds without that one.
"""

from dataclasses import dataclass, replace
from typing import Any

from coordinator.groups.placement import best_node, fitting
from coordinator.leadership.doorstep import LEAP_MAX
from coordinator.membership import properties
from coordinator.pen import Draft
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.shown.chronicle import Note
from coordinator.storage import moves, needs
from coordinator.store.group_rows import GroupRow, group_key
from coordinator.store.rows import VIEW, AttemptRow, VmRow, attempt_key, vm_key
from protocol.names import (
    Decision,
    Epoch,
    Incarnation,
    NodeName,
    Outcome,
    VmName,
)

Puts = list[tuple[str, dict[str, Any]]]


def given(scene: Scene, vm: VmRow, node: NodeName) -> VmRow:
    """`vm` in the hands of `node`'s present life, under the next epoch."""
    agent = scene.agents.at(node)
    assert agent is not None, node
    assert scene.may_own(node, agent.incarnation), node
    assert needs.may_start(scene, vm.spec), f"{vm.name}: {needs.why_waits(scene, vm.spec)}"
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


def seated(scene: Scene, group: GroupRow) -> GroupRow:
    """`group` has got a node: which preferred owners were there at that time is remembered."""
    held = scene.held
    lives = () if held is None else tuple(held.incarnation_of(n) for n in group.preferred)
    passed = tuple(life for life in lives if life is not None)
    return replace(group, move_to=None, waits_until=0.0, passed=passed)


def group_puts(scene: Scene, group: GroupRow) -> Puts:
    """The row to write, if it differs from what is known."""
    if group == scene.book.group(group.name):
        return []
    return [(group_key(group.name), group.data())]


def without_place(scene: Scene, vm: VmRow) -> str:
    """Why `place_for` finds nothing."""
    if why := needs.why_waits(scene, vm.spec):
        return why
    if cleaning_up(scene, vm.name):
        return "its last migration is still being cleaned up where there is room for it"
    if (node := needs.only_node(scene, vm)) is not None:
        return f"it is not on shared storage, so only node {node} can run it, and cannot now"
    where = ""
    group = scene.book.group(vm.name)
    if any(not group.may_be_on(node) for node in scene.book.nodes):
        where = " and is one of its possible owners"
    if vm.spec.volumes and not any(needs.is_reached(scene, n, vm.spec) for n in scene.book.nodes):
        return f"no node{where} reaches {', '.join(vm.spec.volumes)}, where it has files"
    return f"no node that is Up{where} has {vm.spec.memory_bytes} bytes of memory free for it"


def cleaning_up(scene: Scene, vm: VmName) -> set[NodeName]:
    """Where an attempt may have left something of `vm` that has still to go."""
    return {
        node
        for attempt in scene.book.unclosed.values()
        if attempt.vm == vm
        for node in (attempt.source, attempt.target)
        if node is not None
    }


def place_for(scene: Scene, vm: VmRow, stays: bool = False) -> NodeName | None:
    """Where to start it: not where it is being cleaned up.

    Where an operator moves it comes first; with `stays` its last owner comes before others, but
    not before an owner that it prefers.
    """
    group, cleaning = scene.book.group(vm.name), cleaning_up(scene, vm.name)
    size = vm.spec.memory_bytes
    if group.move_to is not None or (stays and not group.preferred):
        wanted = group.move_to or vm.owner
        if wanted in fitting(scene, size, group, cleaning, vm.owner):
            return wanted
    return best_node(scene, size, cleaning, vm.owner, group)


def began_cold(scene: Scene) -> bool:
    """The cluster started cold within the last ClusterGroupWaitDelay."""
    return scene.wall <= _waits_until(scene)


def _waits_until(scene: Scene) -> float:
    view = scene.book.view
    if view is None or view.cold_at is None:
        return float("-inf")
    return view.cold_at + float(properties.value(scene.book, "ClusterGroupWaitDelay"))


def awaited(scene: Scene, vm: VmRow) -> str:
    """What it waits for after a cold start: a preferred owner that may come yet; else empty."""
    group = scene.book.group(vm.name)
    if scene.wall >= group.waits_until or not group.preferred:
        return ""
    found = fitting(scene, vm.spec.memory_bytes, group, cleaning_up(scene, vm.name), vm.owner)
    if set(found) & set(group.preferred):
        return ""
    return f"after the cold start it waits for a preferred owner, {', '.join(group.preferred)}"


@dataclass(frozen=True, slots=True)
class Give:
    """Start a VM that is wanted and nowhere live, or write why it has no place."""

    vm: VmName

    def draft(self, scene: Scene) -> Draft | None:
        vm = scene.book.vms.get(self.vm)
        if vm is None or not vm.on or vm.live or vm.failed:
            return None
        reason = awaited(scene, vm)
        node = None if reason else place_for(scene, vm, stays=began_cold(scene))
        if node is None:
            reason = reason or without_place(scene, vm)
            if vm.waiting == reason:
                return None
            row = replace(vm, waiting=reason)
            return Draft(
                puts=((vm_key(vm.name), row.data()),),
                notes=(chronicle.group_without_place(vm.name, reason),),
            )
        row = given(scene, vm, node)
        group = seated(scene, scene.book.group(vm.name))
        return Draft(
            relies=(VIEW, *needs.keys_for(scene, vm.spec)),
            puts=((vm_key(vm.name), row.data()), *group_puts(scene, group)),
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
        row, puts, notes = released(scene, vm, reason)
        notes.insert(0, chronicle.owner_lost(vm.name, vm.owner, vm.epoch))
        if vm.on:
            row, more_puts, more_notes = self._elsewhere(scene, row)
            puts += more_puts
            notes += more_notes
        puts.append((vm_key(vm.name), row.data()))
        relied = (VIEW, *needs.keys_for(scene, vm.spec))
        return Draft(relies=relied, puts=tuple(puts), notes=tuple(notes))

    def _elsewhere(self, scene: Scene, vm: VmRow) -> tuple[VmRow, Puts, list[Note]]:
        group, cold = scene.book.group(vm.name), began_cold(scene)
        if cold and not group.number("PersistentState"):
            note = chronicle.group_stays_offline(vm.name, vm.owner)
            return replace(vm, on=False), [], [note]
        if cold and group.preferred:
            # Who gets it is decided at the next look, until when it may have to wait.
            waits = replace(group, waits_until=_waits_until(scene))
            return vm, group_puts(scene, waits), []
        node = place_for(scene, vm, stays=cold)
        if node is None:
            reason = without_place(scene, vm)
            note = chronicle.group_without_place(vm.name, reason)
            return replace(vm, waiting=reason), [], [note]
        row = given(scene, vm, node)
        text = (
            f"Group {vm.name} is coming online on node {node} by failover: the VM starts cold,"
            " from its specification."
        )
        note = chronicle.group_coming_online(vm.name, node, row.epoch, text)
        return row, group_puts(scene, seated(scene, group)), [note]


def released(scene: Scene, vm: VmRow, reason: str) -> tuple[VmRow, Puts, list[Note]]:
    """`vm` taken from its owner; an attempt that is open is aborted with it, for `reason`."""
    vm, puts, notes = moves.cut_short(scene, vm)
    attempt = None if vm.attempt is None else scene.book.attempts.get(vm.attempt)
    if attempt is None or attempt.decision is not Decision.OPEN:
        return replace(vm, live=False, waiting=""), puts, notes
    ended = aborted(attempt, Outcome.FAILED, reason)
    epoch = Epoch(vm.epoch + 1)
    note = chronicle.migration_failed(vm.name, attempt.id, vm.owner, epoch, reason)
    row = replace(vm, live=False, epoch=epoch, waiting="")
    return row, [*puts, (attempt_key(attempt.id), ended.data())], [*notes, note]


def aborted(attempt: AttemptRow, outcome: Outcome, reason: str) -> AttemptRow:
    return replace(attempt, decision=Decision.ABORTED, outcome=outcome, reason=reason)


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
