"""Post-copy in the simulation: pages that are not there, and a connection over which they come.

A missing page holds nonsense at the target, never zeros: a guest that stepped over it would tear
its wave, which the checker sees.
"""

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from agent import actions, pulls
from agent.events import Event
from agent.pull_order import PullOrder
from agent.pull_words import (
    CountMissing,
    EndGuest,
    MapDrawn,
    MapSent,
    MissingCounted,
    OpenPull,
    PullBroke,
    PullDone,
    PullJoined,
    PullPages,
    PullServed,
    PunchPages,
    SendMap,
    ServePages,
)
from lab.simulation.guest import SimWorker
from lab.simulation.migration import Piece, TargetStreams, numbers, protect
from lab.simulation.net import End, Link
from protocol.messages import MissingPages, RoundRecord
from protocol.names import PAGE_BYTES, AttemptId, NetworkName

if TYPE_CHECKING:
    from lab.simulation.agent import SimAgent

NONSENSE = -1_000_000
LOOK_S = 0.05
"""How often a guest that may stand before a missing page is looked at."""

AGAIN_S = 0.2
ALWAYS_SENT = 1
"""Page 0, the registers, travels before the switch."""


class _Side(abc.ABC):
    """What both ends of a pull have: a worker, and a connection that may be gone."""

    def __init__(self, agent: "SimAgent", attempt: AttemptId, worker: SimWorker) -> None:
        self.agent = agent
        self.attempt = attempt
        self.worker = worker
        self.is_open = True
        self.link: tuple[Link, End] | None = None

    def joins(self) -> End:
        """An end for a new connection; the newest counts."""
        if self.link is not None:
            self.link[0].close(self.link[1], "another has taken its place")
        holder: list[End] = []
        end = End(
            self.agent.node,
            lambda words: self.agent.soon(self._on, holder, self.heard, words),
            lambda reason: self.agent.soon(self._on, holder, self.broken, reason),
        )
        holder.append(end)
        return end

    def _on(self, holder: list[End], call: Callable[[Any], None], what: Any) -> None:
        if self.is_open and self.link is not None and self.link[1] is holder[0]:
            call(what)

    def say(self, *words: Any) -> None:
        if self.link is not None:
            self.link[0].send(self.link[1], words)

    def feed(self, event: Event) -> None:
        if self.is_open:
            self.agent.feed(event)

    @abc.abstractmethod
    def heard(self, words: Any) -> None: ...

    @abc.abstractmethod
    def broken(self, reason: str) -> None: ...

    def close(self, reason: str) -> None:
        self.is_open = False
        if self.link is not None:
            self.link[0].close(self.link[1], reason)


class SimServing(_Side):
    """The source's end: it connects again and again, and sends what is lacking."""

    def __init__(self, agent: "SimAgent", order: actions.Connect, worker: SimWorker) -> None:
        super().__init__(agent, order.attempt, worker)
        self.order = order
        self.round = 0
        self.sent = 0
        self._order = PullOrder(len(worker.pages), push_pages=1)
        self._turn = 0
        self._dial()

    def _dial(self) -> None:
        if not self.is_open or self.link is not None:
            return
        cluster, node = self.agent.cluster, self.order.target.node
        for network in self.order.networks:
            ways = ((network, self.agent.node, node), (network, node, self.agent.node))
            if any([cluster.net.blocks(way) for way in ways]):
                continue
            if (target := cluster.machines[node].agent) is not None:
                target.soon(target.pulls.greeted, self, network)
            break
        self.agent.later(AGAIN_S, self._dial)

    def join(self, link: Link, end: End) -> None:
        """It stands, though this side hears of that a little later."""
        self.link = (link, end)
        self._order.begin_anew()

    def accepted(self) -> None:
        if self.link is not None:
            self.feed(PullJoined(self.attempt))

    def tell(self) -> None:
        broken = PullBroke(self.attempt, "it is not connected.")
        self.feed(broken if self.link is None else PullJoined(self.attempt))

    def heard(self, words: Any) -> None:
        match words:
            case ("lacking", tuple(pages)):
                missing = np.zeros(len(self.worker.pages), np.bool_)
                missing[list(pages)] = True
                for part in pulls.lacking_parts(self.attempt, missing):
                    self._order.told(part.first, part.bitmap, part.is_last)
                self._turn += 1
                self._push(self._turn)
            case ("wanted", int(page)):
                self._order.wanted([page])
            case ("complete",):
                record = RoundRecord(self.round, self.sent, 0, self.sent * PAGE_BYTES, 0.1, 0)
                self.feed(PullServed(self.attempt, record))
            case ("over", str(reason)):
                self.feed(PullBroke(self.attempt, reason, is_over=True))

    def _push(self, turn: int) -> None:
        if not self.is_open or turn != self._turn or not self._order.left or self.link is None:
            return
        for page in self._order.take().tolist():
            self.sent += 1
            self.say("page", page, self.worker.pages[page])
        self.agent.later(1 / self.agent.cluster.pages_per_s, self._push, turn)

    def broken(self, reason: str) -> None:
        self.link = None
        self.feed(PullBroke(self.attempt, reason))
        if self.is_open:
            self.agent.later(AGAIN_S, self._dial)


