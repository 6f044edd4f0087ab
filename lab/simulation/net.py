"""The network of a simulated lab: datagrams that get lost, and links that stay in order or break.

A cut is per network and direction and says nothing to anybody. What was sent on a link waits for
the cut to heal, as TCP does by sending again, until the sender's patience is over.
"""

import collections
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.simulation.world import World

Way = tuple[str, str, str]
"""Network, sender, receiver."""


@dataclass(slots=True)
class Weather:
    """How datagrams and links behave when nothing is cut."""

    loss: float = 0.0
    duplicates: float = 0.0
    late: float = 0.0
    """How many datagrams take up to `late_s`; they overtake each other then."""

    delay_s: tuple[float, float] = (0.0003, 0.003)
    late_s: float = 3.0
    patience_s: float = 10.0
    """After which a sender takes a link on which nothing is acknowledged for broken; the other end,
    which only listens, needs as long again to find out.
    """


class Network:
    """All networks of the lab. Whoever can receive is a `Host` by name."""

    def __init__(self, world: World, weather: Weather | None = None) -> None:
        self.world = world
        self.weather = weather or Weather()
        self.random = world.stream("network")
        self.drops: Callable[[str, str, str, Any], bool] | None = None
        """Lets a scenario lose chosen datagrams: network, sender, receiver, message."""

        self.lost: collections.Counter[Way] = collections.Counter()
        """What the cuts have really held up or lost, for the proof that they took effect."""

        self.disturbed: collections.Counter[str] = collections.Counter()
        self._cuts: collections.Counter[Way] = collections.Counter()
        self._hosts: dict[str, Callable[[str, Any], None]] = {}
        self._stalled: dict[Link, None] = {}
        """Each link once, in the order in which they were held up."""

    # ---- cuts

    def cut(self, way: Way) -> None:
        """Cuts nest: what two faults cut is whole only when both have healed."""
        self._cuts[way] += 1

    def heal(self, way: Way) -> None:
        assert self._cuts[way] > 0, "a cut heals once"
        self._cuts[way] -= 1
        if not self._cuts[way]:
            del self._cuts[way]
            stalled, self._stalled = self._stalled, {}
            for link in stalled:
                link.go_on()

    def is_cut(self, way: Way) -> bool:
        return bool(self._cuts) and way in self._cuts

    def blocks(self, way: Way) -> bool:
        """Whether something that is under way now meets a cut; if so, the cut took effect."""
        if self._cuts and way in self._cuts:
            self.lost[way] += 1
            return True
        return False

    def stall(self, link: "Link") -> None:
        self._stalled[link] = None

    # ---- datagrams

    def listen(self, host: str, receive: Callable[[str, Any], None]) -> None:
        self._hosts[host] = receive

    def send(self, network: str, sender: str, receiver: str, message: Any) -> None:
        weather, random = self.weather, self.random
        low, high = weather.delay_s
        delay_s = low + (high - low) * random.random()
        chance = random.random()
        if chance < weather.loss:
            self.disturbed["lost"] += 1
            return
        chance -= weather.loss
        if chance < weather.late:
            self.disturbed["late"] += 1
            delay_s += weather.late_s * random.random()
        elif chance < weather.late + weather.duplicates:
            self.disturbed["twice"] += 1
            again_s = delay_s + weather.late_s * random.random()
            self.world.after(again_s, self._arrive, network, sender, receiver, message)
        self.world.after(delay_s, self._arrive, network, sender, receiver, message)

    def _arrive(self, network: str, sender: str, receiver: str, message: Any) -> None:
        if self.blocks((network, sender, receiver)):
            return
        if self.drops is not None and self.drops(network, sender, receiver, message):
            return
        self._hosts[receiver](network, message)


class End:
    """One end of a link: who holds it, and what it does when something comes in or all is over."""

    __slots__ = ("closed", "holder", "host", "is_open", "receive")

    def __init__(
        self, host: str, receive: Callable[[Any], None], closed: Callable[[str], None]
    ) -> None:
        self.host = host
        self.receive = receive
        self.closed = closed
        self.is_open = True
        self.holder: list[Link] = []
        """The link that this is an end of, once it stands."""


class _Way:
    """One direction of a link: what travels, in order, and since when it does not get through."""

    __slots__ = ("arrives_at", "network", "queue", "since", "stalled", "to")

    def __init__(self, network: Way, to: End) -> None:
        self.network = network
        self.to = to
        self.queue: collections.deque[Any] = collections.deque()
        self.arrives_at = 0.0
        self.stalled = False
        self.since = 0.0


class Gone:
    """The last word of a closed end: FIN, or RST where a process was killed."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Link:
    """One TCP connection. Each end hears of the other's end only if the network lets it."""

    __slots__ = ("_net", "_ways", "ends")

    def __init__(self, net: Network, network: str, left: End, right: End) -> None:
        self._net = net
        self.ends = (left, right)
        self._ways = (
            _Way((network, left.host, right.host), right),
            _Way((network, right.host, left.host), left),
        )

    def send(self, end: End, message: Any, takes_s: float = 0.0) -> None:
        """Put `message` behind all that this end has sent; a closed end sends nothing."""
        if not end.is_open:
            return
        way = self._ways[0] if end is self.ends[0] else self._ways[1]
        world, (low, high) = self._net.world, self._net.weather.delay_s
        way.queue.append(message)
        delay_s = low + (high - low) * self._net.random.random()
        way.arrives_at = max(way.arrives_at, world.now + delay_s + takes_s)
        world.at(way.arrives_at, self._deliver, way)

    def close(self, end: End, reason: str = "the other end closed the link") -> None:
        """Close this end; what it sent before still arrives, then the other end hears of it."""
        if end.is_open:
            self.send(end, Gone(reason))
            end.is_open = False

    def _deliver(self, way: _Way) -> None:
        if way.stalled or not way.queue:
            return
        if self._net.blocks(way.network):
            way.stalled, way.since = True, self._net.world.now
            self._net.stall(self)
            self._net.world.after(self._net.weather.patience_s, self._lose_patience, way, way.since)
            return
        message = way.queue.popleft()
        if not way.to.is_open:
            if not isinstance(message, Gone):
                self._refuse(way)
            return
        if isinstance(message, Gone):
            way.to.is_open = False
            way.to.closed(message.reason)
        else:
            way.to.receive(message)

    def _refuse(self, way: _Way) -> None:
        """A machine answers with a reset when the end of a link is gone."""
        back = self._ways[1] if way is self._ways[0] else self._ways[0]
        if back.to.is_open and not any(isinstance(message, Gone) for message in back.queue):
            back.queue.append(Gone("the link was reset"))
            self._net.world.after(0.001, self._deliver, back)

    def go_on(self) -> None:
        """A cut has healed: send again what did not get through."""
        for way in self._ways:
            if way.stalled and not self._net.is_cut(way.network):
                way.stalled = False
                for _ in range(len(way.queue)):
                    self._net.world.after(0.01, self._deliver, way)
            elif way.stalled:
                self._net.stall(self)

    def _lose_patience(self, way: _Way, since: float) -> None:
        """Nothing was acknowledged for too long: the sender's end breaks, the other end knows
        nothing.
        """
        if not way.stalled or way.since != since:
            return
        way.queue.clear()
        sender = self.ends[0] if way is self._ways[0] else self.ends[1]
        self._break(sender, "nothing was acknowledged for too long")
        self._net.world.after(
            self._net.weather.patience_s, self._break, way.to, "nothing was heard for too long"
        )

    def _break(self, end: End, reason: str) -> None:
        if end.is_open:
            end.is_open = False
            end.closed(reason)
