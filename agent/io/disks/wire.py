"""Frames of messages with file data behind them, over one TCP connection on the disk loop.

File data is not copied on its way: the kernel puts it where it belongs (a guest's buffer, or one
that goes to the disk next), but for what came in the same segment as the frame before it.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from protocol.codec import FRAME_BYTES_MAX, LENGTH, decode, encode_frame
from protocol.errors import FrameTooBig, PeerUnreachable, ProtocolError, UnknownMessage
from protocol.messages import FileRead, Message, VolumeMessage, WriteFile
from protocol.messages.volumes import PAYLOAD_BYTES_MAX

HEAD_BYTES = 64 * 1024
UNSENT_BYTES_MAX = 4 * 1024 * 1024
"""More than this unread by the peer makes senders wait. The kernel holds as much: a request and its
file data go there in one call, and the peer need not be woken again and again meanwhile.
"""

SILENCE_S = 3
"""So long the kernel lets sent bytes, or an idle connection's probes, go unanswered: a network that
swallows everything is left for the next one.
"""

PATIENCE = (
    (socket.TCP_NODELAY, 1),
    (socket.TCP_KEEPIDLE, 1),
    (socket.TCP_KEEPINTVL, 1),
    (socket.TCP_KEEPCNT, SILENCE_S - 1),
    (socket.TCP_USER_TIMEOUT, SILENCE_S * 1000),
)

Buffers = Sequence[bytes | memoryview]


def room_of(length: int) -> memoryview:
    """For file data that will fill it wholly before anybody looks; it holds anything until then."""
    return np.empty(length, np.uint8).data


class Wire(asyncio.BufferedProtocol):
    """One end. `on_message` gets each message with its file data; `place` says where data goes."""

    def __init__(
        self,
        on_message: "Callable[[VolumeMessage, memoryview | None], None]",
        place: "Callable[[FileRead | WriteFile], memoryview]",
        on_lost: Callable[[str], None],
    ) -> None:
        self._on_message = on_message
        self._place = place
        self._on_lost = on_lost
        self._head = bytearray(HEAD_BYTES)
        self._view = memoryview(self._head)
        self._start = 0
        self._end = 0
        self._carrier: FileRead | WriteFile | None = None
        self._payload = memoryview(b"")
        self._filled = 0
        self._transport: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._fault = ""

    # ---- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        if (sock := transport.get_extra_info("socket")) is not None:
            for option, value in PATIENCE:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, UNSENT_BYTES_MAX)
        if self._fault:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._room.set()
        self._on_lost(self._fault or (str(exc) if exc else "it closed the connection"))

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def eof_received(self) -> bool:
        return False

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._carrier is not None:
            return self._payload[self._filled :]
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == len(self._head):
            self._make_room(len(self._head))
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        try:
            if self._carrier is not None:
                self._fill(nbytes)
            else:
                self._end += nbytes
            self._cut()
        except ProtocolError as error:
            self.abort(str(error))

    # ---- cutting

    def _cut(self) -> None:
        while self._carrier is None and self._end - self._start >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self._head, self._start)
            if size > FRAME_BYTES_MAX:
                raise FrameTooBig(f"a frame of {size} bytes; at most {FRAME_BYTES_MAX} are allowed")
            behind = self._start + LENGTH.size + size
            if behind > self._end:
                self._make_room(LENGTH.size + size)
                return
            message = decode(bytes(self._view[self._start + LENGTH.size : behind]))
            self._start = behind
            if not isinstance(message, VolumeMessage):
                raise UnknownMessage(f"{type(message).__name__} is not for a volume")
            if isinstance(message, FileRead | WriteFile):
                self._expect(message)
            else:
                self._on_message(message, None)

    def _expect(self, message: FileRead | WriteFile) -> None:
        if not 0 < message.payload_bytes <= PAYLOAD_BYTES_MAX:
            raise FrameTooBig(
                f"{message.payload_bytes} bytes of file data; 1 to {PAYLOAD_BYTES_MAX} are allowed"
            )
        self._payload = self._place(message)
        assert len(self._payload) == message.payload_bytes, "a place of another size"
        self._carrier, self._filled = message, 0
        here = min(self._end - self._start, len(self._payload))
        self._payload[:here] = self._view[self._start : self._start + here]
        self._start += here
        self._fill(here)

    def _fill(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._carrier is not None and self._filled == len(self._payload):
            message, payload = self._carrier, self._payload
            self._carrier, self._payload = None, memoryview(b"")
            self._on_message(message, payload)

    def _make_room(self, wanted: int) -> None:
        """Move what is there to the front, into a larger buffer if `wanted` needs one."""
        kept = bytes(self._view[self._start : self._end])
        if wanted > len(self._head) or len(kept) == len(self._head):
            self._head = bytearray(max(wanted, 2 * len(self._head)))
            self._view = memoryview(self._head)
        self._view[: len(kept)] = kept
        self._start, self._end = 0, len(kept)

    # ---- sending

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def write(self, message: Message, payload: Buffers = ()) -> None:
        """Hand it over; the buffers must stay as they are until the peer has answered."""
        if self._transport is None or self._transport.is_closing():
            raise PeerUnreachable("the connection is closed")
        frame = encode_frame(message)
        if payload:
            self._transport.writelines([frame, *payload])
        else:
            self._transport.write(frame)

    async def room(self) -> None:
        """Until the peer has read enough of what was written."""
        await self._room.wait()

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self, reason: str) -> None:
        self._fault = self._fault or reason
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """End it once what was written has left."""
        if self._transport is not None:
            self._transport.close()

    @property
    def sockname(self) -> tuple[str, int]:
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")[:2]
        return host, port
