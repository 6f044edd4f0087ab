"""One agent's whole mind behind one door: events and the time go in, actions come out."""

from dataclasses import replace
from functools import partial

from agent import events, sampling, storage_moves, words
from agent.actions import (
    Action,
    CloseLink,
    DestroyVm,
    NodeRecord,
    Note,
    ObserveGuests,
    Persist,
    Rejoin,
    SetLease,
    Tell,
)
from agent.attempts import Attempts
from agent.authority import refusal, silence_max_s
from agent.config import AgentConfig
from agent.copies import Shelf
from agent.disk_words import DiskEvent
from agent.events import BeatReceived, Event, Tick, Told, WitnessEvent
from agent.heartbeat import Heartbeats
from agent.lease import NO_LEASE
from agent.moves import DeadlinePassed, LeaderHeard, VmLost
from agent.patience import Patience
from agent.pledges import Pledges, forgotten, is_brand_new
from agent.storage import Storage
from agent.views import Verdict, Views
from agent.vms import Outcome, Vms
from agent.witness import Carrier
from protocol.messages import (
    Arbitrate,
    Decided,
    Evicted,
    FailVm,
    Heartbeat,
    KeepCopy,
    Migrate,
    MoveStorage,
    Ping,
    ProposeView,
    Reserve,
    SampleWrites,
    StartVm,
    StopVm,
    StorageDecided,
    ToAgent,
    TurnedAway,
    WantCopy,
    Welcome,
    WitnessStatus,
)
from protocol.names import Incarnation, Term, View, VmName

FOREVER = float("inf")
REPORT_EVERY_PINGS = 5
"""Disks are reported when something changes, and again, in case that was lost on the way."""


