"""A coordinator's core on a store in memory, and agents that do what they are told, at once.

Nothing here waits: what one says the other hears in the same order, one after the other.
"""

import collections
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from coordinator.actions import Action, Answer, CloseLink, ReadRows, Send, TakeTerm, Transact
from coordinator.config import CoordinatorConfig, Network
from coordinator.core import CoordinatorCore
from coordinator.events import (
    Answered,
    Asked,
    Event,
    LinkClosed,
    LinkId,
    RequestId,
    RowsRead,
    Said,
    TermTaken,
    Tick,
)
from coordinator.requests import CreateVm, FormCluster, Request, Response
from coordinator.store import Result
from lab.simstore import MemoryStore
from protocol.messages import (
    AttemptReport,
    Consented,
    Decided,
    Ended,
    FromAgent,
    Hello,
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
    Welcome,
)
from protocol.names import (
    ClusterId,
    Decision,
    Endpoint,
    Epoch,
    Fill,
    Hold,
    Incarnation,
    NetworkName,
    NodeName,
    Step,
    Term,
    Timing,
    View,
    ViewNumber,
    VmName,
    VmSpec,
    Workload,
)

MIB = 1024 * 1024
TIMING = Timing()
NETWORKS = (
    Network(NetworkName("csv"), "127.1.0.0/16", role=1, metric=1000),
    Network(NetworkName("migration"), "127.2.0.0/16", role=1, metric=1100),
    Network(NetworkName("management"), "127.3.0.0/16", role=3, metric=10000),
)
ROUND = RoundRecord(0, 1000, 10, 4_000_000, 0.01, 5)


def spec(memory_bytes: int = 64 * MIB) -> VmSpec:
    return VmSpec(memory_bytes, Workload("idle"), Fill.ZERO, seed=1)


def config(leader: str = "c1") -> CoordinatorConfig:
    return CoordinatorConfig(lab="test", leader=leader, networks=NETWORKS, secret=b"secret")


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
    lease_s: float = 5.0
    acks: bool = True
    copies: bool = True
    consents: bool = True
    reserves: bool = True
    ends: bool = True
    heard: list[ToAgent] = field(default_factory=list)
    left: bool = False

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
        self.view, self.left = None, False

    def hello(self) -> Hello:
        addresses = tuple((network.name, f"{self.name}@{network.name}") for network in NETWORKS)
        return Hello(
            self.name,
            self.incarnation,
            self.cluster,
            self.term,
            self.highest_view,
            None,
            Endpoint(addresses, 3343, 6600),
            self.memory_bytes,
            "software",
            self.reports(),
            tuple(self.attempts()),
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
                    RouteReport(node, network.name, True)
                    for node in sorted(self.hears)
                    for network in NETWORKS
                )
                self.say(Pong(*head, seq, number, self.lease_s, routes, self.reports()))
            case ProposeView(view=view):
                self.shown(view)
            case StartVm(vm=vm, epoch=epoch):
                self.vms[vm] = epoch
                self.say(VmStarted(*head, vm, epoch))
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

    def shown(self, view: View) -> None:
        mine = view.incarnation_of(self.name)
        if mine == self.incarnation and self.acks:
            self.view, self.highest_view = view, max(view.number, self.highest_view)
            self.say(ViewAcked(self.known, self.term, self.incarnation, view.number))
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


