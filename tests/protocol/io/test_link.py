"""A link carries messages both ways, pushes back, and knows one word for a broken network."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from protocol.errors import FrameTooBig, PeerUnreachable, ProtocolError, Refused
from protocol.io.link import MESSAGES_PER_TURN, Link, LinkServer, open_link, serve_links
from protocol.messages import Message, Ping, TurnedAway
from protocol.names import ClusterId, Term


def ping(seq: int) -> Ping:
    return Ping(ClusterId("lab"), Term(1), seq)


@contextlib.asynccontextmanager
async def linked(on_link: Callable[[Link], Awaitable[None]]) -> AsyncIterator[Link]:
    """A link to a server that runs `on_link`; both end with the block."""
    async with (
        await serve_links("127.0.0.1", 0, on_link) as server,
        await open_link("127.0.0.1", server.port, peer="node2") as link,
    ):
        yield link


async def send_until_it_fails(link: Link, message: Message) -> None:
    while True:
        await link.send(message)


async def echo(link: Link) -> None:
    async for message in link:
        await link.send(message)


async def test_messages_go_both_ways_in_order() -> None:
    async with linked(echo) as link:
        for seq in range(100):
            await link.send(ping(seq))

        assert [await link.receive() for _ in range(100)] == [ping(seq) for seq in range(100)]


async def test_many_tasks_may_send_at_once() -> None:
    async with linked(echo) as link:
        await asyncio.gather(*(link.send(ping(seq)) for seq in range(50)))

        assert [await link.receive() for _ in range(50)] == [ping(seq) for seq in range(50)]


async def test_what_was_sent_before_close_arrives() -> None:
    got: asyncio.Queue[Message | None] = asyncio.Queue()

    async def collect(link: Link) -> None:
        async for message in link:
            got.put_nowait(message)
        got.put_nowait(None)

    async with linked(collect) as link:
        await link.send(TurnedAway("enough"))
        await link.close()
        await link.close()

        assert await got.get() == TurnedAway("enough")
        assert await got.get() is None


async def test_a_link_leaves_from_the_address_it_is_told() -> None:
    seen: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def look(link: Link) -> None:
        seen.put_nowait((link.remote[0], link.local[0]))

    async with (
        await serve_links("127.0.2.1", 0, look) as server,
        await open_link("127.0.2.1", server.port, local_addr="127.0.2.9") as link,
    ):
        assert await seen.get() == ("127.0.2.9", "127.0.2.1")
        assert link.local[0] == "127.0.2.9"


async def test_a_peer_that_closes_is_unreachable() -> None:
    async def leave(link: Link) -> None:
        await link.close()

    async with linked(leave) as link:
        with pytest.raises(PeerUnreachable, match="node2 closed the link"):
            await link.receive()


async def test_a_peer_that_closes_ends_the_iteration() -> None:
    async def leave(link: Link) -> None:
        await link.send(ping(1))

    async with linked(leave) as link:
        assert [message async for message in link] == [ping(1)]


async def test_a_reset_is_unreachable_for_both_directions() -> None:
    async def reset(link: Link) -> None:
        link._writer.transport.abort()

    async with linked(reset) as link:
        with contextlib.suppress(PeerUnreachable):
            async for _ in link:
                pass
        with pytest.raises(PeerUnreachable):
            await send_until_it_fails(link, ping(1))


async def test_a_closed_link_sends_nothing() -> None:
    async with linked(echo) as link:
        await link.close()

        with pytest.raises(PeerUnreachable, match="closed"):
            await link.send(ping(1))


async def test_a_peer_that_does_not_read_makes_the_sender_wait_and_then_fail() -> None:
    async def sleep(link: Link) -> None:
        await asyncio.Event().wait()

    async with (
        await serve_links("127.0.0.1", 0, sleep) as server,
        await open_link("127.0.0.1", server.port, send_timeout_s=0.1) as link,
    ):
        with pytest.raises(PeerUnreachable, match="in time"):
            await send_until_it_fails(link, TurnedAway("x" * 4000))
        with pytest.raises(PeerUnreachable, match="closed"):
            await link.send(ping(1))


async def test_a_talkative_peer_leaves_turns_to_other_tasks() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with linked(echo) as link:
        counting = asyncio.create_task(count())
        for seq in range(1000):
            await link.send(ping(seq))
        assert turns >= 1000 // MESSAGES_PER_TURN - 2
        counting.cancel()


async def raw_client(server: LinkServer, data: bytes) -> bytes:
    """Say `data` to a server that expects messages, and what it answers until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    writer.write_eof()
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\1\1"])
async def test_hostile_bytes_end_their_own_link_with_a_protocol_error(data: bytes) -> None:
    faults: asyncio.Queue[ProtocolError] = asyncio.Queue()

    async def note(link: Link) -> None:
        try:
            await link.receive()
        except ProtocolError as exc:
            faults.put_nowait(exc)
            raise

    async with await serve_links("127.0.0.1", 0, note) as server:
        assert await raw_client(server, data) == b""
        assert isinstance(await faults.get(), ProtocolError)

        async with await open_link("127.0.0.1", server.port) as link:
            await link.send(ping(1))