class SimPulling(_Side):
    """The target's end: it knows what is missing, and puts in place what comes."""

    def __init__(self, agent: "SimAgent", attempt: AttemptId, worker: SimWorker) -> None:
        super().__init__(agent, attempt, worker)
        self.has_begun = False

    @property
    def left(self) -> int:
        return self.worker.missing.bit_count()

    def punch(self, named: int) -> None:
        self.worker.missing |= named
        for page in numbers(named):
            self.worker.pages[page] = NONSENSE

    def join(self, link: Link, end: End) -> None:
        self.link = (link, end)
        if self.has_begun:
            self._ask()

    def begin(self) -> None:
        self.has_begun = True
        self.worker.on_missing = lambda page: self.say("wanted", page)
        if self.link is None:
            self.feed(PullBroke(self.attempt, "it had not connected.", left_pages=self.left))
        else:
            self._ask()
        self._look()

    def _ask(self) -> None:
        self.say("lacking", tuple(numbers(self.worker.missing)))
        self.feed(PullJoined(self.attempt))

    def _look(self) -> None:
        if self.is_open and self.worker.alive and self.worker.missing:
            self.worker.advance()
            self.agent.later(LOOK_S, self._look)

    def heard(self, words: Any) -> None:
        _, page, content = words
        if not self.worker.missing >> page & 1:
            return  # it is there, and the guest may have written it since
        self.worker.advance()
        self.worker.pages[page] = content
        self.worker.missing &= ~(1 << page)
        if not self.worker.missing:
            self.worker.origin = None
            self.agent.cluster.checker.guest_paused(self.worker)  # its wave is whole
            self.say("complete")
            self.feed(PullDone(self.attempt))

    def broken(self, reason: str) -> None:
        self.link = None
        if self.has_begun and self.left:
            self.feed(PullBroke(self.attempt, reason, left_pages=self.left))

    def close(self, reason: str) -> None:
        if self.is_open and self.has_begun and self.left:
            self.say("over", "the target gave up")
        super().close(reason)


