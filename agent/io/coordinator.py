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
from protocol.errors import PeerUnreachable, ProtocolError
from protocol.io.link import Link, open_link
from protocol.messages import FromAgent, Hello, Message, ToAgent, Welcome

AGAIN_AFTER_S = 0.2
AGAIN_AFTER_MAX_S = 1.0
AGAIN_AFTER_OF_SEVERAL_MAX_S = 0.4
CONNECT_WITHIN_S = 2.0
"""A single coordinator may be slow; of several, one that does not answer is passed over sooner."""

CONNECT_WITHIN_OF_SEVERAL_S = 0.5
NEXT_AFTER_S = 0.02
"""From one coordinator to the next, until all have been asked."""

SILENT_BEATS = 2.5
SILENT_LEAST_S = 2.5
"""A leader says something with every beat; one that misses two of them may be frozen."""

GATHERING_FIRST_S = 0.25
GATHERING_S = 0.75
GATHERING_MAX_S = 24.0
"""Before a welcome a leader may wait for other nodes in silence, so each round waits longer."""

UNSENT_MAX = 1000


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
        self._several = len({(host, port) for _, host, port in addresses}) > 1
        self._was_welcome = False
        self._silence_s = float("inf")
        self._gathering_s = GATHERING_S
        self._heard_at = 0.0

    async def run(self) -> None:
        """Connect for ever, from address to address; ends only by being cancelled."""
        pause_s, in_vain = AGAIN_AFTER_S, 0
        within_s, most_s = CONNECT_WITHIN_S, AGAIN_AFTER_MAX_S
        if self._several:
            within_s, most_s = CONNECT_WITHIN_OF_SEVERAL_S, AGAIN_AFTER_OF_SEVERAL_MAX_S
        for local, host, port in itertools.cycle(self._addresses):
            try:
                link = await open_link(
                    host, port, local_addr=local, timeout_s=within_s, peer="coordinator"
                )
            except PeerUnreachable as error:
                self._log.debug("unreachable", address=f"{host}:{port}", reason=str(error))
            else:
                reason = await self._talk(link)
                self._log.info("link-down", address=f"{host}:{port}", reason=reason)
                self._feed(LinkDown(reason))
                if self._was_welcome or not self._several:
                    pause_s, in_vain = AGAIN_AFTER_S, -1
            in_vain += 1
            if in_vain % len(self._addresses) and self._several:
                await asyncio.sleep(NEXT_AFTER_S)
                continue
            if in_vain:
                self._gathering_s = min(2 * self._gathering_s, GATHERING_MAX_S)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, most_s)

    def tell(self, message: FromAgent) -> None:
        """Say it if the link stands; the core hears of a link that goes."""
        if self._outbox is None:
            return
        if isinstance(message, Hello) and message.cluster is not None:
            self._silence_s = self._gathering_s
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
        self._was_welcome = False
        self._silence_s = float("inf")
        self._heard_at = asyncio.get_running_loop().time()
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
                self._hear_one(message)
                self._feed(Told(message))
        except (PeerUnreachable, ProtocolError) as error:
            return str(error)
        return "the coordinator closed the link"

    def _hear_one(self, message: Message) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if isinstance(message, Welcome):
            self._was_welcome = True
            self._gathering_s = GATHERING_S
            self._silence_s = max(SILENT_LEAST_S, SILENT_BEATS * message.timing.delay_s)

    async def _until_silent(self) -> str:
        """Only where there is somebody else to go to; a node of no cluster is not spoken to."""
        loop = asyncio.get_running_loop()
        if not self._several:
            await asyncio.Event().wait()
        while (left_s := self._heard_at + self._silence_s - loop.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left_s, SILENT_LEAST_S))
        if self._was_welcome:
            self._gathering_s = GATHERING_FIRST_S  # it is met again until its place is taken
        return f"the coordinator has said nothing for {self._silence_s:g} s"

    async def _say(self, link: Link, outbox: asyncio.Queue[FromAgent]) -> str:
        try:
            while True:
                await link.send(await outbox.get())
        except (PeerUnreachable, ProtocolError) as error:  # the second: more than a frame can hold
            return str(error)

    async def _hang(self) -> str:
        await self._hung_up.wait()
        return "this node hung up"
