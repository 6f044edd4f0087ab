"""First words on a connection of a migration: single frames, read to the byte from a raw socket.

Behind them a connection becomes a conversation (stream 0) or a stream of pages, and not one byte of
what follows may have been read with them.
"""

import asyncio
import socket
from typing import TypeVar

from protocol.codec import FRAME_BYTES_MAX, LENGTH, decode, encode_frame
from protocol.errors import BadFrame, FrameTooBig, FrameTruncated
from protocol.io.link import Link
from protocol.messages import Message

GREETING_BYTES_MAX = min(16 * 1024, FRAME_BYTES_MAX)
CAPABILITIES = ("zero-pages",)

Wanted = TypeVar("Wanted")


async def say(sock: socket.socket, message: Message) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, encode_frame(message))


async def hear(sock: socket.socket) -> Message:
    """One frame and nothing behind it. `ProtocolError` for all that is not one."""
    (size,) = LENGTH.unpack(await _exactly(sock, LENGTH.size))
    if size > GREETING_BYTES_MAX:
        raise FrameTooBig(f"a greeting of {size} bytes; {GREETING_BYTES_MAX} are the most")
    return decode(await _exactly(sock, size))


async def hear_one(sock: socket.socket, wanted: type[Wanted]) -> Wanted:
    message = await hear(sock)
    if not isinstance(message, wanted):
        raise BadFrame(f"{wanted.__name__} is due first, not {type(message).__name__}")
    return message


async def conversation(sock: socket.socket, peer: str) -> Link:
    """From here on the connection carries messages."""
    reader, writer = await asyncio.open_connection(sock=sock)
    return Link(reader, writer, peer)


def common(capabilities: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in CAPABILITIES if name in capabilities)


async def _exactly(sock: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        part = await loop.sock_recv(sock, size - len(data))
        if not part:
            raise FrameTruncated(
                f"the connection ended {size - len(data)} bytes before its greeting"
            )
        data += part
    return data
