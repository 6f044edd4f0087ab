"""Serves the volumes that this node owns to the other nodes, on its cluster networks alone."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from agent.io.disks.ownership import Ownership
from agent.io.disks.wire import Wire, room_of
from protocol import messages as say
from protocol.disks import DiskId
from protocol.errors import PeerUnreachable, Refused
from protocol.messages import VolumeMessage, VolumeRequest
from protocol.names import Incarnation

REQUESTS_MAX = 32
"""Of one connection under way; more than these wait unread."""

LINKS_MAX = 256
ATTACH_WITHIN_S = 5.0
"""Whoever has not said by then what it wants is hung up on."""

PORT_TRIES = 8


class Connection:
    """One client's connection, for one volume under one epoch."""

    def __init__(self, server: "VolumeServer") -> None:
        self._server = server
        self.wire = Wire(self._said, _room_for, self._lost)
        self._ownership: Ownership | None = None
        self._client = Incarnation("")
        self._jobs: set[asyncio.Task[None]] = set()
        self._attaching: asyncio.Task[None] | None = None

    def _said(self, message: VolumeMessage, payload: memoryview | None) -> None:
        if isinstance(message, say.Attach) and self._attaching is None:
            self._attaching = self._server.task(self._attach(message))
        elif isinstance(message, VolumeRequest) and self._ownership is not None:
            job = self._server.task(self._serve(self._ownership, message, payload))
            self._jobs.add(job)
            job.add_done_callback(self._ended)
            if len(self._jobs) >= REQUESTS_MAX:
                self.wire.pause_reading()
        else:
            self.wire.abort(f"{type(message).__name__} does not come here")

    def _ended(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        if len(self._jobs) < REQUESTS_MAX:
            self.wire.resume_reading()

    async def _attach(self, hello: say.Attach) -> None:
        ownership = self._server.find(hello.disk)
        denied = (
            f"This node does not own disk {hello.disk}."
            if ownership is None
            else ownership.refuses(hello)
        )
        if ownership is None or denied:
            self._say(say.Failed(0, "not-owner", denied, True))
            self.wire.close()
            return
        self._client = hello.incarnation
        # What came over an earlier connection of this client may still write: it ends first.
        await ownership.admit(hello.incarnation, self)
        self._ownership = ownership
        self._say(say.Attached(hello.disk, hello.epoch, ownership.owner.me))

    async def _serve(
        self, ownership: Ownership, request: VolumeRequest, payload: memoryview | None
    ) -> None:
        answer, data = await ownership.serve(self._client, request, payload)
        self._say(answer, data)

    def _say(self, message: VolumeMessage, data: memoryview | None = None) -> None:
        with contextlib.suppress(PeerUnreachable):  # it asks again over another connection
            self.wire.write(message, () if data is None else (data,))

    def _lost(self, reason: str) -> None:
        """The owner does not forget the client: it may be back over another network, and what of it
        is under way still has to end before that.
        """
        self._server.gone(self)

    def give_up(self) -> None:
        if self._attaching is None and self.wire.is_open:
            self.wire.abort("it did not say what it wants")

    def drop(self, reason: str) -> None:
        self._say(say.Failed(0, "not-owner", reason, True))
        self.wire.close()

    async def ended(self) -> None:
        """Wait for what is under way; nothing more comes."""
        self.wire.pause_reading()
        if self._jobs:
            await asyncio.wait(set(self._jobs))


def _room_for(message: say.FileRead | say.WriteFile) -> memoryview:
    return room_of(message.payload_bytes)


def _address(server: asyncio.Server) -> str:
    return str(server.sockets[0].getsockname()[0])


class VolumeServer:
    """Listens on each address with one port for all of them."""

    def __init__(self, find: Callable[[DiskId], Ownership | None]) -> None:
        self.find = find
        self.port = 0
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, addresses: Iterable[str], port: int) -> int:
        """`Refused` if the port is in use."""
        wanted, tries = tuple(addresses), 1 if port else PORT_TRIES
        while True:
            try:
                return await self._listen(wanted, port)
            except OSError as error:
                await self.close()
                tries -= 1  # a port that was free on one address may be taken on the next
                if not tries:
                    raise Refused(
                        f"cannot serve volumes on port {port}: {error.strerror}"
                    ) from error

    async def _listen(self, addresses: tuple[str, ...], port: int) -> int:
        loop, self.port = asyncio.get_running_loop(), port
        for address in addresses:
            server = await loop.create_server(self._accepted, address, self.port)
            self._servers.append(server)
            self.port = server.sockets[0].getsockname()[1]
        return self.port

    def _accepted(self) -> Wire:
        connection = Connection(self)
        if len(self._connections) >= LINKS_MAX:
            connection.wire.abort("one connection too many")
        self._connections.add(connection)
        asyncio.get_running_loop().call_later(ATTACH_WITHIN_S, connection.give_up)
        return connection.wire

    def gone(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def stop_listening_on(self, address: str) -> None:
        """That network is gone: its connections are, and no new ones come."""
        for server in [one for one in self._servers if _address(one) == address]:
            server.close()
            self._servers.remove(server)
        for connection in list(self._connections):
            if connection.wire.is_open and connection.wire.sockname[0] == address:
                connection.wire.abort("its network is gone")

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self._connections):
            connection.wire.abort("the node ends")
        while tasks := [task for task in self._tasks if task is not asyncio.current_task()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await asyncio.sleep(0)