class World:
    """One core, one store, and agents. `spoil` may turn a true answer into another."""

    def __init__(self, names: str = "abc", leader: str = "c1", store: MemoryStore | None = None):
        self.store = store or MemoryStore()
        self.now = 100.0
        self.core = CoordinatorCore(config(leader), self.now)
        self.inbox: collections.deque[Event] = collections.deque()
        self.answers: dict[int, Response] = {}
        self.actions: list[Action] = []
        self.links: dict[NodeName, LinkId] = {}
        self.agents: dict[NodeName, Scripted] = {}
        self.spoil: Callable[[Transact, Callable[[], Result]], Result] | None = None
        self._next_link = 0
        self._requests = 0
        for name in names:
            self.add(NodeName(name))

    # ---- agents and links

    def add(self, name: NodeName) -> Scripted:
        def say(message: FromAgent) -> None:
            if name in self.links:
                self.inbox.append(Said(self.links[name], message))

        self.agents[name] = Scripted(name, say)
        return self.agents[name]

    def __getitem__(self, name: str) -> Scripted:
        return self.agents[NodeName(name)]

    def connect(self, *names: str) -> None:
        for name in map(NodeName, names or sorted(self.agents)):
            self._next_link += 1
            self.links[name] = LinkId(self._next_link)
            self.inbox.append(Said(self.links[name], self.agents[name].hello()))
        self.drain()

    def disconnect(self, *names: str) -> None:
        for name in map(NodeName, names):
            link = self.links.pop(name, None)
            if link is not None:
                self.inbox.append(LinkClosed(link, "cut"))
        self.drain()

    def die(self, *names: str) -> None:
        """Nobody hears these nodes any more."""
        for agent in self.agents.values():
            agent.hears -= set(map(NodeName, names))
        self.disconnect(*names)

    def all_hear_all(self) -> None:
        for name, agent in self.agents.items():
            agent.hears = {other for other in self.agents if other != name}

    # ---- time and events

    def begin(self) -> None:
        self.carry(self.core.begin(self.now))
        self.drain()

    def drain(self) -> None:
        for _ in range(100_000):
            if not self.inbox:
                return
            self.carry(self.core.handle(self.inbox.popleft(), self.now))
        raise AssertionError("it never comes to rest")

    def after(self, seconds: float) -> None:
        end = self.now + seconds
        while self.core.wake_at() <= end:
            self.now = max(self.now, self.core.wake_at())
            self.carry(self.core.handle(Tick(), self.now))
            self.drain()
        self.now = end

    def ask_later(self, body: Request) -> None:
        self._requests += 1
        self.inbox.append(Asked(RequestId(self._requests), body))

    def ask(self, body: Request) -> Response | None:
        self.ask_later(body)
        self.drain()
        return self.answers.get(self._requests)

    def carry(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            self.actions.append(action)
            match action:
                case TakeTerm(work, at_least):
                    term = self.store.take_term(at_least, "c")
                    self.inbox.append(TermTaken(work, term))
                case ReadRows(work, prefix):
                    rows = self.store.range(prefix, limit=100_000)
                    self.inbox.append(RowsRead(work, rows))
                case Transact(work):
                    self.inbox.append(Answered(work, self._transact(action)))
                case Send(link, message):
                    for name, at in list(self.links.items()):
                        if at == link:
                            self.agents[name].hear(message)
                case CloseLink(link):
                    for name, at in list(self.links.items()):
                        if at == link:
                            del self.links[name]
                case Answer(request, response):
                    self.answers[request] = response
                case _:
                    pass

    def _transact(self, action: Transact) -> Result:
        def honest() -> Result:
            return self.store.apply(action.txn)

        return honest() if self.spoil is None else self.spoil(action, honest)

    # ---- looking

    def row(self, key: str) -> dict[str, Any]:
        value = self.store.get(key).value
        assert value is not None, f"there is no row {key}"
        return dict(value)

    def events(self) -> list[int]:
        return [int((r.value or {})["id"]) for r in self.store.range("event/", limit=100_000)]

    def vm(self, name: str) -> dict[str, Any]:
        return next(vm for vm in self.core.picture().vms if vm["name"] == name)

    def attempt(self, number: int) -> dict[str, Any]:
        return next(a for a in self.core.picture().attempts if a["attempt"] == number)

    def node(self, name: str) -> dict[str, Any]:
        return next(node for node in self.core.picture().nodes if node["name"] == name)

    def running(self) -> dict[str, list[str]]:
        return {name: sorted(agent.vms) for name, agent in sorted(self.agents.items())}


def formed(names: str = "abc", **agents: Any) -> World:
    """A cluster of `names` whose first view holds."""
    world = World(names)
    for name, changed in agents.items():
        for key, value in changed.items():
            setattr(world[name], key, value)
    world.all_hear_all()
    world.begin()
    world.connect()
    world.ask(FormCluster("test", tuple(map(NodeName, names)), TIMING))
    world.after(1.0)
    return world


def with_vm(world: World, name: str = "sql01", node: str | None = "a", start: bool = True) -> World:
    at = None if node is None else NodeName(node)
    world.ask(CreateVm(VmName(name), spec(), at, start))
    world.after(2.0)
    return world


def another(world: World, leader: str = "c2") -> World:
    """A second coordinator on the same store, which the same agents may call."""
    second = World("", leader, store=world.store)
    second.now = world.now
    for name, agent in world.agents.items():
        copy = replace(agent)

        def say(message: FromAgent, name: NodeName = name) -> None:
            if name in second.links:
                second.inbox.append(Said(second.links[name], message))

        copy.say = say
        second.agents[name] = copy
    return second
