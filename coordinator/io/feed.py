"""Tells subscribers what happens, as server-sent events, as fast as each of them reads.

Nothing is queued for anybody. Of the event log a subscriber has only its place: what comes next is
read from the newest lines, which are kept, or from the store. Of a migration's progress and of the
status it is told the newest, however many there were since it last listened.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from coordinator.io import log_query, shown
from coordinator.io.log_query import ALL, LogFilter
from coordinator.shown.picture import Picture
from coordinator.store.interface import Store
from protocol.errors import StoreError, StoreIndefinite
from protocol.names import AttemptId

KEPT_EVENTS = 1000
PAGE_EVENTS = 256
SUBSCRIBERS_MAX = 64
PULSE_S = 0.1
"""Progress of one attempt, and the status, are told at most so often."""

REST_TIMES = 9
REST_S_MAX = 1.0
"""A picture of a large cluster takes its time to make: then so much longer is rested after it."""

KEEPALIVE_S = 10.0
SEND_TIMEOUT_S = 30.0
"""Whoever reads nothing for so long is hung up on; it comes back with the id it has seen last."""

STATE = "state"


def words(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)


@dataclass(slots=True, eq=False)
class _Subscriber:
    """`at` is the index of the last event it was told; `news` the newest of everything else."""

    at: int
    news: dict[str | AttemptId, str] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Feed:
    """Watches the driver (`Onlooker`) and tells all subscribers; `run` it beside the driver."""

    def __init__(self, store: Store, picture: Callable[[], Picture]) -> None:
        self._store = store
        self._picture = picture
        self._log = structlog.get_logger(part="feed")
        self._subscribers: set[_Subscriber] = set()
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)
        self._longer = asyncio.Event()
        self._moved = asyncio.Event()
        self._attempts: set[AttemptId] = set()
        self._state = ""
        self._closed = False

    # What the driver says. Nothing here may take time.

    def changed(self) -> None:
        if self._subscribers:
            self._moved.set()

    def written(self) -> None:
        if self._subscribers:
            self._longer.set()

    def progressed(self, attempt: AttemptId) -> None:
        if self._subscribers:
            self._attempts.add(attempt)
            self._moved.set()

    # What goes out.

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell_events())
            group.create_task(self._tell_news())

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.wake.set()

    @property
    def full(self) -> bool:
        return len(self._subscribers) >= SUBSCRIBERS_MAX

    async def newest(self) -> int:
        """The index of the newest event; 0 if there is none."""
        return await log_query.newest_index(self._store)

    async def after(self, index: int, limit: int = PAGE_EVENTS) -> list[dict[str, Any]]:
        """The events that follow event `index`, oldest first, as the store has them now."""
        return await log_query.following(self._store, index, limit)

    async def select(
        self, after: int | None, limit: int, wanted: LogFilter = ALL
    ) -> list[dict[str, Any]]:
        """Events that `wanted` takes, oldest first: those behind `after`, or the newest."""
        if after is None:
            return await log_query.newest(self._store, limit, wanted)
        return await log_query.following(self._store, after, limit, wanted)

    async def serve(self, request: web.Request, after: int | None) -> web.StreamResponse:
        """Follow the log from behind event `after`, or from now on, until one of both leaves."""
        last = request.headers.get(EventSourceResponse.DEFAULT_LAST_EVENT_HEADER, "")
        if last.isascii() and last.isdigit() and len(last) <= 12:
            after = int(last)
        stream = EventSourceResponse(send_timeout=SEND_TIMEOUT_S, ping_interval=KEEPALIVE_S)
        with self._subscribed() as subscriber:
            # Subscribed first, so that what is written meanwhile wakes it.
            subscriber.at = await self.newest() if after is None else after
            await stream.prepare(request)
            with contextlib.suppress(ConnectionResetError, TimeoutError):
                async with stream:
                    await self._tell(stream, subscriber)
        return stream

    @contextlib.contextmanager
    def _subscribed(self) -> Iterator[_Subscriber]:
        subscriber = _Subscriber(0)
        if not self._subscribers:
            self._kept.clear()  # nobody has kept them up to date
            self._longer.set()
        self._state = ""  # so that the next pulse tells it, to all
        self._moved.set()
        subscriber.wake.set()
        self._subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    async def _tell(self, stream: EventSourceResponse, to: _Subscriber) -> None:
        while not self._closed:
            await to.wake.wait()
            to.wake.clear()
            try:
                while events := await self._next(to.at):
                    for event in events:
                        await stream.send(words(event), str(event["index"]), "event")
                        to.at = event["index"]
                    if self._closed:
                        return
            except (StoreError, StoreIndefinite) as exc:
                self._log.error("store-failed", reason=str(exc))
                await stream.send(words({"after": to.at}), event="gap")
                return
            news, to.news = to.news, {}
            for what, data in news.items():
                await stream.send(data, event=STATE if what == STATE else "progress")

    async def _next(self, index: int) -> list[dict[str, Any]]:
        """What follows, from the newest lines if they reach back so far; a bell rings for more."""
        if not self._kept or self._kept[0]["index"] > index + 1:
            return await self.after(index)
        skipped = index + 1 - self._kept[0]["index"]
        return [self._kept[i] for i in range(skipped, min(len(self._kept), skipped + PAGE_EVENTS))]

    async def _tell_events(self) -> None:
        """Read what was added to the log once for all, and wake everybody."""
        while True:
            await self._longer.wait()
            self._longer.clear()
            try:
                await self._keep_newest()
            except (StoreError, StoreIndefinite) as exc:
                self._log.error("store-failed", reason=str(exc))
            for subscriber in self._subscribers:
                subscriber.wake.set()

    async def _keep_newest(self) -> None:
        if not self._kept:
            self._kept.extend(await self.after(max(0, await self.newest() - PAGE_EVENTS)))
        while self._kept and (page := await self.after(self._kept[-1]["index"])):
            self._kept.extend(page)

    async def _tell_news(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._moved.wait()
            self._moved.clear()
            began_s = loop.time()
            news = self._news()
            for subscriber in self._subscribers:
                subscriber.news.update(news)
                subscriber.wake.set()
            rest_s = min(REST_TIMES * (loop.time() - began_s), REST_S_MAX)
            await asyncio.sleep(max(PULSE_S, rest_s))

    def _news(self) -> dict[str | AttemptId, str]:
        picture = self._picture()
        moved, self._attempts = self._attempts, set()
        news: dict[str | AttemptId, str] = {}
        for data in picture.attempts:
            if data["attempt"] in moved:
                news[AttemptId(data["attempt"])] = words(shown.attempt(data))
        state = words(shown.status(picture))
        if state != self._state:
            self._state = news[STATE] = state
        return news
