"""The conversation of one attempt with its other end: messages in order, both ways."""

import asyncio
from collections.abc import Callable
from typing import get_args

from agent.events import Event, PeerLost, PeerSaid
from protocol.errors import PeerUnreachable, ProtocolError
from protocol.io.link import Link
from protocol.messages import MigrationMessage
from protocol.names import AttemptId

CLOSE_WITHIN_S = 2.0
"""So long the other end may take to read the last words; who reads nothing is hung up on."""


class Talk:
    """Stream 0. What it hears it feeds; when it ends by itself it says PeerLost, once."""

    def __init__(
        self,
        attempt: AttemptId,
        link: Link,
        feed: Callable[[Event], None],
        close_within_s: float = CLOSE_WITHIN_S,
    ) -> None:
        self._attempt = attempt
        self._link = link
        self._feed = feed
        self._close_within_s = close_within_s
        self._outbox: asyncio.Queue[MigrationMessage | None] = asyncio.Queue()
        self._closing = asyncio.Event()

    def say(self, message: MigrationMessage) -> None:
        self._outbox.put_nowait(message)

    def close(self) -> None:
        """Say what still waits, then hang up."""
        self._outbox.put_nowait(None)
        self._closing.set()

    async def run(self) -> None:
        """Until `close`, or until the other end is gone."""
        hearing = asyncio.create_task(self._hear())
        saying = asyncio.create_task(self._say())
        closing = asyncio.create_task(self._closing.wait())
        reason = None
        try:
            done, _ = await asyncio.wait(
                {hearing, saying, closing}, return_when=asyncio.FIRST_COMPLETED
            )
            if closing in done:
                await asyncio.wait({saying}, timeout=self._close_within_s)
            else:
                reason = next(task for task in (hearing, saying) if task in done).result()
        finally:
            for task in (hearing, saying, closing):
                task.cancel()
            await asyncio.gather(hearing, saying, closing, return_exceptions=True)
            await self._link.close()
        if reason is not None:
            self._feed(PeerLost(self._attempt, reason))

    async def _hear(self) -> str:
        try:
            async for message in self._link:
                if not isinstance(message, get_args(MigrationMessage)):
                    return f"it said {type(message).__name__}, which is not for a migration"
                self._feed(PeerSaid(self._attempt, message))
        except (PeerUnreachable, ProtocolError) as error:
            return str(error)
        return "it closed the connection"

    async def _say(self) -> str | None:
        try:
            while (message := await self._outbox.get()) is not None:
                await self._link.send(message)
        except PeerUnreachable as error:
            return str(error)
        return None
