"""S4 at the source: the connections of an attempt, over the networks in their order."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.actions import Connect
from agent.io import greeting
from agent.io.kept import KEPT_PAGES
from protocol.errors import ClusterError, PeerUnreachable
from protocol.messages import Greeting
from protocol.names import NetworkName

CONNECT_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Streams:
    """All that an attempt needs: the conversation and stream 1 are on `network`.

    `left_out`: networks that were to carry streams, each with why it does not.
    """

    network: NetworkName
    socks: tuple[socket.socket, ...]
    left_out: tuple[str, ...]
    kept: bool = False
    """The target tells on stream 1 which pages it has kept."""


async def open_streams(order: Connect, here: Mapping[NetworkName, str]) -> Streams:
    """On the first network that answers, and if the order says so, the ones behind it, too.

    PeerUnreachable names every network and what became of it.
    """
    there = dict(order.target.endpoint.addresses)
    on_both = [network for network in order.networks if network in there and network in here]
    failures = [f"{name}: not on both nodes" for name in order.networks if name not in on_both]
    for place, network in enumerate(on_both):
        more = on_both[place + 1 :] if order.travel.stripe else []
        try:
            with contextlib.ExitStack() as opened:
                opening = _Opening(order, here, opened)
                async with asyncio.timeout(CONNECT_WITHIN_S):
                    await opening.open(network, range(2))
                left_out = await opening.open_rest([network, *more])
                opened.pop_all()
                out = tuple(failures + left_out)
                return Streams(network, opening.in_order(), out, opening.kept)
        except (ClusterError, TimeoutError) as error:
            failures.append(_said(network, error))
    tried = "; ".join(failures) or "there is no network to try"
    raise PeerUnreachable(f"no connection to {order.target.node} ({tried}).")


class _Opening:
    """The connections that stand so far, by stream; they are closed when `opened` is."""

    def __init__(
        self, order: Connect, here: Mapping[NetworkName, str], opened: contextlib.ExitStack
    ) -> None:
        self._order = order
        self._here = here
        self._there = dict(order.target.endpoint.addresses)
        self._opened = opened
        self._socks: dict[int, socket.socket] = {}
        self.kept = False

    def in_order(self) -> tuple[socket.socket, ...]:
        return tuple(self._socks[stream] for stream in sorted(self._socks))

    async def open(self, network: NetworkName, streams: Iterable[int]) -> None:
        for stream in streams:
            self._socks[stream] = await self._connect(network, stream)

    async def open_rest(self, networks: list[NetworkName]) -> list[str]:
        """The streams behind the first, dealt out to the networks that answer."""
        rest = range(2, self._order.travel.streams + 1)
        tried = list(zip(networks[1:], rest, strict=False))
        ended = await asyncio.gather(
            *(self._try(network, stream) for network, stream in tried), return_exceptions=True
        )
        usable, left_out = [networks[0]], []
        for (network, _), error in zip(tried, ended, strict=True):
            if error is None:
                usable.append(network)
            elif isinstance(error, ClusterError | TimeoutError):
                left_out.append(_said(network, error))
            else:
                raise error
        missing = [stream for stream in rest if stream not in self._socks]
        async with asyncio.timeout(CONNECT_WITHIN_S):
            for stream, network in zip(missing, itertools.cycle(usable), strict=False):
                await self.open(network, [stream])
        return left_out

    async def _try(self, network: NetworkName, stream: int) -> None:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            await self.open(network, [stream])

    async def _connect(self, network: NetworkName, stream: int) -> socket.socket:
        order = self._order
        there = (self._there[network], order.target.endpoint.migration_port)
        words = _greeting(order, stream)
        sock, answer = await greeting.knock(self._here[network], order.target.node, there, words)
        self._opened.enter_context(sock)
        if stream == 1:
            self.kept = order.travel.kept and KEPT_PAGES in answer.capabilities
        return sock


def _said(network: NetworkName, error: BaseException) -> str:
    return f"{network}: {str(error) or 'no answer in time'}"


def _greeting(order: Connect, stream: int) -> Greeting:
    return Greeting(
        order.cluster,
        order.attempt,
        order.vm,
        order.epoch,
        order.source_incarnation,
        order.target.incarnation,
        order.token,
        stream,
        order.travel.streams,
        0,
        (*greeting.CAPABILITIES, *((KEPT_PAGES,) if order.travel.kept else ())),
    )
