"""One TCP connection to a portal, and the session on it: bytes in and out, as fast as they can.

What a read brings is received straight into the reader's buffer where it is large; what a write
takes along is handed to the kernel beside its headers, without a copy.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from agent.disks.errors import LoginRefused, SessionBroken
from agent.disks.initiator import Session
from agent.disks.login import Identity
from agent.disks.session_states import Patience, Phase
from agent.disks.tasks import Task
from agent.io.vms import boottime
from protocol.iscsi.errors import IscsiError
from protocol.iscsi.parser import PduParser
from protocol.iscsi.pdus import frame
from protocol.iscsi.requests import TaskFunction
from protocol.iscsi.responses import TaskManagementResponse, TextResponse

TICK_S = 0.25
HARD_CLOSE = struct.pack("ii", 1, 0)
"""Linger on, for no time: what is not sent yet is dropped, and the peer gets a reset."""

Ended = Callable[["Connection"], None]


@dataclass(frozen=True, slots=True)
class Portal:
    """Where a target listens, and from which address of this node it is reached."""

    host: str
    port: int
    local_host: str | None = None


class Connection(asyncio.BufferedProtocol):
    """Carries a `Session`; the result of a command's future is whether it was answered."""

    def __init__(self, identity: Identity, patience: Patience, on_end: Ended | None) -> None:
        self.session = Session(identity, patience)
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._parser = PduParser(identity.wishes.receive_bytes_max, self.session.place)
        self._transport: asyncio.Transport | None = None
        self._ready: asyncio.Future[bool] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._logging_in = True
        self._header_digest = False
        self._data_digest = False
        self._is_over = False
        self._flushes = False

    # ---- what its users do

    async def ready(self) -> None:
        """Wait for the login. Raises `LoginRefused` or `SessionBroken`."""
        if not await self._ready:
            error = LoginRefused if self.session.refused else SessionBroken
            raise error(self.session.ended)

    @property
    def is_up(self) -> bool:
        return self.session.phase is Phase.FULL

    def execute(self, task: Task) -> "asyncio.Future[bool]":
        """Send a command. The future tells whether it was answered: `task` then has the rest."""
        task.waiter = waiter = self._loop.create_future()
        session = self.session
        if session.phase is not Phase.FULL:
            waiter.set_result(False)
            return waiter
        session.submit(task, boottime())
        if session.outgoing and not self._flushes:
            # One call to the kernel for all commands of this turn of the loop.
            self._flushes = True
            self._loop.call_soon(self._flush)
        return waiter

    async def manage(self, function: TaskFunction, lun: int, task: Task | None = None) -> int:
        """What the target answered to a task management request."""
        if not self.is_up:
            raise SessionBroken(self.session.ended or "the session is not up")
        waiter: asyncio.Future[TaskManagementResponse | None] = self._loop.create_future()
        self.session.manage(function, lun, task, waiter)
        self._send()
        answer = await waiter
        if answer is None:
            raise SessionBroken(self.session.ended)
        return answer.response

    async def ask(self, text: bytes) -> TextResponse:
        """The answer to a text request."""
        waiter: asyncio.Future[TextResponse | None] = self._loop.create_future()
        self.session.ask(text, waiter)
        self._send()
        answer = await waiter
        if answer is None:
            raise SessionBroken(self.session.ended)
        return answer

    async def leave(self) -> None:
        """Log out and wait for the end."""
        self.session.leave()
        self._settle()
        await self._closed

    def abort(self, reason: str) -> None:
        """End it at once; nothing of it is sent any more."""
        self.session.end(reason)
        self._settle()

    # ---- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.session.start(boottime())
        self._send()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._parser.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        parser, session = self._parser, self.session
        parser.filled(nbytes)
        now = boottime()
        try:
            while (pdu := parser.next_pdu()) is not None:
                session.received(pdu, now)
                if self._logging_in:
                    self._switch()
        except IscsiError as error:
            session.end(f"what came is no iSCSI: {error.sentence}")
        self._settle()

    def eof_received(self) -> bool:
        self.session.end("the target closed the connection")
        self._settle()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.session.end(f"the connection broke: {error}" if error else "the connection broke")
        self._settle()
        if not self._closed.done():
            self._closed.set_result(None)

    # ---- inside

    def _switch(self) -> None:
        """Once the login is over, what was agreed holds for the next PDU."""
        if self.session.phase is Phase.LOGIN:
            return
        self._logging_in = False
        agreed = self.session.agreed
        self._parser.header_digest = self._header_digest = agreed.header_digest
        self._parser.data_digest = self._data_digest = agreed.data_digest
        if self.session.phase is Phase.FULL and not self._ready.done():
            self._ready.set_result(True)

    def _settle(self) -> None:
        """Send what is to be sent, tell who waits, and see whether it is the end."""
        session = self.session
        if session.outgoing:
            self._send()
        if session.finished:
            for task in session.finished:
                if not task.waiter.done():
                    task.waiter.set_result(True)
            session.finished.clear()
        if session.answered:
            for request in session.answered:
                if not request.waiter.done():
                    request.waiter.set_result(request.answer)
            session.answered.clear()
        if session.phase is Phase.ENDED and not self._is_over:
            self._end()

    def _flush(self) -> None:
        self._flushes = False
        if self.session.outgoing:
            self._send()

    def _send(self) -> None:
        pdus = self.session.outgoing
        transport = self._transport
        if transport is None or transport.is_closing():
            pdus.clear()
            return
        header_digest, data_digest = self._header_digest, self._data_digest
        if len(pdus) == 1:
            buffers = frame(pdus[0], header_digest, data_digest)
        else:
            buffers = []
            for pdu in pdus:
                buffers += frame(pdu, header_digest, data_digest)
        pdus.clear()
        transport.writelines(buffers)

    def _tick(self) -> None:
        self.session.tick(boottime())
        self._settle()
        if not self._is_over:
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def _end(self) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            _reset(self._transport)
        elif not self._closed.done():
            self._closed.set_result(None)
        if not self._ready.done():
            self._ready.set_result(False)
        for task in self.session.drop():
            if not task.waiter.done():
                task.waiter.set_result(False)
        for request in self.session.drop_requests():
            if not request.waiter.done():
                request.waiter.set_result(None)
        if self._on_end is not None:
            self._on_end(self)


def _reset(transport: asyncio.Transport) -> None:
    """Close without sending the rest: a write must not arrive after it was given up."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD_CLOSE)
        except OSError:
            return transport.abort()
    transport.abort()
    return None


async def connected(
    portal: Portal,
    identity: Identity,
    patience: Patience,
    on_end: Ended | None = None,
    connect_s: float = 3.0,
) -> Connection:
    """A connection whose login is over. Raises `LoginRefused` or `SessionBroken`."""
    loop = asyncio.get_running_loop()
    local = (portal.local_host, 0) if portal.local_host else None
    try:
        async with asyncio.timeout(connect_s):
            _, connection = await loop.create_connection(
                lambda: Connection(identity, patience, on_end),
                portal.host,
                portal.port,
                local_addr=local,
            )
    except (OSError, TimeoutError) as error:
        reason = str(error) or f"no answer within {connect_s:g} s"
        raise SessionBroken(f"{portal.host}:{portal.port}: {reason}") from None
    try:
        await connection.ready()
    except BaseException:
        connection.abort("nobody waits for the login any more")
        await asyncio.shield(connection._closed)
        raise
    return connection
