"""An agent that does what it is told, at once, and says so."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from protocol.messages import (
    Arbitrate,
    AttemptReport,
    Consented,
    CopyKept,
    CopyOffered,
    Decided,
    Ended,
    Evicted,
    FailVm,
    FromAgent,
    Hello,
    KeepCopy,
    Migrate,
    Part,
    Ping,
    Pong,
    Progress,
    ProposeView,
    Reserve,
    Reserved,
    RoundRecord,
    RouteReport,
    StartVm,
    StopVm,
    ToAgent,
    ViewAcked,
    VmReport,
    VmStarted,
    VmStopped,
    WantCopy,
    Welcome,
    WitnessChanged,
    WitnessStatus,
)
from protocol.names import (
    ClusterId,
    Decision,
    Epoch,
    Hold,
    Incarnation,
    NetworkName,
    NodeName,
    Step,
    Term,
    View,
    ViewNumber,
    VmName,
    VoteConfig,
    WitnessState,
)
from tests.coordinator.ground import MIB, NETWORKS, endpoint


@dataclass
class Register:
    """A witness: who holds it, and what it remembers. A test lets a dead holder's time run out."""

    holder: Incarnation | None = None
    index: int = 0
    view: ViewNumber = ViewNumber(0)
    coming: list[KeepCopy] = field(default_factory=list)
    copy: tuple[KeepCopy, ...] = ()
    """The parts of the newest copy of the database that came whole."""

    full: str = ""
    """Why it takes no copy."""


ROUND = RoundRecord(0, 1000, 10, 4_000_000, 0.01, 5)


