"""Carries out what the target's core wants: writes to connections, work on media, lines of log."""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import structlog

from protocol.iscsi.chap import CHALLENGE_BYTES
from san.actions import Begin, CarryOut, Close, Send, SendData, Tell
from san.core import Core
from san.events import ConnectionOpened, DeedDone, DeedFailed, Event, TimePassed
from san.io.connection import InitiatorConnection
from san.io.medium import Medium
from san.medium import MediumFailed, ReadMedium

THREADS = 4
LOOK_EVERY_S = 1.0


class Target:
    """The hands of one core. Everything but the work on media happens on the loop."""

    def __init__(self, core: Core, media: Mapping[int, Medium]) -> None:
        self.core = core
        self.connections: dict[int, InitiatorConnection] = {}
        self.cut: set[tuple[str, str | None]] = set()
        """Sources (and portals) whose connections are refused, as if the line were cut."""
        self.delay_s = 0.0
        self._media = dict(media)
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="medium")
        self._done: deque[Event] = deque()
        self._queue: deque[Event] = deque()
        self._is_acting = False
        self._woken = False
        self._count = 0
        self._log = structlog.get_logger()
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._tick)
        self._act: dict[type, Callable[..., None]] = {
            Send: self._send,
            SendData: self._send_data,
            CarryOut: self._carry_out,
            Begin: self._begin,
            Close: self._close,
            Tell: self._tell,
        }

    # ---- connections

    def number(self) -> int:
        self._count += 1
        return self._count

    def opened(self, connection: InitiatorConnection) -> None:
        if {(connection.peer, None), (connection.peer, connection.portal)} & self.cut:
            connection.abort()
            return
        self.connections[connection.number] = connection
        # One byte for the identifier, the rest for the challenge.
        challenge = os.urandom(1 + CHALLENGE_BYTES)
        self.handle(ConnectionOpened(connection.number, connection.portal, challenge))

    def closed(self, connection: InitiatorConnection) -> None:
        self.connections.pop(connection.number, None)

    # ---- events and actions

    def handle(self, event: Event) -> None:
        """The caller flushes the connection that it speaks for; others are flushed here."""
        queue = self._queue
        queue.append(event)
        if self._is_acting:
            return  # an action brought this event: it comes after all that was wanted before
        self._is_acting = True
        act, core = self._act, self.core
        try:
            while queue:
                now = time.clock_gettime(time.CLOCK_BOOTTIME)
                for action in core.handle(queue.popleft(), now):
                    act[type(action)](action)
        finally:
            self._is_acting = False

    def flush(self) -> None:
        for connection in list(self.connections.values()):
            connection.flush()

    async def close(self) -> None:
        """No more connections; what the media are doing is finished first."""
        self._timer.cancel()
        for connection in list(self.connections.values()):
            connection.close()
        await self._loop.run_in_executor(None, self._pool.shutdown)
        for medium in self._media.values():
            medium.close()

    def _send(self, action: Send) -> None:
        connection = self.connections.get(action.connection)
        if connection is not None:
            connection.send(action.pdu)

    def _send_data(self, action: SendData) -> None:
        connection = self.connections.get(action.connection)
        if connection is not None:
            for pdu in action.pdus:
                connection.send(pdu)

    def _begin(self, action: Begin) -> None:
        connection = self.connections.get(action.connection)
        if connection is not None:
            # What was said in the login leaves as it was said: framing happens in `send`.
            connection.begin(action.header_digest, action.data_digest, action.receive_bytes_max)

    def _close(self, action: Close) -> None:
        connection = self.connections.pop(action.connection, None)
        if connection is not None:
            connection.close()

    def _tell(self, action: Tell) -> None:
        self._log.info(action.what, **dict(action.about))

    def _carry_out(self, action: CarryOut) -> None:
        medium = self._media[action.lun]
        if isinstance(action.deed, ReadMedium):
            connection = self.connections.get(action.connection)
            if connection is not None and connection.is_full:
                connection.held.append(lambda: self._submit(medium, action))
                return
            if not self.delay_s:
                found = medium.read_at_once(action.deed)
                if found is not None:
                    self.handle(DeedDone(action.work, found))
                    return
        self._submit(medium, action)

    # ---- media

    def _submit(self, medium: Medium, action: CarryOut) -> None:
        self._pool.submit(self._work, medium, action)

    def _work(self, medium: Medium, action: CarryOut) -> None:
        """In a thread of the pool."""
        event: Event
        if self.delay_s:
            time.sleep(self.delay_s)
        try:
            event = DeedDone(action.work, medium.carry_out(action.deed, action.nexus))
        except MediumFailed as error:
            self._log.warning("medium-failed", lun=action.lun, reason=error.sentence)
            event = DeedFailed(action.work, error.failure, error.block)
        self._done.append(event)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        self._woken = False
        done = self._done
        while done:
            self.handle(done.popleft())
        self.flush()

    def _tick(self) -> None:
        self.handle(TimePassed())
        self.flush()
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._tick)