async def test_messages_before_hostile_bytes_are_received() -> None:
    async def talk(link: Link) -> None:
        await link.send(ping(1))
        link._writer.write(b"\xff\xff\xff\xff")

    async with linked(talk) as link:
        assert await link.receive() == ping(1)
        with pytest.raises(FrameTooBig):
            await link.receive()


async def test_a_stream_that_ends_within_a_frame_is_unreachable() -> None:
    async def stumble(link: Link) -> None:
        link._writer.write(b"\0\0\0\x10half")

    async with linked(stumble) as link:
        with pytest.raises(PeerUnreachable, match="into a frame"):
            await link.receive()


async def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))

        with pytest.raises(PeerUnreachable):
            await open_link("127.0.0.1", taken.getsockname()[1])


async def test_a_host_that_does_not_answer_is_unreachable_within_the_timeout() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        host, port = full.getsockname()
        async with contextlib.AsyncExitStack() as stack:

            async def fill_its_queue() -> None:
                while True:
                    link = await open_link(host, port, timeout_s=0.1)
                    await stack.enter_async_context(link)

            with pytest.raises(PeerUnreachable, match="in time"):
                await fill_its_queue()


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "0", "::ffff:0.0.0.0"])
async def test_no_server_listens_on_every_address(host: str) -> None:
    with pytest.raises(Refused, match="every address"):
        await serve_links(host, 0, echo)


@pytest.mark.parametrize("port", [-1, 65536])
async def test_an_impossible_port_is_refused(port: int) -> None:
    with pytest.raises(Refused, match="is no port"):
        await serve_links("127.0.0.1", port, echo)
    with pytest.raises(Refused, match="is no port"):
        await open_link("127.0.0.1", port)


async def test_a_port_in_use_is_refused_by_name() -> None:
    async with await serve_links("127.0.0.1", 0, echo) as server:
        with pytest.raises(Refused, match=f"port {server.port}: "):
            await serve_links("127.0.0.1", server.port, echo)


@pytest.mark.parametrize("host", ["no.such.name.invalid", "x" * 300])
async def test_a_name_that_is_no_host_ends_in_a_sentence(host: str) -> None:
    with pytest.raises(Refused):
        await serve_links(host, 0, echo)
    with pytest.raises(PeerUnreachable):
        await open_link(host, 3343)


async def test_closing_a_server_ends_its_links() -> None:
    before = len(asyncio.all_tasks())
    async with linked(echo) as link:
        await link.send(ping(1))
        await link.receive()
        assert len(asyncio.all_tasks()) == before + 1
    assert len(asyncio.all_tasks()) == before


async def test_one_link_too_many_is_closed_unheard() -> None:
    async with (
        await serve_links("127.0.0.1", 0, echo, links_max=1) as server,
        await open_link("127.0.0.1", server.port) as first,
    ):
        await first.send(ping(1))
        await first.receive()
        async with await open_link("127.0.0.1", server.port) as second:
            with pytest.raises(PeerUnreachable):
                await second.receive()


async def test_a_silent_peer_is_noticed_by_the_kernel() -> None:
    options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    ]

    async def tell(link: Link) -> None:
        await link.send(TurnedAway(repr([option(link, *which) for which in options])))

    def option(link: Link, level: int, name: int) -> int:
        descriptor = link._writer.get_extra_info("socket").fileno()
        with socket.socket(fileno=socket.dup(descriptor)) as sock:
            return sock.getsockopt(level, name)

    async with linked(tell) as link:
        assert [option(link, *which) for which in options] == [1, 10_000, 2]
        assert await link.receive() == TurnedAway("[1, 10000, 2]")
