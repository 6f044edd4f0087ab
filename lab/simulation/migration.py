"""The data plane of simulated migrations: pages travel in pieces, after they were protected and
before they are told of.

A piece holds what a page is when it is copied, which may be later than it was protected: a page
that was written in between is dirty again and travels once more.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent import actions, events
from lab.simulation.guest import SimWorker
from lab.simulation.net import End, Link
from protocol.messages import MigrationMessage, RoundEnded, RoundRecord
from protocol.names import PAGE_BYTES, AttemptId, NetworkName, Verify

if TYPE_CHECKING:
    from lab.simulation.agent import SimAgent

DIAL_S = 1.0
"""After which a connection that gets no answer is tried on the next network."""

PIECES = 4
"""In how many pieces a round travels."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some pages of a round, with what was on them when they were copied."""

    round: int
    pages: tuple[tuple[int, int], ...]


def digest(worker: SimWorker, verify: Verify) -> bytes:
    if verify is Verify.OFF:
        return b""
    return hashlib.blake2b(repr(worker.pages).encode(), digest_size=8).digest()


def protect(worker: SimWorker) -> int:
    """The pages written since the last time, as bits; from now on the next ones are gathered."""
    taken, worker.dirty = worker.dirty, 0
    return taken


def numbers(mask: int) -> list[int]:
    return [index for index in range(mask.bit_length()) if mask >> index & 1]


class Streams:
    """Both connections of one attempt at one end: the conversation, and the pages."""

    def __init__(self, agent: "SimAgent", attempt: AttemptId, worker: SimWorker) -> None:
        self.agent = agent
        self.attempt = attempt
        self.worker = worker
        self.is_open = True
        self._talk: tuple[Link, End] | None = None
        self._data: tuple[Link, End] | None = None

    def join(self, network: NetworkName, other: "Streams") -> None:
        """Both connections stand."""
        net = self.agent.cluster.net
        for name in ("_talk", "_data"):
            mine, theirs = self._end(name), other._end(name)
            link = Link(net, network, mine, theirs)
            setattr(self, name, (link, mine))
            setattr(other, name, (link, theirs))

    def _end(self, name: str) -> End:
        heard = self.heard if name == "_talk" else self.landed
        receive = _later(self.agent, heard)
        return End(self.agent.node, receive, _later(self.agent, self.broken))

    def say(self, message: MigrationMessage) -> None:
        if self._talk is not None:
            self._talk[0].send(self._talk[1], self.agent.cluster.wire(message))

    def send(self, piece: Piece) -> None:
        if self._data is not None:
            self._data[0].send(self._data[1], piece)

    def heard(self, message: MigrationMessage) -> None:
        if self.is_open:
            self.agent.feed(events.PeerSaid(self.attempt, message))

    def landed(self, piece: Piece) -> None:
        """Pages came in; only a target expects them."""

    def broken(self, reason: str) -> None:
        if self.is_open:
            self.close(reason)
            self.agent.feed(events.PeerLost(self.attempt, reason))

    def close(self, reason: str = "the other end closed the migration") -> None:
        self.is_open = False
        for stream in (self._talk, self._data):
            if stream is not None:
                stream[0].close(stream[1], reason)


def _later(agent: "SimAgent", call: Callable[[Any], None]) -> Callable[[Any], None]:
    return lambda what: agent.soon(call, what)