class SimPulls:
    """The pulls that one agent takes part in."""

    def __init__(self, agent: "SimAgent") -> None:
        self._agent = agent
        self._orders: dict[AttemptId, actions.Connect] = {}
        self._sides: dict[AttemptId, SimServing | SimPulling] = {}

    def perform(self) -> dict[type[Any], Callable[[Any], None]]:
        return {
            OpenPull: self._open,
            SendMap: self._send_map,
            ServePages: self._serve,
            EndGuest: self._end_guest,
            PunchPages: self._punch,
            CountMissing: self._count,
            PullPages: self._pull,
        }

    def connects(self, order: actions.Connect) -> None:
        self._orders[order.attempt] = order

    # ---- the source

    def _open(self, action: OpenPull) -> None:
        streams = self._agent.streams.get(action.attempt)
        order = self._orders.get(action.attempt)
        if streams is None or order is None:
            return
        self._sides[action.attempt] = SimServing(self._agent, order, streams.worker)
        parts = self._parts(action.attempt, streams.worker.dirty, streams.worker)
        self._agent.later(0.001, self._agent.feed, MapDrawn(action.attempt, parts))

    def _send_map(self, action: SendMap) -> None:
        serving = self._sides.get(action.attempt)
        streams = self._agent.streams.get(action.attempt)
        if not isinstance(serving, SimServing) or streams is None or not streams.worker.alive:
            return
        worker = streams.worker
        worker.advance()
        unsent = protect(worker)
        serving.round = action.round + 1
        first = tuple((page, worker.pages[page]) for page in numbers(unsent & ALWAYS_SENT))
        streams.send(Piece(action.round, first))
        missing = unsent & ~ALWAYS_SENT
        count = missing.bit_count()
        record = RoundRecord(action.round, len(first), 0, len(first) * PAGE_BYTES, 0.001, count)
        self._agent.cluster.checker.source_sent_all(action.attempt, worker)
        parts = self._parts(action.attempt, missing, worker)
        sent = MapSent(action.attempt, record, parts, count)
        self._agent.later(0.001, self._agent.feed, sent)

    def _parts(self, attempt: AttemptId, mask: int, worker: SimWorker) -> tuple[MissingPages, ...]:
        missing = np.zeros(len(worker.pages), np.bool_)
        missing[numbers(mask & ~ALWAYS_SENT)] = True
        return pulls.missing_parts(attempt, missing)

    def _serve(self, action: ServePages) -> None:
        serving = self._sides.get(action.attempt)
        if isinstance(serving, SimServing):
            self._agent.later(0.0, serving.tell)

    def _end_guest(self, action: EndGuest) -> None:
        worker = self._agent.vms.worker(action.vm)
        if worker is not None:
            self._agent.machine.end(worker)

    # ---- the target

    def _pulling(self, attempt: AttemptId) -> SimPulling | None:
        streams = self._agent.streams.get(attempt)
        side = self._sides.get(attempt)
        if side is None and isinstance(streams, TargetStreams):
            side = self._sides[attempt] = SimPulling(self._agent, attempt, streams.worker)
        return side if isinstance(side, SimPulling) else None

    def _punch(self, action: PunchPages) -> None:
        pulling = self._pulling(action.attempt)
        if pulling is None or not pulling.worker.alive:
            return
        missing = np.zeros(len(pulling.worker.pages), np.bool_)
        named = pulls.mark(missing, action.first, action.bitmap)
        pulling.punch(sum(1 << int(page) for page in np.flatnonzero(named)))

    def _count(self, action: CountMissing) -> None:
        pulling = self._pulling(action.attempt)
        if pulling is not None:
            counted = MissingCounted(action.attempt, pulling.left)
            self._agent.later(0.001, self._agent.feed, counted)

    def _pull(self, action: PullPages) -> None:
        pulling = self._pulling(action.attempt)
        if pulling is not None:
            pulling.worker.origin = self._agent.cluster.checker.sources.get(action.attempt)
            self._agent.later(0.0, pulling.begin)

    def greeted(self, source: SimServing, network: NetworkName) -> None:
        """A source knocks, for the first time or again."""
        order, cluster = source.order, self._agent.cluster
        pulling = self._pulling(order.attempt)
        if (
            pulling is None
            or not pulling.is_open
            or source.link is not None
            or not source.is_open
            or order.target.incarnation != self._agent.incarnation
        ):
            return
        theirs, mine = source.joins(), pulling.joins()
        link = Link(cluster.net, network, theirs, mine)
        source.join(link, theirs)
        pulling.join(link, mine)
        cluster.world.after(0.002, source.agent.soon, source.accepted)

    # ---- the end

    def close(self, attempt: AttemptId, reason: str = "the attempt is closed") -> None:
        self._orders.pop(attempt, None)
        side = self._sides.pop(attempt, None)
        if side is not None:
            side.close(reason)

    def die(self) -> None:
        for side in self._sides.values():
            _Side.close(side, "the other end is gone")
