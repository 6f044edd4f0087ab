"""Frames with file data behind them, however the network slices them and whatever a peer sends."""

import asyncio
import struct
from typing import Any

import pytest

from agent.io.disks.wire import Wire
from protocol import messages as say
from protocol.codec import encode_frame
from protocol.messages import Message
from protocol.messages.volumes import PAYLOAD_BYTES_MAX


class Ends:
    """What one wire has heard; `feed` is the network."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, bytes | None]] = []
        self.lost: list[str] = []
        self.wire = Wire(self._said, self._place, self.lost.append)
        self.closed = False
        self.wire.connection_made(self)  # type: ignore[arg-type]

    def _said(self, message: object, payload: memoryview | None) -> None:
        self.heard.append((message, None if payload is None else bytes(payload)))

    def _place(self, message: say.FileRead | say.WriteFile) -> memoryview:
        return memoryview(bytearray(message.payload_bytes))

    def get_extra_info(self, name: str) -> None: ...

    def set_write_buffer_limits(self, high: int) -> None: ...

    def abort(self) -> None:
        self.closed = True

    def feed(self, data: bytes, slice_bytes: int) -> None:
        for at in range(0, len(data), slice_bytes):
            left = memoryview(data)[at : at + slice_bytes]
            while left:
                room = self.wire.get_buffer(-1)
                count = min(len(room), len(left))
                assert count > 0, "there is always room for something"
                room[:count] = left[:count]
                self.wire.buffer_updated(count)
                left = left[count:]


def stream(*parts: Message | bytes) -> bytes:
    return b"".join(part if isinstance(part, bytes) else encode_frame(part) for part in parts)


DATA = bytes(range(256)) * 1200


@pytest.mark.parametrize("slice_bytes", [1, 7, 4096, 65536, 1 << 20])
def test_what_was_sent_arrives_however_it_was_sliced(slice_bytes: int) -> None:
    ends = Ends()
    many = tuple(say.FileExtent(n, 1, True) for n in range(2048))
    opened = say.FileOpened(9, 1, 1, 1 << 30, 0, 2048, many)
    sent = stream(
        say.Done(1),
        say.WriteFile(2, 7, 512, True, len(DATA)),
        DATA,
        say.FileRead(3, 512),
        DATA[:512],
        opened,
        say.FlushVolume(4),
    )

    ends.feed(sent, slice_bytes)

    assert [payload for _, payload in ends.heard] == [None, DATA, DATA[:512], None, None]
    assert [message for message, _ in ends.heard][3] == opened
    assert not ends.closed


@pytest.mark.parametrize(
    "sent",
    [
        stream(say.WriteFile(1, 7, 0, True, PAYLOAD_BYTES_MAX + 1)),
        stream(say.WriteFile(1, 7, 0, True, 0)),
        stream(say.FileRead(1, -1)),
        struct.pack(">I", 1 << 30),
        struct.pack(">I", 8) + b"\x01garbage",
        stream(say.TurnedAway("not for a volume")),
    ],
    ids=["too much data", "no data", "less than none", "huge frame", "garbage", "another message"],
)
def test_a_peer_that_talks_nonsense_is_hung_up_on(sent: bytes) -> None:
    ends = Ends()

    ends.feed(sent, 1 << 16)

    assert ends.closed
    assert ends.heard == []


async def test_two_wires_carry_what_is_written_to_them() -> None:
    got: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    made: list[Wire] = []

    def accept() -> Wire:
        made.append(
            Wire(
                lambda message, payload: got.put_nowait((message, bytes(payload or b""))),
                lambda message: memoryview(bytearray(message.payload_bytes)),
                got.put_nowait,
            )
        )
        return made[-1]

    server = await loop.create_server(accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    wire = Wire(lambda *_: None, lambda _: memoryview(b""), lambda _: None)
    await loop.create_connection(lambda: wire, host, port)
    big = bytes(range(256)) * 4096
    wire.write(say.WriteFile(1, 7, 0, False, len(big)), [memoryview(big)[:100], big[100:]])
    await wire.room()

    assert await got.get() == (say.WriteFile(1, 7, 0, False, len(big)), big)
    wire.close()
    assert await got.get() == "it closed the connection"
    server.close()
    await server.wait_closed()
