"""The way of a node to the owner of a volume: over TCP, network after network, or on the spot."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agent.io.disks.loop import whole
from agent.io.disks.ownership import Ownership
from agent.io.disks.wire import Buffers, Wire
from agent.volumes import ways
from agent.volumes.ways import Address, ClientEvent, Place
from protocol import messages as say
from protocol.disks import DiskId
from protocol.errors import BadFrame, PeerUnreachable
from protocol.messages import VolumeAnswer, VolumeMessage, VolumeRequest
from protocol.names import ClusterId, Incarnation

CONNECT_WITHIN_S = 1.0
AGAIN_AFTER_S = 0.2

NO_DATA = memoryview(b"")


class OwnerLink(Protocol):
    """To the owner under one epoch. Feeds OwnerReached and OwnerLost."""

    async def run(self) -> None: ...
    async def ask(
        self, request: VolumeRequest, data: Buffers = (), target: memoryview = NO_DATA
    ) -> VolumeAnswer:
        """The answer; the file data of a FileRead is in `target` then. `PeerUnreachable` when the
        connection went, and while there is none.
        """

    def renew(self, reason: str) -> None:
        """The owner would not serve: begin anew after a while."""


@dataclass(slots=True)
class _Asked:
    answer: asyncio.Future[VolumeAnswer]
    target: memoryview


@dataclass(slots=True)
class _Line:
    """One connection."""

    wire: Wire
    lost: asyncio.Future[str]
    asked: dict[int, _Asked] = field(default_factory=dict)


class RemoteLink:
    """`to` another node. When a connection breaks the next network is tried at once; only when all
    were tried in vain is the owner lost.
    """

    def __init__(
        self,
        cluster: ClusterId,
        disk: DiskId,
        me: Incarnation,
        to: Place,
        feed: Callable[[ClientEvent], None],
    ) -> None:
        self._hello = say.Attach(cluster, disk, to.epoch, me)
        self._to = to
        self._feed = feed
        self._line: _Line | None = None
        self._up = asyncio.Event()
        self._is_reached = False
        self._reason = "no network of this node leads to it"
        self._renewed = False
        self.address: Address | None = None
        """Over which it is connected now."""

    async def run(self) -> None:
        first = 0
        try:
            while True:
                found = await self._connect(first)
                if found is None:
                    self._lose(self._reason)
                    await asyncio.sleep(AGAIN_AFTER_S)
                    continue
                first, line = found
                await self._use(line)
                first += 1  # another network first: this one has just failed
                if self._renewed:
                    self._renewed = False
                    await asyncio.sleep(AGAIN_AFTER_S)
        finally:
            self._up.clear()
            if self._line is not None:
                self._line.wire.abort("the node needs it no more")

    async def _connect(self, first: int) -> tuple[int, _Line] | None:
        addresses = self._to.addresses
        for step in range(len(addresses)):
            number = (first + step) % len(addresses)
            local, host, port = addresses[number]
            try:
                async with asyncio.timeout(CONNECT_WITHIN_S):
                    line = await self._attach(local, host, port)
            except (OSError, PeerUnreachable) as error:  # TimeoutError is one of the first
                self._reason = f"{host}:{port}: {str(error) or 'no answer in time'}"
                continue
            self.address = addresses[number]
            return number, line
        return None

    async def _attach(self, local: str, host: str, port: int) -> _Line:
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[str] = loop.create_future()
        greeted: asyncio.Future[str] = loop.create_future()
        asked: dict[int, _Asked] = {}

        def said(message: VolumeMessage, payload: memoryview | None) -> None:
            match message:
                case say.Attached() if not greeted.done():
                    greeted.set_result("")
                case say.Failed(0, _, reason):
                    if greeted.done():
                        wire.abort(reason)
                    else:
                        greeted.set_result(reason)
                case say.FileOpened() | say.FolderListed() | say.FileRead() | say.Done():
                    _answer(asked, message)
                case say.Failed():
                    _answer(asked, message)
                case _:
                    wire.abort(f"{type(message).__name__} is no answer")

        def place(message: say.FileRead | say.WriteFile) -> memoryview:
            one = asked.get(message.request)
            if one is None or len(one.target) != message.payload_bytes:
                raise BadFrame("file data that nobody has asked for")
            return one.target

        def gone(reason: str) -> None:
            if not lost.done():
                lost.set_result(reason)
            if not greeted.done():
                greeted.set_result(reason)
            for one in asked.values():
                if not one.answer.done():
                    one.answer.set_exception(PeerUnreachable(f"the owner's link broke: {reason}"))
                    one.answer.exception()

        wire = Wire(said, place, gone)
        await loop.create_connection(lambda: wire, host, port, local_addr=(local, 0))
        try:
            wire.write(self._hello)
            refused = await greeted
            if refused:
                raise PeerUnreachable(refused)
        except BaseException:
            wire.abort("not let in")
            raise
        return _Line(wire, lost, asked)

    async def _use(self, line: _Line) -> None:
        self._line = line
        self._up.set()
        if not self._is_reached:
            self._is_reached = True
            self._feed(ways.OwnerReached(self._to.epoch))
        self._reason = await line.lost
        self._line = None
        self._up.clear()

    def _lose(self, reason: str) -> None:
        self._is_reached = False
        self._feed(ways.OwnerLost(self._to.epoch, f"The owner is not reached: {reason}"))

    async def ask(
        self, request: VolumeRequest, data: Buffers = (), target: memoryview = NO_DATA
    ) -> VolumeAnswer:
        line = self._line
        if line is None:
            if not self._is_reached:
                raise PeerUnreachable(self._reason)
            async with asyncio.timeout(len(self._to.addresses) * CONNECT_WITHIN_S + 1):
                await self._up.wait()
            line = self._line
            if line is None:
                raise PeerUnreachable(self._reason)
        return await whole(_answered(line, request, data, target))

    def renew(self, reason: str) -> None:
        self._is_reached = False
        self._renewed = True
        self._feed(ways.OwnerLost(self._to.epoch, reason))
        if self._line is not None:
            self._line.wire.abort(reason)


async def _answered(
    line: _Line, request: VolumeRequest, data: Buffers, target: memoryview
) -> VolumeAnswer:
    answer: asyncio.Future[VolumeAnswer] = asyncio.get_running_loop().create_future()
    line.asked[request.request] = _Asked(answer, target)
    try:
        line.wire.write(request, data)
        await line.wire.room()
        return await answer
    finally:
        line.asked.pop(request.request, None)


def _answer(asked: dict[int, _Asked], message: VolumeAnswer) -> None:
    one = asked.get(message.request)
    if one is not None and not one.answer.done():
        one.answer.set_result(message)


class LocalLink:
    """To this node itself."""

    def __init__(
        self,
        me: Incarnation,
        to: Place,
        find: Callable[[], Ownership | None],
        feed: Callable[[ClientEvent], None],
    ) -> None:
        self._me = me
        self._to = to
        self._find = find
        self._feed = feed
        self._ownership: Ownership | None = None
        self._dropped = asyncio.Event()
        self._reason = ""

    async def run(self) -> None:
        try:
            while True:
                self._dropped.clear()
                ownership = self._find()
                if (
                    ownership is None
                    or ownership.owner.epoch != self._to.epoch
                    or not await ownership.settled()
                    or ownership.owner.comes_in(self._me) is not None
                ):
                    await asyncio.sleep(AGAIN_AFTER_S / 4)
                    continue
                await ownership.admit(self._me, self)
                self._ownership = ownership
                self._feed(ways.OwnerReached(self._to.epoch))
                await self._dropped.wait()
                self._ownership = None
                self._feed(ways.OwnerLost(self._to.epoch, self._reason))
        finally:
            self._ownership = None

    async def ask(
        self, request: VolumeRequest, data: Buffers = (), target: memoryview = NO_DATA
    ) -> VolumeAnswer:
        ownership = self._ownership
        if ownership is None:
            raise PeerUnreachable("this node does not serve the volume yet")
        payload = memoryview(b"".join(data)) if data else None
        answer, read = await whole(ownership.serve(self._me, request, payload))
        if read is not None:
            target[:] = read
        return answer

    def renew(self, reason: str) -> None:
        self.drop(reason)

    def drop(self, reason: str) -> None:
        self._reason = reason
        self._dropped.set()

    async def ended(self) -> None:
        """What is under way here is seen by who waits for all requests."""
