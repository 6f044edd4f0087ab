import asyncio
import socket
from collections.abc import Iterator

import pytest

from agent.io import greeting
from protocol.codec import LENGTH, encode_frame
from protocol.errors import BadFrame, FrameTooBig, FrameTruncated, ProtocolError
from protocol.messages import Abandoned, Greeted
from protocol.names import AttemptId

PATIENCE_S = 10.0
GREETED = Greeted(AttemptId(1), 2, ("zero-pages",))
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        yield here, there


async def test_a_greeting_leaves_what_follows_it_in_the_socket(pair: Pair) -> None:
    here, there = pair
    await greeting.say(here, GREETED)
    here.send(b"pages")

    assert await greeting.hear_one(there, Greeted) == GREETED
    assert there.recv(100) == b"pages"


async def test_a_greeting_may_come_byte_by_byte(pair: Pair) -> None:
    here, there = pair
    hearing = asyncio.create_task(greeting.hear_one(there, Greeted))
    for number in encode_frame(GREETED):
        here.send(bytes([number]))
        await asyncio.sleep(0)
    assert await asyncio.wait_for(hearing, PATIENCE_S) == GREETED


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", FrameTruncated),
        (encode_frame(GREETED)[:-1], FrameTruncated),
        (LENGTH.pack(2**32 - 1), FrameTooBig),
        (LENGTH.pack(greeting.GREETING_BYTES_MAX + 1), FrameTooBig),
        (LENGTH.pack(4) + b"\xc1\xc1\xc1\xc1", ProtocolError),
        (LENGTH.pack(0), ProtocolError),
        (encode_frame(Abandoned(AttemptId(1), "no")), BadFrame),
    ],
)
async def test_what_is_no_greeting_is_refused_before_it_is_read_on(
    pair: Pair, data: bytes, error: type[ProtocolError]
) -> None:
    here, there = pair
    here.sendall(data)
    here.shutdown(socket.SHUT_WR)
    with pytest.raises(error):
        await asyncio.wait_for(greeting.hear_one(there, Greeted), PATIENCE_S)


def test_both_sides_may_do_only_what_both_can() -> None:
    assert greeting.common(("later", "zero-pages")) == ("zero-pages",)
    assert greeting.common(()) == ()
