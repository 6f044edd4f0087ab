"""Over which networks the streams of an attempt stand, with a target that only greets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from agent.actions import Connect
from agent.io import greeting
from agent.io.connecting import Streams, open_streams
from protocol.errors import PeerUnreachable
from protocol.messages import Abandoned, Greeted, Greeting
from protocol.names import Endpoint, Member, NetworkName, NodeName
from protocol.travel import Travel
from tests.agent.io.machine import CLUSTER, HERE, THERE, TOKEN, VM, A, E

NETWORKS = tuple(map(NetworkName, ("fast", "spare", "slow")))
OURS = dict(zip(NETWORKS, ("127.89.1.1", "127.89.2.1", "127.89.3.1"), strict=True))
THEIRS = dict(zip(NETWORKS, ("127.89.1.2", "127.89.2.2", "127.89.3.2"), strict=True))


@asynccontextmanager
async def greeter(networks: Sequence[str], refused: str = "") -> AsyncIterator[int]:
    """Greets on these networks, the same port on each, and turns all away on `refused`."""
    loop = asyncio.get_running_loop()
    port, listeners, jobs, heard = 0, [], [], []
    for name in networks:
        listener = socket.create_server((THEIRS[NetworkName(name)], port))
        listener.setblocking(False)
        port = listener.getsockname()[1]
        listeners.append(listener)

    async def greet(listener: socket.socket, turns_away: bool) -> None:
        while True:
            sock, _ = await loop.sock_accept(listener)
            heard.append(sock)
            said = await greeting.hear_one(sock, Greeting)
            away = Abandoned(said.attempt, "no room") if turns_away else None
            await greeting.say(sock, away or Greeted(said.attempt, said.stream, ()))

    for name, listener in zip(networks, listeners, strict=True):
        jobs.append(asyncio.create_task(greet(listener, name == refused)))
    try:
        yield port
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        for sock in (*listeners, *heard):
            sock.close()


def order_of(port: int, travel: Travel) -> Connect:
    endpoint = Endpoint(tuple(THEIRS.items()), 1, port)
    target = Member(NodeName("node2"), THERE, endpoint)
    return Connect(CLUSTER, A, VM, E, HERE, target, NETWORKS, TOKEN, travel)


def networks_of(streams: Streams) -> list[str]:
    """Where each stream goes, the conversation first; they are closed afterwards."""
    names = {address: name for name, address in THEIRS.items()}
    found = [str(names[sock.getpeername()[0]]) for sock in streams.socks]
    for sock in streams.socks:
        sock.close()
    return found


async def test_streams_stay_on_the_first_network_unless_they_are_to_be_striped() -> None:
    async with greeter(NETWORKS) as port:
        streams = await open_streams(order_of(port, Travel(streams=3)), OURS)

        assert streams.network == "fast"
        assert networks_of(streams) == ["fast"] * 4


async def test_striped_streams_are_dealt_out_in_the_order_of_preference() -> None:
    async with greeter(NETWORKS) as port:
        streams = await open_streams(order_of(port, Travel(streams=5, stripe=True)), OURS)

        assert streams.left_out == ()
        assert networks_of(streams) == ["fast", "fast", "spare", "slow", "fast", "spare"]


async def test_a_network_that_does_not_answer_is_left_out_with_a_reason() -> None:
    async with greeter(("fast", "slow")) as port:
        streams = await open_streams(order_of(port, Travel(streams=4, stripe=True)), OURS)

        assert len(streams.left_out) == 1
        assert streams.left_out[0].startswith("spare: ")
        assert networks_of(streams) == ["fast", "fast", "fast", "slow", "slow"]


async def test_a_network_that_turns_streams_away_carries_none() -> None:
    async with greeter(NETWORKS, refused="slow") as port:
        streams = await open_streams(order_of(port, Travel(streams=3, stripe=True)), OURS)

        assert streams.left_out == ("slow: node2 refused: no room",)
        assert networks_of(streams) == ["fast", "fast", "spare", "fast"]


async def test_the_next_network_carries_all_where_the_first_is_dead() -> None:
    async with greeter(("spare", "slow")) as port:
        streams = await open_streams(order_of(port, Travel(streams=2, stripe=True)), OURS)

        assert streams.network == "spare"
        assert streams.left_out[0].startswith("fast: ")
        assert networks_of(streams) == ["spare", "spare", "slow"]


async def test_where_nobody_answers_every_network_is_named() -> None:
    async with greeter(("fast",), refused="fast") as port:
        with pytest.raises(PeerUnreachable) as error:
            await open_streams(order_of(port, Travel(streams=2, stripe=True)), OURS)

    for part in ("fast: node2 refused: no room", "spare: ", "slow: "):
        assert part in str(error.value)
