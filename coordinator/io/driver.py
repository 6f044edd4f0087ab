"""Carries out what the coordinator's core wants, and tells it what happens. Decides nothing."""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from coordinator.actions import (
    Action,
    Answer,
    CloseLink,
    PublishProgress,
    ReadRows,
    Send,
    TakeTerm,
    Transact,
)
from coordinator.core import CoordinatorCore
from coordinator.events import (
    Answered,
    Asked,
    Event,
    LinkClosed,
    LinkId,
    RequestId,
    RowsRead,
    Said,
    StoreFailed,
    TermTaken,
    Tick,
    WorkId,
)
from coordinator.requests import Declined, Request, Response, Unknown
from coordinator.shown.picture import Picture
from coordinator.store.interface import Applied, Indefinite, Row, Store, Txn
from protocol.errors import PeerUnreachable, ProtocolError, StoreError, StoreIndefinite
from protocol.io.link import Link
from protocol.messages import FromAgent, Message, ToAgent
from protocol.names import AttemptId

UNSENT_MESSAGES_MAX = 1000
"""An agent that leaves more than this unread is hung up on; it connects anew and says what it has.
"""

ROWS_AT_ONCE = 1000

TIMER_S_MAX = 1.0
"""The loop's timers stand still while the machine is suspended and the clock of leases does not."""

STOPPING = Declined(503, "stopping", "The coordinator is stopping: ask again once it is back.")
LEFT_OPEN = Unknown("The coordinator stopped before it knew: look whether it was done.")


