"""One agent's whole mind behind one door: events and the time go in, actions come out."""

from dataclasses import replace

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
from agent.config import AgentConfig
from agent.events import (
    BeatReceived,
    Event,
    GuestObserved,
    GuestPaused,
    GuestResumed,
    LinkDown,
    LinkUp,
    ReserveFailed,
    Tick,
    Told,
    VmCreated,
    VmDestroyed,
    VmFailed,
)
from agent.heartbeat import Heartbeats
from agent.lease import NO_LEASE
from agent.moves import DeadlinePassed, Here, LeaderHeard, VmLost
from agent.views import Verdict, Views
from agent.vms import Outcome, Started, Stopped, Vms
from protocol.messages import (
    Decided,
    Heartbeat,
    Hello,
    Migrate,
    Ping,
    Pong,
    ProposeView,
    Reserve,
    StartVm,
    StopVm,
    ToAgent,
    TurnedAway,
    ViewAcked,
    VmStarted,
    VmStopped,
    Welcome,
)
from protocol.names import ClusterId, Hold, Incarnation, Term, View, ViewNumber, VmName

NO_CLUSTER = ClusterId("")


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
        self.views = Views(config.node, incarnation, record.view, now + record.timing.outlast_s)
        self.vms = Vms()
        self.attempts = Attempts(self.vms, config.memory_bytes, config.limits, self._here)
        self._born_s = now
        self._is_brand_new = record.cluster is None
        self._leader: Term | None = None
        """The term of the leader that has welcomed this agent on the present link."""
        self._lease_told_s = NO_LEASE
        self._is_over = False

    # ---- the door

    def handle(self, event: Event, now: float) -> list[Action]:
        """Everything that changes this agent goes through here."""
        if self._is_over:
            return []
        if type(event) is BeatReceived:
            return self._beat_received(event, now)
        out = self._say(self._handle(event, now))
        self._put_lease(out)
        return out

    def wake_at(self) -> float:
        """When it wants the next `Tick`; infinity if never."""
        if self._is_over:
            return float("inf")
        return min(
            self.heartbeats.next_send_s,
            self.views.ready_s,
            self.attempts.next_deadline_s() if self.attempts.sides else float("inf"),
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
            case LinkUp():
                self._lose_leader()
                return [Tell(self._hello(now))]
            case LinkDown():
                self._lose_leader()
                return []
            case VmCreated(vm):
                return self.vms.created(vm)
            case VmFailed(vm, reason):
                return self._vm_failed(vm, reason, now)
            case VmDestroyed(vm):
                return [*self.vms.destroyed(vm), *self.attempts.feed_vm(vm, event, now)]
            case ReserveFailed(attempt, reason):
                side = self.attempts.sides.get(attempt)
                told = [] if side is None else self.vms.failed(side.order.vm, reason)
                return [*told, *self.attempts.feed(attempt, event, now)]
            case GuestPaused(vm):
                self.vms.paused(event)
                return self.attempts.feed_vm(vm, event, now)
            case GuestResumed(vm):
                self.vms.resumed(event)
                # So that the next report does not tell of a guest that nobody has looked at yet.
                return [ObserveGuests(), *self.attempts.feed_vm(vm, event, now)]
            case GuestObserved():
                self.vms.observed(event)
                return []
            case BeatReceived():
                return [*self._beat_received(event, now)]
            case _:
                return self.attempts.feed(event.attempt, event, now)

    def _time_passed(self, now: float) -> Outcome:
        """After any pause, too: what has run out is seen before anything is said."""
        out: Outcome = [*self._adopt_ready(now), *self.heartbeats.send_due(now)]
        for attempt in self.attempts.overdue(now):
            out += self.attempts.feed(attempt, DeadlinePassed(), now)
        return out

    # ---- the coordinator

    def _told(self, message: ToAgent, now: float) -> Outcome:
        match message:
            case TurnedAway(reason):
                return [Note("warning", reason), CloseLink(reason)]
            case Welcome():
                return self._welcomed(message, now)
        if refusal := self._refusal(message):
            return refusal
        match message:
            case ProposeView(term=term, view=view):
                return self._view_proposed(term, view, now)
            case Ping(seq=seq):
                pong = Tell(self._pong(seq, now))
                return [pong, ObserveGuests()] if self.vms.vms else [pong]
            case StartVm(vm=vm, epoch=epoch, spec=spec):
                return self.vms.start(vm, epoch, spec, self.attempts.moves(vm))
            case StopVm(vm=vm, epoch=epoch):
                return self._stop(vm, message, now)
            case Reserve():
                return self.attempts.reserve(message, now)
            case Migrate():
                return self.attempts.migrate(message, now)
            case Decided():
                return self.attempts.decided(message, now)

    def _welcomed(self, welcome: Welcome, now: float) -> Outcome:
        if welcome.incarnation != self.incarnation:
            return [Note("warning", f"A welcome was for {welcome.incarnation}, another life.")]
        if self.record.cluster not in (None, welcome.cluster):
            return self._hang_up(
                f"The coordinator leads cluster {welcome.cluster}; "
                f"this node is of {self.record.cluster}."
            )
        if welcome.term < self.record.highest_term:
            return self._stale(welcome.term)
        self._lose_leader()
        self._leader = welcome.term
        waits_until_s = self._born_s + welcome.timing.outlast_s
        if self.views.waits_until_s > float("-inf"):
            self.views.waits_until_s = max(self.views.waits_until_s, waits_until_s)
        record = replace(
            self.record,
            cluster=welcome.cluster,
            highest_term=welcome.term,
            timing=welcome.timing,
        )
        return [*self._persist(record), *self.attempts.feed_all(LeaderHeard(), now)]

    def _refusal(self, message: ToAgent) -> Outcome:
        """Why `message` carries no authority here, as actions; empty if it does."""
        assert not isinstance(message, TurnedAway | Welcome)
        if message.cluster != self.record.cluster:
            return self._hang_up(
                f"A {type(message).__name__} was for cluster {message.cluster}; "
                f"this node is of {self.record.cluster or 'none'}."
            )
        if message.term < self.record.highest_term:
            return self._stale(message.term)
        if message.term != self._leader:
            said = type(message).__name__
            return [Note("warning", f"A {said} of term {message.term} came before its welcome.")]
        if isinstance(message, ProposeView | Ping) or message.incarnation == self.incarnation:
            return []
        return [
            Note(
                "warning",
                f"A {type(message).__name__} was for {message.incarnation}, another life.",
            )
        ]

    def _stale(self, term: Term) -> Outcome:
        return self._hang_up(
            f"The coordinator speaks for term {term}; term {self.record.highest_term} was seen."
        )

    def _hang_up(self, reason: str) -> Outcome:
        self._lose_leader()
        return [Note("warning", reason), CloseLink(reason)]

    def _lose_leader(self) -> None:
        self._leader = None
        self.views.drop_pending()

    # ---- views and lease

    def _view_proposed(self, term: Term, view: View, now: float) -> Outcome:
        verdict = self.views.propose(term, view, self.heartbeats.promises, self._is_brand_new)
        match verdict:
            case Verdict.PENDING:
                return self._adopt_ready(now)
            case Verdict.ADOPTED:
                return [Tell(self._view_acked())]
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
        self.heartbeats.live_by(view, self._cluster, self.record.timing, now)
        record = replace(self.record, view=view.number, votes=view.votes)
        names = ", ".join(member.node for member in view.members)
        note = Note("info", f"Living by view {view.number}: {names}.")
        return [*self._persist(record), note, Tell(self._view_acked())]

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

    # ---- VMs

    def _vm_failed(self, vm: VmName, reason: str, now: float) -> Outcome:
        if self.vms.is_leaving(vm):
            return []  # it is being destroyed, and that end is heard
        return [*self.vms.failed(vm, reason), *self.attempts.feed_vm(vm, VmLost(reason), now)]

    def _stop(self, vm: VmName, order: StopVm, now: float) -> Outcome:
        out = self.vms.stop(vm, order.epoch)
        if any(isinstance(action, DestroyVm) for action in out):
            reason = f"{vm} is being stopped under epoch {order.epoch}."
            out += self.attempts.feed_vm(vm, VmLost(reason), now)
        return out

    def _say(self, outcome: Outcome) -> list[Action]:
        """Put what the coordinator has to hear of VMs into words."""
        return [
            self._vm_word(action) if isinstance(action, Started | Stopped) else action
            for action in outcome
        ]

    def _vm_word(self, word: Started | Stopped) -> Tell:
        term, incarnation = self.record.highest_term, self.incarnation
        match word:
            case Started(vm, epoch):
                return Tell(VmStarted(self._cluster, term, incarnation, vm, epoch))
            case Stopped(vm, epoch, reason):
                return Tell(VmStopped(self._cluster, term, incarnation, vm, epoch, reason))

    # ---- what this agent says of itself

    @property
    def _cluster(self) -> ClusterId:
        return self.record.cluster or NO_CLUSTER

    def _here(self, vm: VmName) -> Here:
        here = self.vms.vms.get(vm)
        return Here(
            self._cluster,
            self.record.highest_term,
            self.incarnation,
            self._leader is not None,
            Hold.NONE if here is None else here.holds,
            0 if here is None else here.spec.pages,
            self.config.limits,
        )

    def _hello(self, now: float) -> Hello:
        return Hello(
            self.config.node,
            self.incarnation,
            self.record.cluster,
            self.record.highest_term,
            self.views.number,
            self.record.votes,
            self.config.endpoint,
            self.config.memory_bytes,
            self.config.tracker,
            self.vms.reports(now < self.heartbeats.lease_end_s),
            self.attempts.reports(),
        )

    def _pong(self, seq: int, now: float) -> Pong:
        lease_s = max(0.0, self.heartbeats.lease_end_s - now)
        adopted = self.views.adopted
        return Pong(
            self._cluster,
            self.record.highest_term,
            self.incarnation,
            seq,
            self.views.number if adopted is not None else ViewNumber(0),
            lease_s,
            self.heartbeats.routes(now),
            self.vms.reports(lease_s > 0.0),
        )

    def _view_acked(self) -> ViewAcked:
        return ViewAcked(
            self._cluster, self.record.highest_term, self.incarnation, self.views.number
        )
