"""Leads the attempts: feeds their machines, carries out their orders, keeps what is seen."""

from dataclasses import dataclass, replace

from coordinator.actions import PublishProgress
from coordinator.desk import Desk
from coordinator.membership.agents import Agent
from coordinator.migration import migrations, orphans, travels
from coordinator.migration.attempts import Abort, Close, Commit, Seen
from coordinator.migration.estimates import Estimates, Foretell
from coordinator.migration.migrations import (
    Closed,
    DecisionWritten,
    EndEnded,
    EndGaveUp,
    EndLeft,
    EndReturned,
    Event,
    Order,
    Reconciling,
    Reserving,
    Settled,
    SourceConsented,
    SourceProgressed,
    State,
    TargetReserved,
    TellDecided,
    TellMigrate,
    TellReserve,
    TimePassed,
    Travelling,
    WriteAbort,
    WriteClosed,
    WriteCommit,
)
from coordinator.migration.records import with_round
from coordinator.networks.networks import migration_networks, with_all_addresses
from coordinator.storage import vm_disks
from coordinator.store.rows import AttemptRow
from protocol.messages import (
    Consented,
    Decided,
    Ended,
    GaveUp,
    Migrate,
    Part,
    Progress,
    Reserve,
    Reserved,
    WritesForecast,
)
from protocol.names import (
    AttemptId,
    Decision,
    Epoch,
    Incarnation,
    Member,
    NodeName,
    Step,
    Verify,
)

NOTHING_SEEN = Seen()


@dataclass(slots=True)
class Conducted:
    """An attempt under way: its machine's state, and what was seen of it that no row holds yet."""

    state: State
    began_at: float
    seen: Seen = NOTHING_SEEN
    step: Step = Step.RESERVE
    pages_sent: int = 0
    pages_total: int = 0