def boottime() -> float:
    """Seconds since boot, suspended ones included: the clock of leases."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Onlooker(Protocol):
    """Whom the driver tells that there is something new to see. It must not wait, nor ask back."""

    def changed(self) -> None:
        """Something has happened, so the picture may be another."""

    def written(self) -> None:
        """The store has answered a transaction, so the event log may be longer."""

    def progressed(self, attempt: AttemptId) -> None: ...


class Occupant(Protocol):
    """Who answers operators and agents: a driver that leads, or a follower."""

    def picture(self) -> Picture: ...

    async def ask(self, request: Request) -> Response: ...

    async def serve(self, link: Link) -> None: ...


class Driver:
    """Joins one core with its store, its agents and its operators.

    All state changes happen in `_feed`, on the event loop, one event at a time. An error of the
    core ends `run`: a leader that contradicts itself must not go on leading.
    """

    def __init__(
        self,
        core: CoordinatorCore,
        store: Store,
        leader: str,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self.core = core
        self.store = store
        self.leader = leader
        self._onlooker: Onlooker | None = None
        self._seen: Picture | None = None
        self._clock = clock
        self._log = structlog.get_logger(part="coordinator")
        self._loop = asyncio.get_running_loop()
        self._group = asyncio.TaskGroup()
        self._begun = asyncio.Event()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.Handle | None = None
        self._tick_at = 0.0
        self._link_ids = itertools.count(1)
        self._request_ids = itertools.count(1)
        self._outboxes: dict[LinkId, asyncio.Queue[ToAgent | None]] = {}
        self._answers: dict[RequestId, asyncio.Future[Response]] = {}

    def watched_by(self, onlooker: Onlooker) -> None:
        self._onlooker = onlooker

    def picture(self) -> Picture:
        """The core's picture, taken once between two events: nothing else changes it."""
        if self._seen is None:
            self._seen = self.core.picture()
        return self._seen

    async def run(self) -> None:
        """Lead, or try to, until `stop`. Links and questions that come earlier wait for it.

        At the end, what the store is doing is awaited, so that it may be closed.
        """
        try:
            async with self._group:
                if not self._end.done():
                    self._perform(self.core.begin(self._clock()))
                    self._plan_tick()
                self._begun.set()
                await self._end
        finally:
            self.stop()
            if self._timer is not None:
                self._timer.cancel()

    def stop(self) -> None:
        """From now on nothing reaches the core; every link ends and every question is answered."""
        if not self._end.done():
            self._end.set_result(None)
        self._begun.set()
        for link in list(self._outboxes):
            self._hang_up(link)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(LEFT_OPEN)

    async def ask(self, request: Request) -> Response:
        """Put an operator's question to the core; the answer comes once the store has it."""
        await self._begun.wait()
        if self._end.done():
            return STOPPING
        number = RequestId(next(self._request_ids))
        answer: asyncio.Future[Response] = self._loop.create_future()
        self._answers[number] = answer
        try:
            self._feed(Asked(number, request))
            return await answer
        finally:
            del self._answers[number]

    async def serve(self, link: Link) -> None:
        """Talk with one agent until its link ends."""
        await self._begun.wait()
        if self._end.done():
            return
        number = LinkId(next(self._link_ids))
        outbox: asyncio.Queue[ToAgent | None] = asyncio.Queue(UNSENT_MESSAGES_MAX)
        self._outboxes[number] = outbox
        reason = "the agent closed the link"
        self._log.debug("link-opened", link=number, peer=link.peer, local=link.local[0])
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._send_all(link, outbox))
                try:
                    async for message in link:
                        self._said(number, message)
                except (PeerUnreachable, ProtocolError) as exc:
                    reason = str(exc)
                sender.cancel()
        finally:
            del self._outboxes[number]
            self._log.info("link-closed", link=number, peer=link.peer, reason=reason)
            self._feed(LinkClosed(number, reason))

    def _said(self, link: LinkId, message: Message) -> None:
        if not isinstance(message, FromAgent):
            raise ProtocolError(f"{type(message).__name__} is not for a coordinator")
        self._feed(Said(link, message))

    async def _send_all(self, link: Link, outbox: asyncio.Queue[ToAgent | None]) -> None:
        """Send what the core says, in order; None, or a broken link, ends it."""
        try:
            while (message := await outbox.get()) is not None:
                await link.send(message)
        except PeerUnreachable as exc:
            self._log.info("link-broke", peer=link.peer, reason=str(exc))
        except ProtocolError as exc:
            # The rest would be a story with a gap: the agent connects anew and says what it has.
            self._log.error("message-not-sendable", peer=link.peer, reason=str(exc))
        await link.close()

    def _feed(self, event: Event) -> None:
        if self._end.done():
            return
        try:
            self._perform(self.core.handle(event, self._clock()))
            self._plan_tick()
        except Exception as exc:
            # Wherever the event came from, it is `run` that fails, and the program with it.
            self._end.set_exception(exc)
            raise
        finally:
            self._seen = None
        if self._onlooker is not None:
            self._onlooker.changed()

    def _plan_tick(self) -> None:
        """Look again when the core wants to be woken, or a little earlier."""
        at = self._loop.time() + min(max(0.0, self.core.wake_at() - self._clock()), TIMER_S_MAX)
        if self._timer is not None:
            if self._tick_at <= at:
                return
            self._timer.cancel()
        self._tick_at = at
        self._timer = self._loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self.core.wake_at() <= self._clock():
            self._feed(Tick())
        else:
            self._plan_tick()

    def _perform(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case Send(link, message):
                    self._send(link, message)
                case CloseLink(link, reason):
                    self._log.info("hung-up", link=link, reason=reason)
                    self._hang_up(link)
                case Transact(work, txn):
                    self._group.create_task(self._transact(work, txn))
                case TakeTerm(work, at_least):
                    self._group.create_task(self._take_term(work, at_least))
                case ReadRows(work, prefix):
                    self._group.create_task(self._read(work, prefix))
                case Answer(request, response):
                    answer = self._answers.get(request)
                    if answer is not None and not answer.done():
                        answer.set_result(response)
                case PublishProgress(attempt):
                    if self._onlooker is not None:
                        self._onlooker.progressed(attempt)

    def _send(self, link: LinkId, message: ToAgent) -> None:
        outbox = self._outboxes.get(link)
        if outbox is None:
            return
        if outbox.full():
            self._log.warning("agent-does-not-read", link=link, unsent=outbox.qsize())
            self._hang_up(link)
        else:
            outbox.put_nowait(message)

    def _hang_up(self, link: LinkId) -> None:
        """End the link once what waits is sent; with a full outbox, sooner."""
        outbox = self._outboxes.get(link)
        if outbox is None:
            return
        while outbox.full():
            outbox.get_nowait()
        outbox.put_nowait(None)

    async def _transact(self, work: WorkId, txn: Txn) -> None:
        try:
            result = await self.store.transact(txn)
        except (StoreError, StoreIndefinite) as exc:
            # A definite error may be repeated as well: the same words serve both.
            result = Indefinite(str(exc))
        match result:
            case Applied():
                self._log_events(txn)
            case Indefinite(reason):
                self._log.warning("store-indefinite", reason=reason)
        self._feed(Answered(work, result))
        if self._onlooker is not None:
            self._onlooker.written()

    def _log_events(self, txn: Txn) -> None:
        for put in txn.puts:
            if put.key.startswith("event/"):
                told = {key: put.value[key] for key in ("id", "node", "group", "term")}
                severity = put.value["level"]
                self._log.info("event", severity=severity, text=put.value["text"], **told)

    async def _take_term(self, work: WorkId, at_least: int) -> None:
        try:
            term = await self.store.take_term(at_least, self.leader)
        except (StoreError, StoreIndefinite) as exc:
            self._store_failed(work, exc)
            return
        self._log.info("term-taken", term=term)
        self._feed(TermTaken(work, term))

    async def _read(self, work: WorkId, prefix: str) -> None:
        rows: list[Row] = []
        try:
            while batch := await self.store.range(
                prefix, rows[-1].key if rows else "", ROWS_AT_ONCE
            ):
                rows += batch
                if len(batch) < ROWS_AT_ONCE:
                    break
        except (StoreError, StoreIndefinite) as exc:
            self._store_failed(work, exc)
            return
        self._feed(RowsRead(work, tuple(rows)))

    def _store_failed(self, work: WorkId, why: Exception) -> None:
        self._log.error("store-failed", reason=str(why))
        self._feed(StoreFailed(work, str(why)))
