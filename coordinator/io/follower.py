"""Keeps a follower's mirror of the rows up to date, and answers for it. Decides nothing."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import structlog

from coordinator.io.driver import Onlooker
from coordinator.io.etcd import EtcdStore
from coordinator.leadership.candidacy import Rival
from coordinator.leadership.following import MIRRORED, Following
from coordinator.requests import Request, Response
from coordinator.shown.picture import Picture
from coordinator.store.interface import Row
from protocol.errors import PeerUnreachable, ProtocolError, StoreError, StoreIndefinite
from protocol.io.link import Link
from protocol.messages import TurnedAway

AGAIN_S = 0.5
HELLO_WITHIN_S = 2.0
ROWS_AT_ONCE = 1000


class Follower:
    """Reads what the leader writes; turns agents and wishes away to it."""

    def __init__(
        self,
        following: Following,
        store: EtcdStore,
        onlooker: Onlooker,
        clock: Callable[[], float],
    ) -> None:
        self._following = following
        self._store = store
        self._onlooker = onlooker
        self._clock = clock
        self._log = structlog.get_logger(part="follower")

    async def run(self) -> None:
        """Mirror until cancelled."""
        while True:
            try:
                await self._mirror()
            except (StoreError, StoreIndefinite) as exc:
                self._log.info("store-failed", reason=str(exc))
            await asyncio.sleep(AGAIN_S)

    async def _mirror(self) -> None:
        revision = await self._store.revision()
        self._following.begin(await self._all_rows())
        self._onlooker.changed()
        self._onlooker.written()
        async with aclosing(self._store.watch("", revision + 1)) as changes:
            async for row in changes:
                self._following.learn(row)
                self._onlooker.changed()
                if row.key.startswith("event/"):
                    self._onlooker.written()

    async def _all_rows(self) -> tuple[Row, ...]:
        rows: list[Row] = []
        for prefix in MIRRORED:
            last = ""
            while page := await self._store.range(prefix, last, ROWS_AT_ONCE):
                rows += page
                last = page[-1].key
                if len(page) < ROWS_AT_ONCE:
                    break
        return tuple(rows)

    def seen(self, holder: Rival | None) -> None:
        self._following.led_by(holder)
        self._onlooker.changed()

    def picture(self) -> Picture:
        return self._following.picture(self._clock())

    async def ask(self, request: Request) -> Response:
        return self._following.refusal()

    async def serve(self, link: Link) -> None:
        """Hear the agent out, as it speaks first, and send it on."""
        try:
            async with asyncio.timeout(HELLO_WITHIN_S):
                await link.receive()
            await link.send(TurnedAway(self._following.turned_away()))
        except (PeerUnreachable, ProtocolError, TimeoutError) as exc:
            self._log.debug("agent-gone", peer=link.peer, reason=str(exc))
