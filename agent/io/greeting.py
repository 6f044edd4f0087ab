"""First words on a connection of a migration: single frames, read to the byte from a raw socket.

Behind them a connection becomes a conversation (stream 0) or a stream of pages, and not one byte of
what follows may have been read with them.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import TypeVar

from protocol.codec import FRAME_BYTES_MAX, LENGTH, decode, encode_frame
from protocol.errors import BadFrame, FrameTooBig, FrameTruncated, PeerUnreachable
from protocol.io.link import Link, link_to
from protocol.messages import Abandoned, Greeted, Message

GREETING_BYTES_MAX = min(16 * 1024, FRAME_BYTES_MAX)
CAPABILITIES = ("zero-pages",)

Wanted = TypeVar("Wanted")
Knocked = tuple[socket.socket, Greeted]


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


async def knock(
    here: str,
    node: str,
    there: tuple[str, int],
    words: Message,
    tune: Callable[[socket.socket], None] = lambda _: None,
) -> Knocked:
    """Connect from the address `here` to that of `node`, say `words`, and be let in. `tune` has the
    socket before it connects.

    Raises `PeerUnreachable`, also where the node refuses; nothing is left open then.
    """
    with contextlib.ExitStack() as opened:
        sock = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        sock.setblocking(False)
        with link_to(node):
            sock.bind((here, 0))
            tune(sock)
            await asyncio.get_running_loop().sock_connect(sock, there)
            await say(sock, words)
            answer = await hear_one(sock, Greeted | Abandoned)  # type: ignore[arg-type]
        if isinstance(answer, Abandoned):
            raise PeerUnreachable(f"{node} refused: {answer.reason}")
        opened.pop_all()
        return sock, answer


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
