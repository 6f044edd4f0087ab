"""The transactions of migrations: an attempt is opened, decided exactly once, and closed."""

from dataclasses import dataclass, replace
from typing import Any

from coordinator.events import RequestId
from coordinator.groups.ownership import aborted, group_puts, seated
from coordinator.migration import admission, queue, travels
from coordinator.migration.records import merged, unbegun, with_round
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.storage import vm_disks
from coordinator.store.disk_rows import disk_key
from coordinator.store.prediction_row import Prediction
from coordinator.store.queue_rows import QueuedRow, queued_key
from coordinator.store.rows import VIEW, AttemptRow, VmRow, attempt_key, vm_key
from protocol.messages import Consented, Part, RoundRecord
from protocol.names import (
    AttemptId,
    Decision,
    Epoch,
    NetworkName,
    NodeName,
    Outcome,
    Priority,
    Verify,
    VmName,
)
from protocol.travel import Travel


def next_id(scene: Scene) -> AttemptId:
    """Above every id that was given out, also those that the store lost (a restored backup)."""
    heard = [told for agent in scene.agents if agent.welcomed for told in agent.attempts]
    return AttemptId(max(scene.book.counter.attempts, *heard, 0) + 1)


def begun(scene: Scene, row: AttemptRow, vm: VmRow, node: NodeName) -> Draft:
    """S2 is done: the attempt is of these two lives, at the rates of this moment."""
    target = scene.agents.at(node)
    assert target is not None
    row = replace(
        row,
        source=vm.owner,
        source_incarnation=vm.owner_incarnation,
        target=node,
        target_incarnation=target.incarnation,
        epoch=vm.epoch,
        asked_at=scene.wall,
        travel=travels.limited(scene, row.travel, vm.owner, node),
        rates=travels.network_rates(scene),
    )
    return Draft(
        relies=(VIEW,),
        puts=(
            (attempt_key(row.id), row.data()),
            (vm_key(vm.name), replace(vm, attempt=row.id).data()),
        ),
        notes=(
            chronicle.group_moving(vm.name, row.id, vm.owner, node, vm.epoch),
            chronicle.migration_started(vm.name, row.id, vm.owner, node, vm.epoch),
        ),
    )


@dataclass(frozen=True, slots=True)
class Open:
    """S1 and S2: the checks, and the attempt's row; a refusal leaves a record, too.

    `request` is None when a drain asks; then a refusal is no attempt at all. With a `priority` it
    waits where it would be refused for what ends by itself.
    """

    request: RequestId | None
    vm: VmName
    target: NodeName | None
    policy: str
    verify: Verify
    travel: tuple[tuple[str, Any], ...] = ()
    priority: Priority | None = None

    def draft(self, scene: Scene) -> Draft | Declined:
        if scene.book.cluster is None:
            return Declined(409, "no-cluster", "There is no cluster yet: form one first.")
        travel = travels.chosen(scene.book, self.travel)
        off = admission.check_policy(self.policy) or admission.check_travel(travel)
        if off is not None:
            travel = travels.usual(scene.book)  # no row keeps what nobody can carry out
        checked = off or self._checked(scene)
        if not isinstance(checked, Declined):
            new = self._row(scene, travel)
            return replace(begun(scene, new, *checked), attempt=new.id)
        if self.priority is not None and checked.code in queue.WAITS:
            return self._queued(scene, travel, self.priority, checked)
        return checked if self.request is None else self._refused(scene, travel, checked)

    def _checked(self, scene: Scene) -> tuple[VmRow, NodeName] | Declined:
        kept = admission.NOTHING_KEPT
        if self.priority is not None:
            if (waits := queue.waiting_for(scene.book, self.vm)) is not None:
                sentence = (
                    f"VM {self.vm} waits for its migration already, attempt {waits.id}: cancel that"
                    " or wait for its end."
                )
                return Declined(409, "vm-queued", sentence)
            kept = queue.kept_by(scene, queue.ahead_of(scene.book, self.priority))
        return admission.migration_target(scene, self.vm, self.target, kept)

    def _row(self, scene: Scene, travel: Travel) -> AttemptRow:
        row = unbegun(scene, next_id(scene), self.vm, self.target, self.policy, self.verify)
        return replace(row, travel=travel, priority=self.priority)

    def _queued(self, scene: Scene, travel: Travel, priority: Priority, why: Declined) -> Draft:
        new = next_id(scene)
        row = QueuedRow(
            *(new, self.vm, self.target, self.policy, self.verify),
            *(travel, priority, scene.wall),
        )
        return Draft(
            puts=((queued_key(new), row.data()),),
            notes=(chronicle.migration_queued(self.vm, new, priority.value, why.sentence),),
            attempt=new,
        )

    def _refused(self, scene: Scene, travel: Travel, why: Declined) -> Draft:
        row = refused(scene, self._row(scene, travel), why)
        return Draft(
            puts=((attempt_key(row.id), row.data()),),
            notes=(chronicle.migration_refused(self.vm, row.id, why.sentence),),
            attempt=row.id,
            answer=why,
        )


