"""A coordinator's core on a store in memory, and agents that do what they are told, at once.

Nothing here waits: what one says the other hears in the same order, one after the other.
"""

import collections
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from coordinator.actions import Action, Answer, CloseLink, ReadRows, Send, TakeTerm, Transact
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
from coordinator.store.interface import Result
from lab.simulation.store import MemoryStore
from protocol.messages import (
    FromAgent,
)
from protocol.names import (
    NodeName,
    VmName,
)
from tests.coordinator.agent import Scripted
from tests.coordinator.ground import TIMING, config, spec


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

    def sent(self, kind: type) -> list[Send]:
        return [
            action
            for action in self.actions
            if isinstance(action, Send) and isinstance(action.message, kind)
        ]

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