class AgentCore:
    """Feed it events, carry out the actions in their order. It knows one incarnation; `Rejoin` is
    its last word.
    """

    def __init__(
        self, config: AgentConfig, record: NodeRecord, incarnation: Incarnation, now: float
    ) -> None:
        self.config = config
        self.record = record
        self.incarnation = incarnation
        networks = [network for network, _ in config.endpoint.addresses]
        self.heartbeats = Heartbeats(config.node, incarnation, networks)
        waits_s = max(record.timing.outlast_s, record.outlast_s)
        self.views = Views(config.node, incarnation, record.view, now + waits_s)
        cluster = words.cluster_of(self)
        self.carrier = Carrier(config.node, incarnation, cluster, record.votes, record.timing)
        self.shelf = Shelf(incarnation)
        self.storage = Storage(incarnation)
        self.vms = Vms()
        self.attempts = Attempts(
            self.vms, config.memory_bytes, config.limits, partial(words.here, self)
        )
        self._born_s = now
        self._is_brand_new = is_brand_new(record)
        self._pledges = Pledges(record, now)
        self._leader: Term | None = None
        """The term of the leader that has welcomed this agent on the present link."""
        self._silence = Patience(now)
        self._grace = Patience(now)
        self._is_linked = False
        self._witness_told: WitnessStatus | None = None
        self._lease_told_s = NO_LEASE
        self._is_over = False

    # ---- the door

    def handle(self, event: Event, now: float) -> list[Action]:
        """Everything that changes this agent goes through here."""
        if self._is_over:
            return []
        if type(event) is BeatReceived:
            return self._beat_received(event, now)
        out = words.said(self, self._handle(event, now))
        if not self.vms.has_guests:
            self._grace.since_s = now
        self._put_witness(out, now)
        self._put_lease(out)
        return out

    def wake_at(self) -> float:
        """When it wants the next `Tick`; infinity if never."""
        if self._is_over:
            return FOREVER
        return min(
            self.heartbeats.next_send_s,
            self.views.ready_s,
            self.carrier.next_s,
            self._silent_s(),
            self._off_s(),
            self._pledges.drop_s,
            self.attempts.next_deadline_s() if self.attempts.sides else FOREVER,
        )

    def _beat_received(self, event: BeatReceived, now: float) -> list[Action]:
        message = event.message
        if isinstance(message, Heartbeat):
            may_support = self.views.may_support(message.incarnation, now)
            return [*self.heartbeats.hear(event.network, message, may_support, now)]
        if not self.heartbeats.hear_answer(event.network, message, now):
            return []
        self._lease_told_s = self.heartbeats.lease_end_s
        return [SetLease(self._lease_told_s)]

    def _handle(self, event: Event, now: float) -> Outcome:
        match event:
            case Tick():
                return self._time_passed(now)
            case Told(message):
                return self._told(message, now)
            case events.LinkUp():
                self._lose_leader()
                self._is_linked = True
                self._witness_told = self.carrier.status(now)
                return [Tell(words.hello(self, now))]
            case events.LinkDown():
                self._lose_leader()
                self.shelf.link_lost()
                self._is_linked = False
                return []
            case events.WitnessRead() | events.WitnessWritten() | events.WitnessFailed():
                return self._witness_answered(event, now)
            case events.CopyStored() | events.CopyFetched() | events.CopyFailed():
                return [*self.shelf.answered(event, now)]
            case events.VmCreated(vm):
                return self.vms.created(vm)
            case events.VmFailed(vm, reason):
                return self._vm_failed(vm, reason, now)
            case events.VmDestroyed(vm):
                return [*self.vms.destroyed(vm), *self.attempts.feed_vm(vm, event, now)]
            case events.ReserveFailed(attempt, reason):
                side = self.attempts.sides.get(attempt)
                told = [] if side is None else self.vms.failed(side.order.vm, reason)
                return [*told, *self.attempts.feed(attempt, event, now)]
            case events.GuestPaused(vm):
                self.vms.paused(event)
                return self.attempts.feed_vm(vm, event, now)
            case events.GuestSettled(vm):
                return self.attempts.feed_vm(vm, event, now)
            case events.DiskStuck() | events.DiskFlows() | events.DiskGone() | events.DiskRefused():
                return self.vms.disk_turned(event, self.attempts.moves(event.vm))
            case events.StorageCopied() | events.StorageStands() | events.MirrorFailed():
                return storage_moves.happened(self.vms, event)
            case events.GuestResumed(vm):
                self.vms.resumed(event)
                # So that the next report does not tell of a guest that nobody has looked at yet.
                return [ObserveGuests(), *self.attempts.feed_vm(vm, event, now)]
            case events.GuestObserved():
                return self.vms.observed(event)
            case events.WritesSampled(answer):
                return [Tell(answer)]
            case BeatReceived():
                return [*self._beat_received(event, now)]
            case _ if isinstance(event, DiskEvent):
                return self.storage.happened(event)
            case _:
                return self.attempts.feed(event.attempt, event, now)

    def _time_passed(self, now: float) -> Outcome:
        """After any pause, too: what has run out is seen before anything is said."""
        timing = self.record.timing
        if self._grace.is_over(self._off_s(), now, timing.delay_s):
            # An attempt may be open that its source has consented to. It is safe to lose the guest
            # all the same: the target runs it only after a commit, which this does not touch, and
            # whoever decides sees that this life is gone.
            no_quorum = f"There was no quorum for {timing.grace_s:g} s: guests are turned off."
            return self._leave(no_quorum)
        out: Outcome = [*self._adopt_ready(now), *self.heartbeats.send_due(now)]
        out += self._persist(self._pledges.dropped(self.record, now))
        if now >= self.carrier.next_s:
            out += self.carrier.due(now, self.heartbeats.around(now))
            self.heartbeats.carry(self.carrier.usable_until_s, now)
        out += self._leader_watched(now)
        for attempt in self.attempts.overdue(now):
            out += self.attempts.feed(attempt, DeadlinePassed(), now)
        return out

    # ---- the coordinator

    def _told(self, message: ToAgent, now: float) -> Outcome:
        match message:
            case TurnedAway(reason):
                return [Note("warning", reason), CloseLink(reason)]
        if refused := refusal(message, self.record, self.incarnation, self._leader):
            note = Note("warning", refused.reason)
            return self._hang_up(refused.reason) if refused.hangs_up else [note]
        self._silence.since_s = now
        match message:
            case Welcome():
                return self._welcomed(message, now)
            case ProposeView(term=term, view=view):
                return self._view_proposed(term, view, now)
            case Ping(seq=seq):
                pong = Tell(words.pong(self, seq, now))
                again = self._storage_again() if seq % REPORT_EVERY_PINGS == 0 else []
                return [pong, *([ObserveGuests()] if self.vms.vms else []), *again]
            case StartVm(vm=vm, epoch=epoch, spec=spec):
                return self.attempts.start(vm, epoch, spec, now)
            case StopVm(vm=vm, epoch=epoch):
                return self._stop(vm, message, now)
            case Reserve():
                return self.attempts.reserve(message, now)
            case Migrate():
                return self.attempts.migrate(message, now)
            case Decided():
                return self.attempts.decided(message, now)
            case SampleWrites():
                return sampling.told(self, message)
            case Arbitrate(cluster=cluster, votes=votes):
                self.carrier.ask(votes, cluster, now)
                return []
            case KeepCopy() | WantCopy():
                return [*self.shelf.told(message, self.carrier, now)]
            case Evicted(cluster=cluster):
                reason = f"Node {self.config.node} was evicted from cluster {cluster}."
                return [*self._persist(forgotten(self.record)), *self._leave(reason)]
            case FailVm(vm=vm) if self.attempts.moves(vm):
                return [Note("warning", f"{vm} is not made to fail: a migration decides about it.")]
            case FailVm(vm=vm):
                return self._stop(vm, message, now, "The coordinator found it failed.")
            case MoveStorage() | StorageDecided():
                return storage_moves.told(self.vms, message)
            case _:
                return self.storage.told(message)

    def _welcomed(self, welcome: Welcome, now: float) -> Outcome:
        """A leader may say it again with other clocks; then nothing else changes."""
        record = self._pledges.retimed(self.record, welcome.timing, now)
        record = replace(record, cluster=welcome.cluster, highest_term=welcome.term)
        # Who knows no cluster may have lost its folder, and have promised by these clocks before.
        if now < self.views.waits_until_s or self.record.cluster is None:
            self.views.wait_until(self._born_s + welcome.timing.outlast_s)
        if welcome.timing != self.record.timing and self.views.adopted is not None:
            view = self.views.adopted
            self.heartbeats.live_by(view, welcome.cluster, welcome.timing, now)
        self.carrier.timing = welcome.timing
        out = self._persist(record)
        if welcome.term != self._leader:
            self._lose_leader()
            self._leader = welcome.term
            out += self.attempts.feed_all(LeaderHeard(), now)
            out += self._storage_again()
        return out

    def _storage_again(self) -> Outcome:
        return [*self.storage.welcomed(), *storage_moves.again(self.vms)]

    def _silent_s(self) -> float:
        """When the leader will have been silent for too long; one that never welcomed this agent
        owes it nothing.
        """
        if self._leader is None:
            return FOREVER
        return self._silence.since_s + silence_max_s(self.record.timing)

    def _leader_watched(self, now: float) -> Outcome:
        if not self._silence.is_over(self._silent_s(), now, self.record.timing.delay_s):
            return []
        silent_s = silence_max_s(self.record.timing)
        return self._hang_up(f"The leader of term {self._leader} was silent for {silent_s:g} s.")

    def _hang_up(self, reason: str) -> Outcome:
        self._lose_leader()
        return [Note("warning", reason), CloseLink(reason)]

    def _lose_leader(self) -> None:
        self._leader = None
        self.views.drop_pending()

    @property
    def is_welcome(self) -> bool:
        return self._leader is not None

    # ---- views and lease

    def _view_proposed(self, term: Term, view: View, now: float) -> Outcome:
        verdict = self.views.propose(term, view, self.heartbeats.promises, self._is_brand_new)
        match verdict:
            case Verdict.PENDING:
                return self._adopt_ready(now)
            case Verdict.ADOPTED:
                return [Tell(words.view_acked(self))]
            case Verdict.LEFT_OUT | Verdict.NOT_IN_YET:
                # A leader shows a view to its members and to those whom it left out, and to nobody
                # else: this life was in one that held, even if its word of that never came.
                return self._leave(f"View {view.number} leaves {self.incarnation} out.")
            case Verdict.DIFFERS:
                return [Note("error", f"View {view.number} is not the one that was acknowledged.")]
            case Verdict.OLD:
                return []

    def _adopt_ready(self, now: float) -> Outcome:
        view = self.views.take_ready(now)
        if view is None:
            return []
        self.heartbeats.promises.forget_old(now)
        self.carrier.live_by(view, words.cluster_of(self), now)
        self.heartbeats.carried_until_s = self.carrier.usable_until_s
        self.heartbeats.live_by(view, words.cluster_of(self), self.record.timing, now)
        record = replace(self.record, view=view.number, votes=view.votes)
        names = ", ".join(member.node for member in view.members)
        note = Note("info", f"Living by view {view.number}: {names}.")
        lived = [*self._persist(record), *self.storage.live_by(view), note]
        return [*lived, Tell(words.view_acked(self)), *self.attempts.live_by(view, now)]

    def _off_s(self) -> float:
        """When guests that are paused for want of a lease are turned off. A node without guests has
        nothing to turn off, and waits for a quorum as it is.
        """
        if not self.vms.has_guests:
            return FOREVER
        return max(self.heartbeats.lease_end_s, self._grace.since_s) + self.record.timing.grace_s

    def _leave(self, reason: str) -> Outcome:
        self._is_over = True
        return [SetLease(NO_LEASE), Note("warning", reason), Rejoin(reason)]

    def _put_lease(self, out: list[Action]) -> None:
        if self.heartbeats.lease_end_s > self._lease_told_s and not self._is_over:
            self._lease_told_s = self.heartbeats.lease_end_s
            out.append(SetLease(self._lease_told_s))

    def _persist(self, record: NodeRecord) -> Outcome:
        if record == self.record:
            return []
        self.record = record
        return [Persist(record)]

    # ---- the witness

    def _witness_answered(self, event: WitnessEvent, now: float) -> Outcome:
        view, reason = self.views.adopted, ""
        did_vouch = view is None or self.carrier.vouches_for(view)
        match event:
            case events.WitnessRead():
                reason = self.carrier.read(event, now)
            case events.WitnessFailed():
                reason = self.carrier.failed(event, now)
            case events.WitnessWritten():
                self.carrier.written(event, now)
        self.heartbeats.carry(self.carrier.usable_until_s, now)
        if reason:
            return [Note("warning", f"The witness cannot be used: {reason}.")]
        if view is not None and not did_vouch and self.carrier.vouches_for(view):
            return [Tell(words.view_acked(self))] if self._leader is not None else []
        return []

    def _put_witness(self, out: list[Action], now: float) -> None:
        """Whoever leads, or wants to, hears of each change, welcomed or not."""
        status = self.carrier.status(now)
        if self._is_over or not self._is_linked or status is None or status == self._witness_told:
            return
        self._witness_told = status
        out.append(Tell(words.witness_changed(self, status)))

    # ---- VMs

    def _vm_failed(self, vm: VmName, reason: str, now: float) -> Outcome:
        if self.vms.is_leaving(vm):
            return []  # it is being destroyed, and that end is heard
        return [*self.vms.failed(vm, reason), *self.attempts.feed_vm(vm, VmLost(reason), now)]

    def _stop(self, vm: VmName, order: StopVm | FailVm, now: float, failure: str = "") -> Outcome:
        out = self.vms.stop(vm, order.epoch, failure)
        if any(isinstance(action, DestroyVm) for action in out):
            reason = f"{vm} is being stopped under epoch {order.epoch}."
            out += self.attempts.feed_vm(vm, VmLost(reason), now)
        return out