@dataclass
class Scripted:
    """An agent that obeys at once. `lives` counts its incarnations; what it says is `said`."""

    name: NodeName
    say: Callable[[FromAgent], None]
    memory_bytes: int = 1024 * MIB
    life: int = 1
    cluster: ClusterId | None = None
    term: Term = Term(0)
    view: View | None = None
    highest_view: ViewNumber = ViewNumber(0)
    vms: dict[VmName, Epoch] = field(default_factory=dict)
    sources: dict[int, Migrate] = field(default_factory=dict)
    targets: dict[int, Reserve] = field(default_factory=dict)
    consented: set[int] = field(default_factory=set)
    prepared: set[int] = field(default_factory=set)
    hears: set[NodeName] = field(default_factory=set)
    broken: set[tuple[NodeName, NetworkName]] = field(default_factory=set)
    """Routes that are down, to nodes that it may hear on other networks."""

    lease_s: float = 5.0
    acks: bool = True
    copies: bool = True
    consents: bool = True
    reserves: bool = True
    ends: bool = True
    witness: Register | None = None
    """None: it cannot reach any."""

    votes: VoteConfig | None = None
    asked_for: int = 0
    prevents: bool = False
    heard: list[ToAgent] = field(default_factory=list)
    left: bool = False
    storage: Callable[["Scripted", ToAgent], None] | None = None
    """What it does with orders about disks, in tests that are about them."""

    @property
    def incarnation(self) -> Incarnation:
        return Incarnation(f"{self.name}-{self.life}")

    @property
    def known(self) -> ClusterId:
        return self.cluster or ClusterId("")

    def reborn(self) -> None:
        self.life += 1
        self.vms.clear()
        self.sources.clear()
        self.targets.clear()
        self.consented.clear()
        self.prepared.clear()
        if self.holds:
            assert self.witness is not None
            self.witness.holder = None
        self.view, self.left = None, False

    @property
    def holds(self) -> bool:
        return self.witness is not None and self.witness.holder == self.incarnation

    def status(self) -> WitnessStatus | None:
        votes = self.votes
        index = max(self.asked_for, 0 if votes is None or votes.witness is None else votes.index)
        if not index:
            return None
        at = self.witness
        if at is None:
            return WitnessStatus(index, WitnessState.UNREACHABLE)
        number = 0 if self.view is None else self.view.number
        state = WitnessState.FREE if at.holder is None else WitnessState.OTHER
        if self.holds:
            state = WitnessState.NEWER if at.view > number else WitnessState.HELD
        return WitnessStatus(index, state, at.index, at.view)

    def arbitrate(self, order: Arbitrate) -> None:
        self.asked_for = order.votes.index
        if self.witness is not None and self.witness.holder is None:
            self.witness.holder = self.incarnation
        if self.holds and self.witness is not None and self.view is not None:
            self.witness.view = max(self.view.number, self.witness.view)
            self.witness.index = max(self.view.votes.index, self.witness.index)
        status = self.status()
        assert status is not None
        self.say(WitnessChanged(self.known, self.term, self.incarnation, status))

    def keep(self, order: KeepCopy) -> None:
        at = self.witness
        assert at is not None
        at.coming = [*(at.coming if order.part else ()), order]
        if len(at.coming) == order.parts and self.holds:
            head = (self.known, self.term, self.incarnation, order.revision)
            if not at.full:
                at.copy = tuple(at.coming)
            self.say(CopyKept(*head, at.full))

    def offer(self, order: WantCopy) -> None:
        head = (order.cluster, order.term, self.incarnation)
        parts = () if self.witness is None else self.witness.copy
        for part in parts:
            self.say(
                CopyOffered(*head, part.term, part.revision, part.part, part.parts, part.content)
            )
        if not parts:
            self.say(CopyOffered(*head, Term(0), 0, 0, 0, b"", "the disk has none"))

    def hello(self) -> Hello:
        return Hello(
            self.name,
            self.incarnation,
            self.cluster,
            self.term,
            self.highest_view,
            self.votes,
            endpoint(self.name),
            self.memory_bytes,
            "software",
            self.reports(),
            tuple(self.attempts()),
            self.status(),
            self.prevents,
        )

    def reports(self) -> tuple[VmReport, ...]:
        return tuple(
            VmReport(vm, epoch, True, Hold.NONE, steps=7) for vm, epoch in sorted(self.vms.items())
        )

    def attempts(self) -> list[AttemptReport]:
        found = []
        for number, order in self.sources.items():
            done = number in self.consented
            step = Step.COMMIT if done else Step.ROUND
            report = AttemptReport(order.attempt, order.vm, order.epoch, True, step, done)
            found.append(report)
        for number, place in self.targets.items():
            step = Step.STORAGE if number in self.prepared else Step.FIRST_ROUND
            report = AttemptReport(place.attempt, place.vm, place.epoch, False, step, False)
            found.append(report)
        return found

    def hear(self, message: ToAgent) -> None:
        self.heard.append(message)
        if self.storage is not None:
            self.storage(self, message)
        head = (self.known, self.term, self.incarnation)
        match message:
            case Welcome():
                self.cluster, self.term = message.cluster, message.term
                for order in list(self.sources.values()):
                    if int(order.attempt) in self.consented:
                        self.consent(order)
            case Ping(seq=seq):
                number = ViewNumber(0) if self.view is None else self.view.number
                routes = tuple(
                    RouteReport(node, network.name, (node, network.name) not in self.broken)
                    for node in sorted(self.hears)
                    for network in NETWORKS
                )
                self.say(
                    Pong(*head, seq, number, self.lease_s, routes, self.reports(), self.status())
                )
            case ProposeView(view=view):
                self.shown(view)
            case Arbitrate():
                self.arbitrate(message)
            case KeepCopy():
                self.keep(message)
            case WantCopy():
                self.offer(message)
            case StartVm(vm=vm, epoch=epoch):
                self.vms[vm] = epoch
                self.say(VmStarted(*head, vm, epoch))
            case FailVm(vm=vm, epoch=epoch):
                self.vms.pop(vm, None)
                self.say(VmStopped(*head, vm, epoch, "told to fail"))
            case StopVm(vm=vm, epoch=epoch):
                if self.vms.get(vm, Epoch(0)) <= epoch:
                    self.vms.pop(vm, None)
                self.say(VmStopped(*head, vm, epoch))
            case Reserve():
                self.targets[message.attempt] = message
                if self.reserves:
                    self.say(Reserved(*head, message.attempt, message.vm, message.epoch))
            case Migrate():
                self.sources[message.attempt] = message
                if self.copies:
                    self.copy(message)
                    if self.consents:
                        self.consent(message)
            case Decided():
                self.decided(message)
            case Evicted():
                self.cluster = None
                self.reborn()

    def shown(self, view: View) -> None:
        mine = view.incarnation_of(self.name)
        if mine == self.incarnation and self.acks:
            self.view, self.highest_view = view, max(view.number, self.highest_view)
            self.votes = view.votes
            acked = ViewAcked(self.known, self.term, self.incarnation, view.number)
            self.say(acked)
            if self.holds and self.witness is not None and view.votes.witness is not None:
                self.witness.view = max(view.number, self.witness.view)
                self.witness.index = max(view.votes.index, self.witness.index)
                self.say(replace(acked, with_witness=True))
        elif mine != self.incarnation and self.view is not None:
            self.left = True

    def copy(self, order: Migrate) -> None:
        head = (self.known, self.term, self.incarnation)
        network = order.networks[0]
        sent = Progress(*head, order.attempt, Step.ROUND, network, 1000, 500, ROUND)
        self.say(sent)

    def consent(self, order: Migrate) -> None:
        self.consented.add(order.attempt)
        head = (self.known, self.term, self.incarnation)
        parts = (Part("pause", 0.001), Part("last pages", 0.002), Part("storage", 0.001))
        said = Consented(
            *head, order.attempt, order.vm, order.epoch, True, 0.0, parts, (ROUND,), "small enough"
        )
        self.say(said)

    def decided(self, decided: Decided) -> None:
        if not self.ends:
            return
        is_source = decided.attempt in self.sources or decided.vm in self.vms
        if decided.attempt in self.targets:
            is_source = False
        self.sources.pop(decided.attempt, None)
        self.targets.pop(decided.attempt, None)
        committed = decided.decision is Decision.COMMITTED
        if is_source and committed:
            self.vms.pop(decided.vm, None)
        elif is_source or committed:
            self.vms[decided.vm] = decided.epoch
        part = Part("commit", 0.003) if is_source else Part("resume", 0.004)
        parts = (part,) if committed else ()
        head = (self.known, self.term, self.incarnation)
        self.say(Ended(*head, decided.attempt, is_source, decided.decision, parts))