def refused(scene: Scene, row: AttemptRow, why: Declined) -> AttemptRow:
    """The record of one that never began."""
    return replace(
        row,
        decision=Decision.ABORTED,
        outcome=Outcome.REFUSED,
        reason=why.sentence,
        ended_at=scene.wall,
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """What of a running attempt is to be kept in its record."""

    network: NetworkName | None = None
    rounds: tuple[RoundRecord, ...] = ()
    parts: tuple[Part, ...] = ()
    verified: bool | None = None
    waited_s: float = 0.0
    predicted: Prediction | None = None

    def into(self, row: AttemptRow) -> AttemptRow:
        rounds = row.rounds
        for record in self.rounds:
            rounds = with_round(rounds, record)
        return replace(
            row,
            network=self.network or row.network,
            rounds=rounds,
            parts=merged(row.parts, self.parts),
            verified=row.verified if self.verified is None else self.verified,
            waited_s=max(row.waited_s, self.waited_s),
            predicted=self.predicted or row.predicted,
        )


@dataclass(frozen=True, slots=True)
class Commit:
    """S11: open -> committed, and the VM from (source, e) to (target, e+1), or neither."""

    attempt: AttemptId
    consent: Consented | None
    seen: Seen

    def draft(self, scene: Scene) -> Draft | Declined | None:
        row = scene.book.attempts.get(self.attempt)
        if row is None or row.decision is not Decision.OPEN:
            return None
        vm = scene.book.vms.get(row.vm)
        if (
            vm is None
            or vm.epoch != row.epoch
            or not vm.live
            or vm.owner_incarnation != row.source_incarnation
        ):
            return Declined(409, "vm-moved", f"the source does not own {row.vm} any more")
        target, life = row.target, row.target_incarnation
        if target is None or life is None or not scene.may_own(target, life):
            return Declined(409, "target-left", f"node {target}, the target, left the membership")
        if not vm_disks.are_with(scene, vm, row):
            return Declined(409, "disk-elsewhere", f"node {target} has not the disk of {vm.name}")
        reason = "" if self.consent is None else self.consent.stop_reason
        decided = replace(
            self.seen.into(row),
            decision=Decision.COMMITTED,
            outcome=Outcome.COMPLETED,
            reason=reason,
        )
        epoch = Epoch(vm.epoch + 1)
        moved = replace(vm, owner=target, owner_incarnation=life, epoch=epoch)
        return Draft(
            relies=(VIEW, *(disk_key(disk.id) for disk in vm_disks.rows_of(scene, vm.spec))),
            puts=(
                (attempt_key(row.id), decided.data()),
                (vm_key(vm.name), moved.data()),
                *group_puts(scene, seated(scene, scene.book.group(vm.name))),
            ),
            notes=(chronicle.migration_committed(vm.name, row.id, target, epoch),),
        )


@dataclass(frozen=True, slots=True)
class Abort:
    """open -> aborted, and the VM stays with the source under the next epoch."""

    attempt: AttemptId
    reason: str
    cancelled: bool = False
    seen: Seen = Seen()
    request: RequestId | None = None

    def draft(self, scene: Scene) -> Draft | Declined | None:
        row = scene.book.attempts.get(self.attempt)
        if row is None and (waits := scene.book.queued.get(self.attempt)) is not None:
            return self._not_begun(scene, waits)
        if row is None or row.decision is not Decision.OPEN:
            return self._too_late(row)
        outcome = Outcome.CANCELLED if self.cancelled else Outcome.FAILED
        reason = self.reason + vm_disks.way_back(scene, row)
        decided = aborted(self.seen.into(row), outcome, reason)
        puts = [(attempt_key(row.id), decided.data())]
        vm = scene.book.vms.get(row.vm)
        epoch = row.epoch
        if vm is not None and vm.attempt == row.id and vm.epoch == row.epoch:
            epoch = Epoch(vm.epoch + 1)
            puts.append((vm_key(vm.name), replace(vm, epoch=epoch).data()))
        word = chronicle.migration_cancelled if self.cancelled else chronicle.migration_failed
        note = word(row.vm, row.id, row.source, epoch, reason)
        return Draft(puts=tuple(puts), notes=(note,))

    def _not_begun(self, scene: Scene, waits: QueuedRow) -> Draft:
        """It waits no more; nobody has to be told."""
        row = replace(
            queue.as_attempt(scene, waits, self.reason),
            decision=Decision.ABORTED,
            outcome=Outcome.CANCELLED,
            ended_at=scene.wall,
        )
        note = chronicle.migration_cancelled(row.vm, row.id, row.source, row.epoch, self.reason)
        return Draft(
            puts=((attempt_key(row.id), row.data()),), deletes=(queued_key(row.id),), notes=(note,)
        )

    def _too_late(self, row: AttemptRow | None) -> Declined | None:
        if self.request is None:
            return None
        if row is None:
            sentence = f"There is no migration attempt {self.attempt}: name one that exists."
            return Declined(404, "unknown-attempt", sentence)
        how = "refused" if row.outcome is Outcome.REFUSED else row.decision.value
        sentence = f"Attempt {row.id} is {how} already: it cannot be cancelled any more."
        return Declined(409, "attempt-decided", sentence)


@dataclass(frozen=True, slots=True)
class Close:
    """Both ends have cleaned up or are gone: the record is complete, the nodes are free again."""

    attempt: AttemptId
    seen: Seen

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.attempts.get(self.attempt)
        if row is None or row.closed or row.decision is Decision.OPEN:
            return None
        closed = replace(self.seen.into(row), ended_at=scene.wall)
        puts = [(attempt_key(row.id), closed.data())]
        vm = scene.book.vms.get(row.vm)
        if vm is not None and vm.attempt == row.id:
            puts.append((vm_key(vm.name), replace(vm, attempt=None).data()))
        return Draft(puts=tuple(puts))
