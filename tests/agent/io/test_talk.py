import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from agent.events import Event, PeerLost, PeerSaid
from agent.io import greeting
from agent.io.talk import Talk
from protocol.io.link import Link
from protocol.messages import Abandoned, Ping, RoundEnded
from protocol.names import AttemptId, ClusterId, Term

PATIENCE_S = 10.0
CLOSE_WITHIN_S = 0.1
A = AttemptId(1)
SAID = RoundEnded(A, 0, 5)


@contextlib.asynccontextmanager
async def talking(heard: list[Event]) -> AsyncIterator[tuple[Talk, Link, "asyncio.Task[None]"]]:
    """A talk, the link of its other end, and the task that it runs in."""
    with socket.create_server(("127.88.5.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        there, _ = server.accept()
    for sock in (here, there):
        sock.setblocking(False)
    own = await greeting.conversation(here, "node2")
    own.send_timeout_s = CLOSE_WITHIN_S
    talk = Talk(A, own, heard.append, CLOSE_WITHIN_S)
    link = await greeting.conversation(there, "node1")
    running = asyncio.create_task(talk.run())
    try:
        yield talk, link, running
    finally:
        talk.close()
        await asyncio.wait_for(running, PATIENCE_S)
        await link.close()


async def test_messages_go_both_ways_in_order() -> None:
    heard: list[Event] = []
    async with talking(heard) as (talk, link, _):
        talk.say(SAID)
        talk.say(Abandoned(A, "enough"))
        assert [await link.receive(), await link.receive()] == [SAID, Abandoned(A, "enough")]

        await link.send(SAID)
        await link.close()
    assert heard[0] == PeerSaid(A, SAID)


async def test_the_last_words_are_said_before_it_hangs_up() -> None:
    heard: list[Event] = []
    async with talking(heard) as (talk, link, running):
        talk.say(Abandoned(A, "enough"))
        talk.close()
        await asyncio.wait_for(running, PATIENCE_S)
        assert await link.receive() == Abandoned(A, "enough")
    assert heard == []


async def test_a_peer_that_goes_is_reported_once() -> None:
    heard: list[Event] = []
    async with talking(heard) as (_, link, running):
        await link.close()
        await asyncio.wait_for(running, PATIENCE_S)
    assert heard == [PeerLost(A, "it closed the connection")]


async def test_words_that_are_not_for_a_migration_end_it() -> None:
    heard: list[Event] = []
    async with talking(heard) as (_, link, running):
        await link.send(Ping(ClusterId("c"), Term(1), 1))
        await asyncio.wait_for(running, PATIENCE_S)
    assert heard == [PeerLost(A, "it said Ping, which is not for a migration")]


async def test_a_peer_that_reads_nothing_cannot_keep_it_from_ending() -> None:
    heard: list[Event] = []
    async with talking(heard) as (talk, _, running):
        for _ in range(3000):
            talk.say(Abandoned(A, "x" * 4000))
        await asyncio.sleep(0)
        talk.close()
        await asyncio.wait_for(running, PATIENCE_S)
    assert heard == []
