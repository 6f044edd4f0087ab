"""The control link: one connection, to the coordinator that leads.

Addresses are tried in turn: those of other coordinators, and the same one's on other networks. A
coordinator that follows turns the agent away; one that is frozen is silent. Both are left for the
next at once.
"""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import get_args

import structlog

from agent.events import Event, LinkDown, LinkUp, Told
from agent.search import Search
from protocol.errors import PeerUnreachable, ProtocolError
from protocol.io.link import Link, open_link
from protocol.messages import FromAgent, ToAgent

UNSENT_MAX = 1000
LOOK_EVERY_S = 2.5


class ControlLink:
    """Keeps connecting, says what the core wants said, and tells it what the coordinator says."""

    def __init__(
        self, addresses: Sequence[tuple[str, str, int]], feed: Callable[[Event], None]
    ) -> None:
        """`addresses`: own address on the network, the coordinator's there, its port."""
        self._addresses = addresses
        self._feed = feed
        self._log = structlog.get_logger(part="control-link")
        self._outbox: asyncio.Queue[FromAgent] | None = None
        self._hung_up = asyncio.Event()
        several = len({(host, port) for _, host, port in addresses}) > 1
        self._search = Search(len(addresses), several)

    async def run(self) -> None:
        """Connect for ever, from address to address; ends only by being cancelled."""
        search = self._search
        for local, host, port in itertools.cycle(self._addresses):
            try:
                link = await open_link(
                    *(host, port),
                    local_addr=local,
                    timeout_s=search.connect_within_s,
                    peer="coordinator",
                )
            except PeerUnreachable as error:
                self._log.debug("unreachable", address=f"{host}:{port}", reason=str(error))
                pause_s = search.missed()
            else:
                reason = await self._talk(link)
                self._log.info("link-down", address=f"{host}:{port}", reason=reason)
                self._feed(LinkDown(reason))
                pause_s = search.ended()
            await asyncio.sleep(pause_s)

    def tell(self, message: FromAgent) -> None:
        """Say it if the link stands; the core hears of a link that goes."""
        if self._outbox is None:
            return
        self._search.said(message)
        if self._outbox.qsize() >= UNSENT_MAX:
            self.hang_up()
        else:
            self._outbox.put_nowait(message)

    def hang_up(self) -> None:
        """End this connection at once, whatever still waits; the next one begins with a Hello."""
        self._hung_up.set()

    async def _talk(self, link: Link) -> str:
        """Until the link ends; says why it did."""
        outbox: asyncio.Queue[FromAgent] = asyncio.Queue()
        self._outbox = outbox
        self._hung_up.clear()
        self._search.connected(asyncio.get_running_loop().time())
        try:
            self._log.info("link-up", address=link.peer)
            self._feed(LinkUp())
            hearing = asyncio.create_task(self._hear(link))
            saying = asyncio.create_task(self._say(link, outbox))
            hanging = asyncio.create_task(self._hang())
            waiting = asyncio.create_task(self._until_silent())
            tasks = (hearing, saying, hanging, waiting)
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                return next(task for task in tasks if task in done).result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._outbox = None
            await link.close()

    async def _hear(self, link: Link) -> str:
        try:
            async for message in link:
                if not isinstance(message, get_args(ToAgent)):
                    return (
                        f"the coordinator said {type(message).__name__}, which is not for an agent"
                    )
                self._search.heard(message, asyncio.get_running_loop().time())
                self._feed(Told(message))
        except (PeerUnreachable, ProtocolError) as error:
            return str(error)
        return "the coordinator closed the link"

    async def _until_silent(self) -> str:
        """What is heard meanwhile puts the end off, so it is looked at again when it has come."""
        loop = asyncio.get_running_loop()
        while (left_s := self._search.silent_at - loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_s, LOOK_EVERY_S))
        self._search.fell_silent()
        return f"the coordinator has said nothing for {self._search.silence_s:g} s"

    async def _say(self, link: Link, outbox: asyncio.Queue[FromAgent]) -> str:
        try:
            while True:
                await link.send(await outbox.get())
        except (PeerUnreachable, ProtocolError) as error:  # the second: more than a frame can hold
            return str(error)

    async def _hang(self) -> str:
        await self._hung_up.wait()
        return "this node hung up"
