"""A TCP connection that carries messages: the only place where the network's errors become ours."""

import asyncio
import contextlib
import ipaddress
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Self

from protocol.codec import encode_frame
from protocol.errors import FrameTruncated, PeerUnreachable, ProtocolError, Refused
from protocol.framing import FrameReader
from protocol.messages import Message

READ_BYTES = 16 * 1024

MESSAGES_PER_TURN = 32
"""After so many the other tasks of the loop get theirs, however fast a peer talks or listens."""

SEND_QUEUE_BYTES_MAX = 256 * 1024
"""A peer that leaves more than this unread makes `send` wait; its timeout ends the link."""

SEND_TIMEOUT_S = 5.0

SILENCE_S = 10.0
"""How long the kernel lets sent bytes, or an idle link's probes, go unacknowledged."""

LINKS_MAX = 1024
"""More connections than this at once are closed unheard: a flood must not eat the descriptors."""


@contextlib.contextmanager
def link_to(peer: str) -> Iterator[None]:
    """The one place where the network's errors turn into ours."""
    try:
        yield
    except TimeoutError as exc:
        raise PeerUnreachable(f"{peer} did not answer in time") from exc
    except (OSError, EOFError, UnicodeError) as exc:  # the last: of a host name that cannot be one
        raise PeerUnreachable(f"the link to {peer} broke: {exc}") from exc


