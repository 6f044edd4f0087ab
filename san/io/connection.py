"""One TCP connection of an initiator: bytes into PDUs, PDUs into one write for each turn."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from protocol.iscsi.digests import Buffer
from protocol.iscsi.errors import IscsiError
from protocol.iscsi.parser import PduParser
from protocol.iscsi.pdus import Pdu, frame
from san.events import BytesBroke, ConnectionLost, PduArrived

if TYPE_CHECKING:
    from san.io.target import Target

# Of answers that wait for an initiator: four reads of 1 MiB keep a line busy.
HIGH_WATER_BYTES = 4 << 20
SOON_BUFFERS = 16
HARD_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no time: a reset instead of an orderly end


class InitiatorConnection(asyncio.BufferedProtocol):
    """Its parser reads into the buffers of the writes that wait for data."""

    def __init__(self, target: "Target", portal: str) -> None:
        self.target = target
        self.portal = portal
        self.number = target.number()
        self.peer = ""
        self.transport: asyncio.Transport | None = None
        self.parser = PduParser(place=self._place)
        self.held: list[Callable[[], None]] = []
        """What is to be read from a medium as soon as the initiator has taken what it asked for."""
        self.is_full = False
        self._closing = False
        self._pending: list[Buffer] = []

    # ---- what the loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop has classes of its own
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport.set_write_buffer_limits(HIGH_WATER_BYTES)
        peer = self.transport.get_extra_info("peername")
        self.peer = peer[0] if peer else ""
        self.target.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.parser.get_buffer()

    def buffer_updated(self, count: int) -> None:
        parser, target, number = self.parser, self.target, self.number
        parser.filled(count)
        try:
            while not self._closing and (pdu := parser.next_pdu()) is not None:
                target.handle(PduArrived(number, pdu))
                if len(self._pending) >= SOON_BUFFERS:
                    self.flush()  # the initiator goes on with these while the rest is done
        except IscsiError as error:
            target.handle(BytesBroke(number, error))
        self.flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._pending.clear()
        self.target.handle(ConnectionLost(self.number))
        self.target.closed(self)
        self.resume_writing()

    def pause_writing(self) -> None:
        """The initiator takes less than it asks for: it is not listened to meanwhile."""
        self.is_full = True
        if self.transport is not None and not self._closing:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.is_full = False
        if self.transport is not None and not self._closing:
            self.transport.resume_reading()
        while self.held and not self.is_full:
            self.held.pop(0)()

    # ---- what the target wants

    def send(self, pdu: Pdu) -> None:
        parser = self.parser
        self._pending += frame(pdu, parser.header_digest, parser.data_digest)

    def begin(self, header_digest: bool, data_digest: bool, receive_bytes_max: int) -> None:
        """From here on both ways have these digests."""
        self.parser.header_digest, self.parser.data_digest = header_digest, data_digest
        self.parser.data_bytes_max = receive_bytes_max

    def flush(self) -> None:
        """Everything that is to be sent leaves in one write, its data where they lie."""
        pending = self._pending
        if pending and self.transport is not None and not self.transport.is_closing():
            self._pending = []
            self.transport.writelines(pending)

    def close(self) -> None:
        """The end, once everything has left."""
        self.flush()
        self._closing = True
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """The end at once, as if the line were cut: the initiator gets a reset."""
        self._closing = True
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HARD_CLOSE)
            self.transport.abort()

    def _place(self, header: Buffer, length: int) -> memoryview | None:
        return self.target.core.place(self.number, header, length)