class Conductor:
    """All attempts that are not closed."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.attempts: dict[AttemptId, Conducted] = {}
        self.estimates = Estimates(desk)

    # ---- beginning

    def resume_all(self) -> None:
        """A new leader takes up what it finds: open attempts are reconciled, decided ones told."""
        scene = self._desk.scene
        self.attempts.clear()
        until = scene.now + 2 * scene.book.timing.support_s
        for row in sorted(scene.book.unclosed.values(), key=lambda row: row.id):
            found: State = Settled(row.decision)
            if row.decision is Decision.OPEN:
                found = Reconciling(until)
            began_at = row.asked_at - scene.config.wall_offset_s
            self.attempts[row.id] = Conducted(found, began_at)
            self._look_for_ends(row)

    def opened(self, row: AttemptRow) -> None:
        """The attempt's row is written: S3 begins."""
        scene = self._desk.scene
        until = scene.now + scene.config.reserve_deadline_s
        self.attempts[row.id] = Conducted(Reserving(until), scene.now)
        self._carry(row, TellReserve())
        self.estimates.attempt_opened(row)
        self._look_for_ends(row)

    # ---- what happens

    def said(self, agent: Agent, message: Reserved | Progress | Consented | GaveUp | Ended) -> None:
        """What an end says counts only from the very life that takes part in the attempt."""
        row = self._desk.scene.book.unclosed.get(message.attempt)
        under_way = self.attempts.get(message.attempt)
        if isinstance(message, Ended):
            agent.orphans.pop(message.attempt, None)
        if row is None or under_way is None:
            return  # an end that missed how it ended is out of the view, and learns that
        is_source = agent.incarnation == row.source_incarnation
        if not is_source and agent.incarnation != row.target_incarnation:
            return
        match message:
            case Reserved() if not is_source:
                self.feed(row, TargetReserved())
            case Progress() if is_source:
                self._progressed(row, under_way, message)
            case Consented() if is_source and message.epoch == row.epoch:
                self._consented(row, under_way, message)
            case GaveUp():
                self.feed(row, EndGaveUp(is_source, message.reason))
            case Ended() if message.decision is row.decision:
                self._keep(under_way, parts=message.parts)
                if message.verified is not None:
                    under_way.seen = replace(under_way.seen, verified=message.verified)
                if not is_source and message.decision is Decision.COMMITTED:
                    # Its guest runs: whoever asks next need not wait for a report to see that.
                    agent.online[row.vm] = Epoch(row.epoch + 1)
                self.feed(row, EndEnded(is_source))
            case _:
                pass

    def sampled(self, agent: Agent, message: WritesForecast) -> None:
        """What was foretold of an attempt is kept with it, also when it comes late."""
        found = self.estimates.told(agent, message)
        if found is None:
            return
        attempt, prediction = found
        if (under_way := self.attempts.get(attempt)) is not None:
            under_way.seen = replace(under_way.seen, predicted=prediction)
        else:
            self._desk.pen.put(Foretell(attempt, prediction))

    def _progressed(self, row: AttemptRow, under_way: Conducted, progress: Progress) -> None:
        under_way.step = progress.step
        self._hand_over(row, under_way)
        under_way.pages_total = progress.pages_total
        under_way.pages_sent = progress.pages_sent
        seen = under_way.seen
        rounds = seen.rounds
        if progress.round is not None:
            rounds = with_round(rounds, progress.round)
        under_way.seen = replace(seen, network=progress.network, rounds=rounds)
        self.feed(row, SourceProgressed())

    def _consented(self, row: AttemptRow, under_way: Conducted, consent: Consented) -> None:
        under_way.step = Step.COMMIT
        rounds = under_way.seen.rounds
        for record in consent.rounds:
            rounds = with_round(rounds, record)
        under_way.seen = replace(
            under_way.seen, rounds=rounds, verified=consent.verified, waited_s=consent.waited_s
        )
        self._keep(under_way, parts=consent.parts)
        self.feed(row, SourceConsented(consent))

    def _hand_over(self, row: AttemptRow, under_way: Conducted) -> None:
        """S10: the guest stands still, and disks of the VM's own group go to the target."""
        vm = self._desk.scene.book.vms.get(row.vm)
        if under_way.step is not Step.STORAGE or vm is None:
            return
        goes_on = isinstance(under_way.state, Travelling | Reconciling)
        if goes_on and vm_disks.rows_of(self._desk.scene, vm.spec):
            self._desk.pen.put(vm_disks.HandOver(row.id), urgent=True)

    def _keep(self, under_way: Conducted, parts: tuple[Part, ...]) -> None:
        kept = {part.name: part for part in (*under_way.seen.parts, *parts)}
        under_way.seen = replace(under_way.seen, parts=tuple(kept.values()))

    def returned(self, agent: Agent) -> None:
        """The agent has said Hello: what it reports of each of its attempts, or nothing."""
        for row in list(self._desk.scene.book.unclosed.values()):
            for is_source, incarnation in _ends(row):
                if incarnation == agent.incarnation:
                    report = agent.attempts.get(row.id)
                    under_way = self.attempts.get(row.id)
                    if is_source and report is not None and under_way is not None:
                        under_way.step = report.step  # a leader before this one may have heard it
                    self.feed(row, EndReturned(is_source, report))
        for report in agent.attempts.values():
            for order in orphans.orders_for(self._desk.scene, self._desk.cluster, agent, report):
                agent.orphans[report.attempt] = report
                self._desk.send(agent, order)

    def look_for_ends(self) -> None:
        """A view has come to hold: ends whose life is not in it are gone."""
        for row in list(self._desk.scene.book.unclosed.values()):
            self._look_for_ends(row)

    def _look_for_ends(self, row: AttemptRow) -> None:
        scene = self._desk.scene
        for is_source, incarnation in _ends(row):
            node = row.source if is_source else row.target
            if not scene.in_held_view(node, incarnation):
                word = "source" if is_source else "target"
                reason = f"node {node}, the {word}, was removed from the cluster"
                self.feed(row, EndLeft(is_source, reason))

    def decided(self, attempt: AttemptId | None) -> None:
        """The row says how it ends."""
        row = None if attempt is None else self._desk.scene.book.attempts.get(attempt)
        if row is None or row.decision is Decision.OPEN or row.closed:
            return
        self.feed(row, DecisionWritten(row.decision))
        self._look_for_ends(row)

    def refused(self, attempt: AttemptId, reason: str) -> None:
        """The commit was not possible."""
        row = self._desk.scene.book.attempts.get(attempt)
        if row is not None:
            self.feed(row, migrations.CommitRefused(reason))

    def closed(self, attempt: AttemptId) -> None:
        was = self.attempts.pop(attempt, None)
        if was is not None and was.seen.predicted is not None:
            self._desk.pen.put(Foretell(attempt, was.seen.predicted))
        self._desk.out.append(PublishProgress(attempt))

    def tick(self) -> None:
        self.estimates.tick()
        for row in list(self._desk.scene.book.unclosed.values()):
            if (under_way := self.attempts.get(row.id)) is not None:
                self._hand_over(row, under_way)
            self.feed(row, TimePassed(self._desk.scene.now))

    def feed(self, row: AttemptRow, event: Event) -> None:
        under_way = self.attempts.get(row.id)
        if under_way is None or isinstance(under_way.state, Closed):
            return
        before = under_way.state
        under_way.state, orders = migrations.step(before, event)
        if isinstance(under_way.state, Travelling) and not isinstance(before, Travelling):
            under_way.step = max(under_way.step, Step.CONNECT, key=lambda s: int(s.value[1:]))
        for order in orders:
            self._carry(row, order)
        if under_way.state != before or isinstance(event, SourceProgressed):
            self._desk.out.append(PublishProgress(row.id))

    # ---- orders

    def _carry(self, row: AttemptRow, order: Order) -> None:
        desk, under_way = self._desk, self.attempts[row.id]
        match order:
            case TellReserve():
                self._tell_reserve(row)
            case TellMigrate():
                self._tell_migrate(row)
            case WriteCommit(consent):
                # First of all that waits: the guest is paused until this is written.
                desk.pen.put(Commit(row.id, consent, under_way.seen), urgent=True)
            case WriteAbort(reason):
                desk.pen.put(Abort(row.id, reason, seen=under_way.seen), urgent=True)
            case TellDecided(is_source, decision):
                self._tell_decided(row, is_source, decision)
            case WriteClosed():
                desk.pen.put(Close(row.id, under_way.seen))

    def _tell_reserve(self, row: AttemptRow) -> None:
        scene = self._desk.scene
        target = scene.agents.living(row.target, row.target_incarnation)
        source = self._member(row.source, row.source_incarnation)
        vm = scene.book.vms.get(row.vm)
        if target is None or source is None or vm is None:
            return  # told when it says Hello, or ended when it leaves
        cluster = self._desk.cluster
        message = Reserve(
            cluster,
            scene.term,
            target.incarnation,
            row.id,
            row.vm,
            row.epoch,
            vm.spec,
            source,
            scene.config.token(cluster, row.id),
            Verify(row.verify),
            travels.places(scene.book),
        )
        self._desk.send(target, message)

    def _tell_migrate(self, row: AttemptRow) -> None:
        scene = self._desk.scene
        source = scene.agents.living(row.source, row.source_incarnation)
        target = self._member(row.target, row.target_incarnation)
        if source is None or target is None:
            return
        target = with_all_addresses(scene, target)
        cluster = self._desk.cluster
        message = Migrate(
            cluster,
            scene.term,
            source.incarnation,
            row.id,
            row.vm,
            row.epoch,
            target,
            migration_networks(scene, source.as_member(), target),
            scene.config.token(cluster, row.id),
            row.verify,
            row.policy,
            row.travel,
            row.rates,
            travels.places(scene.book),
        )
        self._desk.send(source, message)

    def _tell_decided(self, row: AttemptRow, is_source: bool, decision: Decision) -> None:
        scene = self._desk.scene
        node = row.source if is_source else row.target
        incarnation = row.source_incarnation if is_source else row.target_incarnation
        agent = scene.agents.living(node, incarnation)
        # The row that was written last is in the book, also when `row` is from before.
        known = scene.book.attempts.get(row.id, row)
        if agent is not None:
            self._desk.send(agent, self._decided_message(known, agent.incarnation, decision))

    def _decided_message(
        self, row: AttemptRow, incarnation: Incarnation, decision: Decision
    ) -> Decided:
        return Decided(
            self._desk.cluster,
            self._desk.scene.term,
            incarnation,
            row.id,
            row.vm,
            Epoch(row.epoch + 1),
            decision,
            row.reason,
        )

    def _member(self, node: NodeName | None, incarnation: Incarnation | None) -> Member | None:
        held = self._desk.scene.held
        members = () if held is None else held.members
        return next((m for m in members if m.node == node and m.incarnation == incarnation), None)


def _ends(row: AttemptRow) -> tuple[tuple[bool, Incarnation | None], ...]:
    return (True, row.source_incarnation), (False, row.target_incarnation)