class Link:
    """One end of a connection. Any task may send; one task receives.

    The first error ends the link for good: what was sent before it may or may not have arrived.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: str | None = None,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        self.remote: tuple[str, int] = writer.get_extra_info("peername")[:2]
        self.local: tuple[str, int] = writer.get_extra_info("sockname")[:2]
        self.peer = peer or f"{self.remote[0]}:{self.remote[1]}"
        """Who is there, for errors and logs; set it once the peer has said its name."""
        self.send_timeout_s = send_timeout_s
        self._reader = reader
        self._writer = writer
        self._frames = FrameReader()
        self._received: deque[Message] = deque()
        self._turn = asyncio.Lock()
        self._closing = False
        self._since_turn = 0
        writer.transport.set_write_buffer_limits(high=SEND_QUEUE_BYTES_MAX)

    async def send(self, message: Message) -> None:
        """Hand `message` over to be sent, in the order of the calls; not a word on its arrival."""
        frame = encode_frame(message)
        try:
            with link_to(self.peer):
                async with asyncio.timeout(self.send_timeout_s), self._turn:
                    if self._writer.is_closing():
                        raise ConnectionResetError("it is closed")
                    self._writer.write(frame)
                    await self._writer.drain()
                    await self._let_others()
        except PeerUnreachable:
            self._abort()
            raise

    async def receive(self) -> Message:
        """The next message, however long it takes. `PeerUnreachable` at the end of the stream."""
        message = await self._next()
        if message is None:
            raise PeerUnreachable(f"{self.peer} closed the link")
        return message

    def __aiter__(self) -> Self:
        """All messages until the peer, or `close`, ends the link between two of them."""
        return self

    async def __anext__(self) -> Message:
        message = await self._next()
        if message is None:
            raise StopAsyncIteration
        return message

    async def close(self) -> None:
        """Send what waits, within the send timeout, and end the link. May be repeated."""
        if self._closing:
            return
        self._closing = True
        self._writer.close()
        try:
            async with asyncio.timeout(self.send_timeout_s):
                await self._writer.wait_closed()
        except OSError:  # TimeoutError is one of them
            self._abort()
        except asyncio.CancelledError:
            self._abort()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _next(self) -> Message | None:
        try:
            while not self._received:
                self._received.extend(self._frames.feed(b""))  # raises what an earlier slice hid
                with link_to(self.peer):
                    data = await self._reader.read(READ_BYTES)
                if not data:
                    self._frames.end()
                    return None
                self._received.extend(self._frames.feed(data))
            await self._let_others()
        except FrameTruncated as exc:
            self._abort()
            raise PeerUnreachable(f"the link to {self.peer} broke: {exc}") from exc
        except (PeerUnreachable, ProtocolError):
            self._abort()
            raise
        return self._received.popleft()

    async def _let_others(self) -> None:
        # Neither a read nor a drain gives way while there is something to read or room to write.
        self._since_turn += 1
        if self._since_turn >= MESSAGES_PER_TURN:
            self._since_turn = 0
            await asyncio.sleep(0)

    def _abort(self) -> None:
        self._writer.transport.abort()


async def open_link(
    host: str,
    port: int,
    *,
    local_addr: str | None = None,
    timeout_s: float = 5.0,
    peer: str | None = None,
    send_timeout_s: float = SEND_TIMEOUT_S,
) -> Link:
    """Connect within `timeout_s`, from `local_addr` if one is given: that chooses the network."""
    loop = asyncio.get_running_loop()
    name = peer or f"{host}:{port}"
    _check_port(port, least=1)
    with link_to(name):
        async with asyncio.timeout(timeout_s):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            family, _, _, _, address = found[0]
            sock = _tcp_socket(family)
            try:
                if local_addr is not None:
                    sock.bind((local_addr, 0))
                await loop.sock_connect(sock, address)
                if sock.getsockname() == sock.getpeername():
                    # Without a listener, a connection from the very port that it wants is its own.
                    raise ConnectionRefusedError("nobody listens")
                reader, writer = await asyncio.open_connection(sock=sock)
            except BaseException:
                sock.close()
                raise
    return Link(reader, writer, name, send_timeout_s)


class LinkServer:
    """Accepts links and runs `on_link` for each, in a task that it ends when it closes."""

    def __init__(self, on_link: Callable[[Link], Awaitable[None]], links_max: int) -> None:
        self._on_link = on_link
        self._links_max = links_max
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.host = ""
        self.port = 0

    async def listen(self, sock: socket.socket) -> None:
        self.host, self.port = sock.getsockname()[:2]
        self._server = await asyncio.start_server(self._accepted, sock=sock)

    async def close(self) -> None:
        """Stop listening, end every link and its task. May be repeated."""
        if self._server is not None:
            self._server.close()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self._links_max or writer.get_extra_info("peername") is None:
            writer.transport.abort()  # one too many, or gone again already
            return
        task = asyncio.get_running_loop().create_task(self._serve(Link(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _serve(self, link: Link) -> None:
        try:
            # A peer that leaves or talks nonsense ends its own link and nothing else.
            with contextlib.suppress(PeerUnreachable, ProtocolError):
                await self._on_link(link)
        finally:
            await link.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            task.get_loop().call_exception_handler(
                {"message": "serving a link failed", "exception": fault, "task": task}
            )


async def serve_links(
    host: str,
    port: int,
    on_link: Callable[[Link], Awaitable[None]],
    *,
    links_max: int = LINKS_MAX,
) -> LinkServer:
    """Listen on one address; port 0 takes a free one, which `LinkServer.port` tells."""
    loop = asyncio.get_running_loop()
    _check_port(port, least=0)
    try:
        found = await loop.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise Refused(f"cannot listen on {host!r}: it is no address of this machine") from exc
    family, _, _, _, address = found[0]
    if _is_everywhere(str(address[0])):
        raise Refused(f"will not listen on {host!r}, which is every address: name one of a network")
    sock = _tcp_socket(family)
    try:
        sock.bind(address)
        server = LinkServer(on_link, links_max)
        await server.listen(sock)
    except OSError as exc:
        sock.close()
        raise Refused(f"cannot listen on {host} port {port}: {exc.strerror}") from exc
    return server


def _check_port(port: int, least: int) -> None:
    if not least <= port <= 65535:
        raise Refused(f"{port} is no port: {least} to 65535 are")


def _is_everywhere(address: str) -> bool:
    """Whether binding to `address` would listen on all networks, the operators' included."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_unspecified


def _tcp_socket(family: int) -> socket.socket:
    """A socket that notices a silent peer. What a listening one is told, accepted ones inherit."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SILENCE_S * 1000))
    return sock
