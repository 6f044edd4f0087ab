"""Control links without nodes behind them: they speak an agent's protocol, and decide nothing.

Many of them live on one loop. They keep no promise, so they are good for load alone: whoever asks
one for support gets it, and a VM that it is told to start runs at once, and nowhere.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from agent.io.beats import Beats
from lab.evidence import boottime
from protocol.errors import PeerUnreachable
from protocol.io.link import Link, open_link
from protocol.messages import (
    Heartbeat,
    HeartbeatAnswer,
    HeartbeatMessage,
    Hello,
    Message,
    Ping,
    Pong,
    ProposeView,
    RouteReport,
    StartVm,
    StopVm,
    ViewAcked,
    VmReport,
    VmStarted,
    VmStopped,
    Welcome,
)
from protocol.names import (
    ClusterId,
    Endpoint,
    Hold,
    Incarnation,
    NetworkName,
    NodeName,
    Term,
    Timing,
    View,
    ViewNumber,
    VmName,
)

NO_VIEW = ViewNumber(0)


@dataclass(frozen=True, slots=True)
class Place:
    """A node that only exists on its control link: its name and its address on each network."""

    node: NodeName
    addresses: Mapping[NetworkName, str]


class SyntheticAgent:
    """One control link, and the heartbeats that the real agents need to believe in a node."""

    def __init__(self, place: Place, kin: frozenset[NodeName], memory_bytes: int) -> None:
        """`kin`: the others of its kind, which it takes for heard without a heartbeat."""
        self.incarnation = Incarnation(f"{place.node}-synthetic")
        self.views: list[ViewNumber] = []
        """What it was shown, in this order."""

        self._place = place
        self._kin = kin
        self._memory_bytes = memory_bytes
        self._beats = Beats(self._heard)
        self._cluster, self._term, self._timing = ClusterId(""), Term(0), Timing()
        self._view: View | None = None
        self._heard_at: dict[tuple[NodeName, NetworkName], float] = {}
        self._vms: dict[VmName, VmReport] = {}
        self._seq = itertools.count(1)

    async def run(self, coordinator: Mapping[NetworkName, tuple[str, int]]) -> None:
        """Connect on the first network that both are on, and answer until the link ends."""
        await self._beats.listen(self._place.addresses, 0)
        network = next(name for name in self._place.addresses if name in coordinator)
        host, port = coordinator[network]
        link = await open_link(host, port, local_addr=self._place.addresses[network])
        beating = asyncio.create_task(self._beat())
        try:
            await link.send(self._hello())
            async for message in link:
                await self._told(link, message)
        except PeerUnreachable:
            return  # the coordinator has ended, and so does the measurement
        finally:
            beating.cancel()
            self._beats.close()
            await link.close()

    # ---- the control link

    def _hello(self) -> Hello:
        endpoint = Endpoint(tuple(self._place.addresses.items()), self._beats.port, 1)
        node, memory_bytes = self._place.node, self._memory_bytes
        return Hello(
            node, self.incarnation, None, Term(0), NO_VIEW, None, endpoint, memory_bytes, "none"
        )

    async def _told(self, link: Link, message: Message) -> None:
        match message:
            case Welcome(cluster, term, _, timing):
                self._cluster, self._term, self._timing = cluster, term, timing
            case ProposeView(cluster, term, view):
                self._view = view
                self.views.append(view.number)
                await link.send(ViewAcked(cluster, term, self.incarnation, view.number))
            case Ping(_, term, seq):
                self._term = term
                await link.send(self._pong(seq))
            case StartVm(cluster, term, _, vm, epoch):
                self._vms[vm] = VmReport(vm, epoch, True, Hold.NONE)
                await link.send(VmStarted(cluster, term, self.incarnation, vm, epoch))
            case StopVm(cluster, term, _, vm, epoch):
                self._vms.pop(vm, None)
                await link.send(VmStopped(cluster, term, self.incarnation, vm, epoch))

    def _pong(self, seq: int) -> Pong:
        now = boottime()
        members = () if self._view is None else self._view.members
        routes = tuple(
            RouteReport(member.node, network, self._is_up(member.node, network, now))
            for member in members
            for network, _ in member.endpoint.addresses
            if member.node != self._place.node
        )
        return Pong(
            self._cluster,
            self._term,
            self.incarnation,
            seq,
            NO_VIEW if self._view is None else self._view.number,
            self._timing.support_s,
            routes,
            tuple(self._vms.values()),
        )

    def _is_up(self, node: NodeName, network: NetworkName, now: float) -> bool:
        if node in self._kin:
            return True
        return now - self._heard_at.get((node, network), -1e9) <= self._timing.support_s

    # ---- heartbeats

    def _heard(self, network: NetworkName, message: HeartbeatMessage) -> None:
        if not isinstance(message, Heartbeat) or self._view is None:
            return
        self._heard_at[(message.sender, network)] = boottime()
        for member in self._view.members:
            if member.node == message.sender:
                address = dict(member.endpoint.addresses)[network]
                answer = HeartbeatAnswer(
                    self._cluster,
                    self._place.node,
                    self.incarnation,
                    message.sender,
                    message.incarnation,
                    message.seq,
                    self._view.number,
                    self._view.votes.index,
                    self._timing.support_s,
                )
                self._beats.send(network, address, member.endpoint.heartbeat_port, answer)

    async def _beat(self) -> None:
        """To the real agents only, in turns that are spread over the delay."""
        while True:
            routes = [] if self._view is None else self._routes(self._view)
            for route in routes:
                self._send_beat(*route)
                await asyncio.sleep(self._timing.delay_s / len(routes))
            if not routes:
                await asyncio.sleep(self._timing.delay_s / 10)

    def _routes(self, view: View) -> list[tuple[NodeName, NetworkName, str, int]]:
        return [
            (member.node, network, address, member.endpoint.heartbeat_port)
            for member in view.members
            for network, address in member.endpoint.addresses
            if member.node not in self._kin and member.node != self._place.node
        ]

    def _send_beat(self, node: NodeName, network: NetworkName, address: str, port: int) -> None:
        assert self._view is not None
        hears = self._is_up(node, network, boottime())
        beat = Heartbeat(
            self._cluster,
            self._place.node,
            self.incarnation,
            node,
            next(self._seq),
            hears,
            self._view.number,
        )
        self._beats.send(network, address, port, beat)


@contextlib.asynccontextmanager
async def linked(
    places: Sequence[Place],
    coordinator: Mapping[NetworkName, tuple[str, int]],
    memory_bytes: int,
) -> AsyncIterator[tuple[SyntheticAgent, ...]]:
    """All of them, linked to the coordinator until the context ends."""
    names = frozenset(place.node for place in places)
    agents = tuple(SyntheticAgent(place, names, memory_bytes) for place in places)
    tasks = [asyncio.create_task(agent.run(coordinator)) for agent in agents]
    try:
        yield agents
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
