import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from agent.events import Event, LinkDown, LinkUp, Told
from agent.io.coordinator import UNSENT_MAX, ControlLink
from agent.search import GATHERING_S
from protocol.io.link import Link, serve_links
from protocol.messages import (
    Heartbeat,
    Hello,
    Message,
    Ping,
    TurnedAway,
    Welcome,
)
from protocol.names import (
    ClusterId,
    Endpoint,
    Incarnation,
    NetworkName,
    NodeName,
    Term,
    Timing,
    ViewNumber,
)

PATIENCE_S = 20.0
HERE, THERE = "127.88.6.1", "127.88.6.250"
ENDPOINT = Endpoint(((NetworkName("lan"), HERE),), 1, 2)
HELLO = Hello(
    *(NodeName("node1"), Incarnation("a"), None, Term(0), ViewNumber(0), None, ENDPOINT, 4096),
    tracker="map",
)


class Coordinator:
    """Accepts links and lets the test talk on the newest."""

    def __init__(self) -> None:
        self.links: asyncio.Queue[Link] = asyncio.Queue()

    async def serve(self, link: Link) -> None:
        self.links.put_nowait(link)
        await asyncio.Event().wait()

    async def link(self) -> Link:
        return await asyncio.wait_for(self.links.get(), PATIENCE_S)


class Agent:
    def __init__(self, *addresses: tuple[str, str, int]) -> None:
        self.heard: asyncio.Queue[Event] = asyncio.Queue()
        self.link = ControlLink(addresses, self._heard)
        self.running = asyncio.create_task(self.link.run())

    def _heard(self, event: Event) -> None:
        self.heard.put_nowait(event)
        if isinstance(event, LinkUp):
            self.link.tell(HELLO)

    async def next(self) -> Event:
        return await asyncio.wait_for(self.heard.get(), PATIENCE_S)


@contextlib.asynccontextmanager
async def both(*before: tuple[str, str, int]) -> AsyncIterator[tuple[Agent, Coordinator]]:
    """An agent that tries the addresses `before`, then its coordinator's."""
    coordinator = Coordinator()
    async with await serve_links(THERE, 0, coordinator.serve) as server:
        agent = Agent(*before, (HERE, THERE, server.port))
        try:
            yield agent, coordinator
        finally:
            agent.running.cancel()
            await asyncio.gather(agent.running, return_exceptions=True)


async def said(link: Link) -> Message:
    return await asyncio.wait_for(link.receive(), PATIENCE_S)


async def test_it_connects_from_its_own_address_and_carries_both_ways() -> None:
    async with both() as (agent, coordinator):
        link = await coordinator.link()
        assert await agent.next() == LinkUp()
        assert link.peer.startswith(HERE)
        assert await said(link) == HELLO

        ping = Ping(ClusterId("c"), Term(1), 1)
        await link.send(ping)
        assert await agent.next() == Told(ping)


async def test_a_link_that_ends_is_told_and_made_again() -> None:
    async with both() as (agent, coordinator):
        first = await coordinator.link()
        assert await agent.next() == LinkUp()

        await first.close()

        assert await agent.next() == LinkDown("the coordinator closed the link")
        assert await agent.next() == LinkUp()
        assert await said(await coordinator.link()) == HELLO


async def test_an_address_where_nobody_is_costs_no_more_than_a_try() -> None:
    async with both((HERE, "127.88.6.249", 9)) as (agent, coordinator):
        await coordinator.link()
        assert await agent.next() == LinkUp()


async def test_words_that_no_coordinator_says_end_the_link() -> None:
    async with both() as (agent, coordinator):
        link = await coordinator.link()
        await agent.next()
        beat = Heartbeat(
            *(ClusterId("c"), NodeName("node2"), Incarnation("b"), NodeName("node1"), 1),
            hears=True,
            view=ViewNumber(1),
        )
        await link.send(beat)
        down = await agent.next()
        assert isinstance(down, LinkDown)
        assert "Heartbeat" in down.reason


async def test_hanging_up_ends_this_link_and_the_next_one_is_new() -> None:
    async with both() as (agent, coordinator):
        await coordinator.link()
        await agent.next()

        agent.link.hang_up()

        assert await agent.next() == LinkDown("this node hung up")
        assert await agent.next() == LinkUp()
        link = await coordinator.link()
        await link.send(TurnedAway("go"))
        assert await agent.next() == Told(TurnedAway("go"))


async def test_a_coordinator_that_does_not_read_is_hung_up_on() -> None:
    async with both() as (agent, coordinator):
        await coordinator.link()
        await agent.next()

        for _ in range(UNSENT_MAX + 1):
            agent.link.tell(HELLO)

        assert await agent.next() == LinkDown("this node hung up")
        assert await agent.next() == LinkUp()


async def test_what_is_told_without_a_link_is_lost() -> None:
    async with both() as (agent, coordinator):
        agent.link.tell(HELLO)
        agent.link.hang_up()
        link = await coordinator.link()
        assert await agent.next() == LinkUp()
        assert await said(link) == HELLO
        assert agent.heard.empty()


class Turning(Coordinator):
    """One that follows: it hears the agent out and sends it on."""

    async def serve(self, link: Link) -> None:
        await link.receive()
        await link.send(TurnedAway("c2 leads."))


async def test_a_coordinator_that_follows_is_left_for_the_next_at_once() -> None:
    async with await serve_links("127.88.6.249", 0, Turning().serve) as follower:
        async with both((HERE, "127.88.6.249", follower.port)) as (agent, coordinator):
            assert await agent.next() == LinkUp()
            assert await agent.next() == Told(TurnedAway("c2 leads."))
            assert isinstance(await agent.next(), LinkDown)
            await coordinator.link()
            assert await agent.next() == LinkUp()


MEMBER = replace(HELLO, cluster=ClusterId("c"))


async def test_a_leader_that_falls_silent_is_left_for_the_next() -> None:
    frozen = Coordinator()
    async with await serve_links("127.88.6.249", 0, frozen.serve) as server:
        async with both((HERE, "127.88.6.249", server.port)) as (agent, coordinator):
            link = await frozen.link()
            assert await agent.next() == LinkUp()
            agent.link.tell(MEMBER)
            timing = Timing(delay_s=0.1)
            welcome = Welcome(ClusterId("c"), Term(1), Incarnation("a"), timing)
            await link.send(welcome)
            assert await agent.next() == Told(welcome)
            down = await agent.next()
            assert isinstance(down, LinkDown)
            assert "said nothing" in down.reason
            await coordinator.link()


async def test_a_node_of_no_cluster_waits_in_silence_for_as_long_as_it_takes() -> None:
    silent = Coordinator()
    async with await serve_links("127.88.6.249", 0, silent.serve) as server:
        async with both((HERE, "127.88.6.249", server.port)) as (agent, coordinator):
            link = await silent.link()
            assert await agent.next() == LinkUp()
            assert await said(link) == HELLO
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(agent.heard.get(), 2 * GATHERING_S)
            assert coordinator.links.empty()
