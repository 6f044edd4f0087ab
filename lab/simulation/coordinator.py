"""A simulated coordinator: the real core, its own way to the store, and a process that may die,
stop or have a rival.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from coordinator import actions, events
from coordinator.config import CoordinatorConfig, Network
from coordinator.core import CoordinatorCore
from coordinator.events import Event, LinkId, RequestId, WorkId
from coordinator.requests import Request, Response
from coordinator.store.interface import Indefinite, Result, Row
from lab.simulation.net import End, Link
from lab.simulation.store import SimStore
from lab.simulation.world import Clock
from protocol.messages import FromAgent

if TYPE_CHECKING:
    from lab.simulation.cluster import SimCluster

ROWS_MAX = 1_000_000
RESTART_S = 5.0
"""After which a coordinator that ended by itself is started again, if none runs."""


class SimCoordinator:
    """The place of a coordinator: its name, its home and its store stay when its process dies."""

    def __init__(
        self, cluster: "SimCluster", name: str, home: str, clock: Clock, store: SimStore
    ) -> None:
        self.cluster = cluster
        self.name = name
        self.home = home
        self.clock = clock
        self.store = store
        self.process: CoordinatorProcess | None = None

    def start(self) -> None:
        if self.process is None:
            self.process = CoordinatorProcess(self)
            self.cluster.tell(f"{self.name} starts")
            self.process.begin()

    def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            self.cluster.tell(f"{self.name} is killed")
            process.die()

    def freeze(self) -> None:
        if self.process is not None:
            self.process.frozen = True

    def thaw(self) -> None:
        if self.process is not None and self.process.frozen:
            self.process.thaw()


class CoordinatorProcess:
    """One life of a coordinator."""

    def __init__(self, place: SimCoordinator) -> None:
        self.place = place
        self.cluster = place.cluster
        self.alive = True
        self.frozen = False
        networks = tuple(
            Network(name, f"10.0.{index}.0/24", 3 if index == 0 else 1, 1000 * (index + 1))
            for index, name in enumerate(self.cluster.networks)
        )
        config = CoordinatorConfig(
            lab="simulated",
            leader=place.name,
            networks=networks,
            wall_offset_s=place.clock.wall_offset_s,
        )
        self.core = CoordinatorCore(config, place.clock.now)
        self._links: dict[LinkId, tuple[Link, End]] = {}
        self._answers: dict[RequestId, Callable[[Response], None]] = {}
        self._last_link = self._last_request = 0
        self._waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._wakes_at = float("inf")
        self._perform: dict[type[Any], Callable[[Any], None]] = {
            actions.TakeTerm: self._take_term,
            actions.Transact: self._transact,
            actions.ReadRows: self._read,
            actions.Send: self._send,
            actions.CloseLink: self._close,
            actions.Answer: self._answer,
            actions.PublishProgress: self._publish,
        }

    # ---- its life

    def begin(self) -> None:
        self._do(self.core.begin(self.place.clock.now))

    def die(self) -> None:
        self.alive = False
        for link, end in self._links.values():
            link.close(end, "the coordinator is gone")

    def thaw(self) -> None:
        self.frozen = False
        calls, self._waiting = self._waiting, []
        for call, args in calls:
            self.soon(call, *args)
        self._schedule()

    def soon(self, call: Callable[..., None], *args: Any) -> None:
        if not self.alive:
            return
        if self.frozen:
            self._waiting.append((call, args))
            self.cluster.held_up[self.place.name] += 1
        else:
            call(*args)

    # ---- events and time

    def feed(self, event: Event) -> None:
        if self.alive:
            self._do(self.core.handle(event, self.place.clock.now))

    def _do(self, orders: Any) -> None:
        for action in orders:
            if not self.alive:
                return  # a crash may come between any two actions
            self._perform[type(action)](action)
        if self.core.deposed:
            self.cluster.world.after(0.5, self.exit)
        self._schedule()

    def exit(self) -> None:
        """Deposed, it is of no more use: its program ends by itself."""
        if self.alive and not self.frozen:
            self.cluster.tell(f"{self.place.name} is deposed and exits")
            self.place.process = None
            self.die()
            self.cluster.world.after(RESTART_S, self.cluster.start_a_coordinator, self.place.name)

    def _schedule(self) -> None:
        at = self.core.wake_at()
        if at < self._wakes_at:
            self._wakes_at = at
            when = self.place.clock.in_world(at) + 1e-6
            self.cluster.world.at(when, self.soon, self._tick, at)

    def _tick(self, planned: float) -> None:
        if planned == self._wakes_at:
            self._wakes_at = float("inf")
            self.feed(events.Tick())

    # ---- agents

    def accept(self, end: End) -> None:
        """A link to an agent stands; nothing is said of it before the agent speaks."""
        self._last_link += 1
        link = LinkId(self._last_link)
        end.receive = functools.partial(self.soon, self._heard, link)
        end.closed = functools.partial(self.soon, self._closed, link)
        self._links[link] = (end.holder[0], end)

    def _heard(self, link: LinkId, message: FromAgent) -> None:
        if link in self._links:
            self.feed(events.Said(link, message))

    def _closed(self, link: LinkId, reason: str) -> None:
        if self._links.pop(link, None) is not None:
            self.feed(events.LinkClosed(link, reason))

    def _send(self, action: actions.Send) -> None:
        if action.link in self._links:
            link, end = self._links[action.link]
            self.cluster.checker.coordinator_says(self.place.name, action.message)
            link.send(end, self.cluster.wire(action.message))

    def _close(self, action: actions.CloseLink) -> None:
        if action.link in self._links:
            link, end = self._links[action.link]
            link.close(end, action.reason)
            self.cluster.world.after(0.0, self.soon, self._closed, action.link, action.reason)

    # ---- operators

    def ask(self, request: Request, answered: Callable[[Response], None]) -> None:
        self._last_request += 1
        number = RequestId(self._last_request)
        self._answers[number] = answered
        self.soon(self.feed, events.Asked(number, request))

    def _answer(self, action: actions.Answer) -> None:
        answered = self._answers.pop(action.request, None)
        if answered is not None:
            answered(action.response)

    def _publish(self, _: actions.PublishProgress) -> None:
        """Nobody watches a simulated console."""

    # ---- the store

    def _take_term(self, action: actions.TakeTerm) -> None:
        told = functools.partial(self._term_taken, action.work)
        self.place.store.take_term(
            action.at_least, self.place.name, functools.partial(self.soon, told)
        )

    def _term_taken(self, work: WorkId, term: int | Indefinite) -> None:
        if isinstance(term, Indefinite):
            self.feed(events.StoreFailed(work, term.reason))
        else:
            self.feed(events.TermTaken(work, term))

    def _transact(self, action: actions.Transact) -> None:
        told = functools.partial(self._answered, action.work)
        self.place.store.submit(action.txn, functools.partial(self.soon, told))

    def _answered(self, work: WorkId, result: Result) -> None:
        self.feed(events.Answered(work, result))

    def _read(self, action: actions.ReadRows) -> None:
        told = functools.partial(self._rows_read, action.work)
        self.place.store.range(action.prefix, functools.partial(self.soon, told), limit=ROWS_MAX)

    def _rows_read(self, work: WorkId, rows: tuple[Row, ...] | Indefinite) -> None:
        if isinstance(rows, Indefinite):
            self.feed(events.StoreFailed(work, rows.reason))
        else:
            self.feed(events.RowsRead(work, rows))
