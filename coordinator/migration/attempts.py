"""The transactions of migrations: an attempt is opened, decided exactly once, and closed."""

from dataclasses import dataclass, replace

from coordinator.events import RequestId
from coordinator.groups.ownership import aborted, group_puts, seated
from coordinator.migration import admission
from coordinator.migration.records import merged, with_round
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.storage import vm_disks
from coordinator.store.disk_rows import disk_key
from coordinator.store.rows import VIEW, AttemptRow, attempt_key, vm_key
from protocol.messages import Consented, Part, RoundRecord
from protocol.names import (
    AttemptId,
    Decision,
    Epoch,
    NetworkName,
    NodeName,
    Outcome,
    Verify,
    VmName,
)


def next_id(scene: Scene) -> AttemptId:
    """Above every id that was given out, also those that the store lost (a restored backup)."""
    heard = [told for agent in scene.agents if agent.welcomed for told in agent.attempts]
    return AttemptId(max(scene.book.counter.attempts, *heard, 0) + 1)


@dataclass(frozen=True, slots=True)
class Open:
    """S1 and S2: the checks, and the attempt's row; a refusal leaves a record, too.

    `request` is None when a drain asks; then a refusal is no attempt at all.
    """

    request: RequestId | None
    vm: VmName
    target: NodeName | None
    policy: str
    verify: Verify

    def draft(self, scene: Scene) -> Draft | Declined:
        if scene.book.cluster is None:
            return Declined(409, "no-cluster", "There is no cluster yet: form one first.")
        checked = admission.check_policy(self.policy) or admission.migration_target(
            scene, self.vm, self.target
        )
        if isinstance(checked, Declined):
            return self._refused(scene, checked) if self.request is not None else checked
        vm, node = checked
        target = scene.agents.at(node)
        assert target is not None
        new = next_id(scene)
        row = AttemptRow(
            id=new,
            vm=vm.name,
            source=vm.owner,
            source_incarnation=vm.owner_incarnation,
            target=node,
            target_incarnation=target.incarnation,
            epoch=vm.epoch,
            policy=self.policy,
            verify=self.verify,
            asked_at=scene.wall,
        )
        return Draft(
            relies=(VIEW,),
            puts=(
                (attempt_key(new), row.data()),
                (vm_key(vm.name), replace(vm, attempt=new).data()),
            ),
            notes=(
                chronicle.group_moving(vm.name, new, vm.owner, node, vm.epoch),
                chronicle.migration_started(vm.name, new, vm.owner, node, vm.epoch),
            ),
            attempt=new,
        )

    def _refused(self, scene: Scene, why: Declined) -> Draft:
        vm = scene.book.vms.get(self.vm)
        new = next_id(scene)
        row = AttemptRow(
            id=new,
            vm=self.vm,
            source=NodeName("") if vm is None else vm.owner,
            source_incarnation=None,
            target=self.target,
            target_incarnation=None,
            epoch=Epoch(0) if vm is None else vm.epoch,
            policy=self.policy,
            verify=self.verify,
            asked_at=scene.wall,
            decision=Decision.ABORTED,
            outcome=Outcome.REFUSED,
            reason=why.sentence,
            ended_at=scene.wall,
        )
        return Draft(
            puts=((attempt_key(new), row.data()),),
            notes=(chronicle.migration_refused(self.vm, new, why.sentence),),
            attempt=new,
            answer=why,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What of a running attempt is to be kept in its record."""

    network: NetworkName | None = None
    rounds: tuple[RoundRecord, ...] = ()
    parts: tuple[Part, ...] = ()
    verified: bool | None = None
    waited_s: float = 0.0

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