class SourceStreams(Streams):
    """The end that has the guest."""

    def connect(self, order: actions.Connect) -> None:
        """S4: try the networks in their order."""
        self._try(order, 0)

    def _try(self, order: actions.Connect, index: int) -> None:
        if not self.is_open or not self.agent.alive:
            return
        if index == len(order.networks):
            self.broken("no network leads to the target")
            return
        cluster, network = self.agent.cluster, order.networks[index]
        ways = (
            (network, self.agent.node, order.target.node),
            (network, order.target.node, self.agent.node),
        )
        if any([cluster.net.blocks(way) for way in ways]):
            self.agent.later(DIAL_S, self._try, order, index + 1)
            return
        target = cluster.machines[order.target.node].agent
        if target is None:
            self.agent.later(0.01, self._try, order, index + 1)
            return
        cluster.world.after(0.002, target.soon, target.greeted, order, network, self)

    def accepted(self, network: NetworkName) -> None:
        if self.is_open:
            self.agent.feed(events.Connected(self.attempt, network))

    def send_round(self, number: int, rate_bytes_per_s: int) -> None:
        self._pace(rate_bytes_per_s)
        self.worker.advance()
        mask = protect(self.worker)
        if number == 0:
            mask = (1 << len(self.worker.pages)) - 1
        self._go_on(number, numbers(mask), 0, self.agent.cluster.world.now, None)

    def _pace(self, rate_bytes_per_s: int) -> None:
        wire = self.agent.cluster.pages_per_s
        self._pages_per_s = min(wire, rate_bytes_per_s / PAGE_BYTES) if rate_bytes_per_s else wire

    def send_last(self, number: int, verify: Verify, rate_bytes_per_s: int) -> None:
        self._pace(rate_bytes_per_s)
        self.worker.advance()
        todo = numbers(protect(self.worker))
        self._go_on(number, todo, 0, self.agent.cluster.world.now, verify)

    def _go_on(
        self, number: int, todo: list[int], done: int, began: float, verify: Verify | None
    ) -> None:
        if not self.is_open or not self.worker.alive:
            return
        if done < len(todo):
            self.worker.advance()
            piece = todo[done : done + max(1, -(-len(todo) // PIECES))]
            pages = self.worker.pages
            self.send(Piece(number, tuple((index, pages[index]) for index in piece)))
            takes_s = len(piece) / self._pages_per_s
            self.agent.later(takes_s, self._go_on, number, todo, done + len(piece), began, verify)
            return
        self.worker.advance()
        record = RoundRecord(
            number,
            len(todo),
            0,
            len(todo) * PAGE_BYTES,
            self.agent.cluster.world.now - began,
            self.worker.dirty.bit_count(),
            throttle=self.worker.throttle,
        )
        if verify is None:
            self.agent.feed(events.RoundSent(self.attempt, record))
        else:
            self.agent.cluster.checker.source_sent_all(self.attempt, self.worker)
            proof = digest(self.worker, verify)
            self.agent.feed(events.LastPagesSent(self.attempt, record, proof, 0.001))


@dataclass(slots=True)
class Arrived:
    """How much of a round is here, and how much there is."""

    pages: int = 0
    told: int | None = None


@dataclass(slots=True)
class Expected:
    """What a source must show to be let in."""

    order: actions.Reserve
    rounds: dict[int, Arrived] = field(default_factory=dict)


class TargetStreams(Streams):
    """The end that gets the guest."""

    def __init__(self, agent: "SimAgent", order: actions.Reserve, worker: SimWorker) -> None:
        super().__init__(agent, order.attempt, worker)
        self.expected = Expected(order)
        self.is_taken = False

    def admits(self, order: actions.Connect) -> bool:
        """Whether the source that connects is the one this place was made for."""
        mine = self.expected.order
        return (
            self.is_open
            and not self.is_taken
            and (order.token, order.epoch, order.vm) == (mine.token, mine.epoch, mine.vm)
            and order.source_incarnation == mine.source_incarnation
        )

    def landed(self, piece: Piece) -> None:
        if not self.is_open:
            return
        for index, content in piece.pages:
            self.worker.pages[index] = content
        self.worker.is_cold = False
        arrived = self.expected.rounds.setdefault(piece.round, Arrived())
        arrived.pages += len(piece.pages)
        self._tell_if_all(piece.round, arrived)

    def heard(self, message: MigrationMessage) -> None:
        if isinstance(message, RoundEnded):
            arrived = self.expected.rounds.setdefault(message.round, Arrived())
            arrived.told = message.pages
            self._tell_if_all(message.round, arrived)
        else:
            super().heard(message)

    def _tell_if_all(self, number: int, arrived: Arrived) -> None:
        if arrived.pages == arrived.told and self.is_open:
            self.agent.feed(events.RoundLanded(self.attempt, number, arrived.pages))
