"""Carries out what this node's client of one volume wants, and moves the bytes of its files.

For each piece of I/O the client is asked how it goes at this moment; after a failure, and after
each wait, it is asked again. So whoever reads or writes sees a delay, and an error only when there
will be no other answer.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from agent.io.disks.loop import whole
from agent.io.disks.lun import Lun
from agent.io.disks.mount import read_runs, write_runs
from agent.io.disks.owner_link import NO_DATA, OwnerLink
from agent.io.disks.service import extents_of
from agent.io.disks.under_way import UnderWay
from agent.io.disks.wire import Buffers
from agent.volumes import ways
from agent.volumes.client import VolumeClient
from agent.volumes.errors import Conflict, PathLost, VolumeError, told
from agent.volumes.extents import Extent, blocks_for, total_blocks
from agent.volumes.owner import FENCED, NO_LEASE, NOT_OWNER, NOT_REDIRECTED
from agent.volumes.preparing import Preparing
from agent.volumes.ways import ClientAction, ClientEvent, Place
from protocol import messages as say
from protocol.disks import VolumeAccess
from protocol.errors import ClusterError, PeerUnreachable
from protocol.messages import VolumeAnswer, VolumeRequest
from protocol.names import Epoch, Incarnation, VmName

PASSING = {NOT_OWNER, NO_LEASE, NOT_REDIRECTED, FENCED}
"""Refusals that say nothing of the request: the owner is another, or must be asked otherwise."""


class VolumeUse:
    """One volume, as this node uses it. Everything happens on the disk loop."""

    def __init__(
        self,
        me: Incarnation,
        lun: Callable[[], Lun | None],
        link: Callable[[Place, Callable[[ClientEvent], None]], OwnerLink],
        give_up: Callable[[int], None],
        show: Callable[[VolumeAccess, str], None],
    ) -> None:
        self.client = VolumeClient(me)
        self._lun = lun
        self._make_link = link
        self._give_up = give_up
        self._show = show
        self._link: OwnerLink | None = None
        self._linking: asyncio.Task[None] | None = None
        self._under_way = UnderWay()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._inbox: deque[ClientEvent] = deque()
        self._handles = itertools.count(1)
        self._numbers = itertools.count(1)
        self._preparing: dict[int, Preparing] = {}
        self._jobs: set[asyncio.Task[None]] = set()

    # ---- the door

    def feed(self, event: ClientEvent) -> None:
        """One event after the other, also where carrying out one brings the next."""
        self._inbox.append(event)
        if len(self._inbox) > 1:
            return
        while self._inbox:
            try:
                for action in self.client.handle(self._inbox[0]):
                    self._do(action)
            finally:
                self._inbox.popleft()

    def _do(self, action: ClientAction) -> None:
        epoch = self.client.epoch
        match action:
            case ways.Reach(place):
                self._hang_up()
                self._link = link = self._make_link(place, self.feed)
                self._linking = asyncio.get_running_loop().create_task(link.run())
            case ways.HangUp():
                self._hang_up()
            case ways.Drain(turn):
                self._job(self._drain(turn))
            case ways.GiveUpKey(generation):
                self._give_up(generation)
            case ways.AskRedirect(turn, generation):
                agreed: ClientEvent = ways.RedirectAgreed(turn)
                self._job(self._agree(agreed, lambda number: say.Redirect(number, generation)))
            case ways.AskDirect(turn):
                agreed = ways.DirectAgreed(turn)
                self._job(self._agree(agreed, lambda number: say.GoDirect(number)))
            case ways.AskFile(handle, path, is_writable, vm, vm_epoch):
                words = path, is_writable, vm, vm_epoch
                self._job(self._find(handle, epoch, lambda number: say.OpenFile(number, *words)))
            case ways.LookAgain(handle, grant):
                look = partial(say.LookAtFile, grant=grant, first=0)
                self._job(self._find(handle, epoch, look))
            case ways.ReturnGrant(grant):
                self._job(self._return(grant))
            case ways.Wake():
                waiting, self._waiters = self._waiters, deque()
                for waiter in waiting:
                    if not waiter.done():
                        waiter.set_result(None)
            case ways.Show(access, reason):
                self._show(access, reason)

    def _hang_up(self) -> None:
        if self._linking is not None:
            self._linking.cancel()
        self._link = self._linking = None

    def _job(self, work: Coroutine[Any, Any, None]) -> None:
        job = asyncio.get_running_loop().create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def end(self) -> None:
        """The node needs the volume no more; what waits ends with `PathLost`."""
        jobs = {*self._jobs, *([self._linking] if self._linking else [])}
        self._hang_up()
        for job in jobs:
            job.cancel()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(PathLost("This node does not use the volume any more."))
        if jobs:
            await asyncio.wait(jobs)

    # ---- what the client wants of the owner

    async def _drain(self, turn: int) -> None:
        await self._under_way.drained(turn)
        self.feed(ways.Drained(turn))

    async def _agree(self, agreed: ClientEvent, make: Callable[[int], VolumeRequest]) -> None:
        """As often as it takes, while this connection to the owner is the one that counts."""
        link = self._link
        while link is not None and link is self._link:
            with contextlib.suppress(PeerUnreachable, TimeoutError):
                await self._ask(link, make(next(self._numbers)))
                self.feed(agreed)
                return
            if not self.client.is_reached:
                return

    async def _find(self, handle: int, epoch: Epoch, make: Callable[[int], VolumeRequest]) -> None:
        """Open the file, or look where it lies by now."""
        link = self._link
        while link is not None and link is self._link and self.client.is_reached:
            try:
                opened = await self._ask(link, make(next(self._numbers)))
                await self._found(link, handle, epoch, opened)
                return
            except (PeerUnreachable, TimeoutError):
                continue
            except VolumeError as error:
                code = type(error).__name__
                self.feed(ways.FileRefused(handle, epoch, code, error.sentence))
                return

    async def _found(
        self, link: OwnerLink, handle: int, epoch: Epoch, opened: VolumeAnswer
    ) -> None:
        assert isinstance(opened, say.FileOpened), "the owner answers with what it opened"
        extents = await self._extents(link, opened)
        while total_blocks(extents) != blocks_for(opened.size_bytes):
            # It was converted between two answers: what they say does not fit together.
            opened = await self._ask(link, say.LookAtFile(next(self._numbers), opened.grant, 0))
            assert isinstance(opened, say.FileOpened), "the owner answers with what it opened"
            extents = await self._extents(link, opened)
        self.feed(ways.FileFound(handle, epoch, opened.grant, opened.size_bytes, extents))

    async def _extents(self, link: OwnerLink, opened: say.FileOpened) -> tuple[Extent, ...]:
        """All of them, answer by answer."""
        extents, more = extents_of(opened), opened
        while more.extents and len(extents) < more.extents_total:
            look = say.LookAtFile(next(self._numbers), opened.grant, len(extents))
            answer = await self._ask(link, look)
            assert isinstance(answer, say.FileOpened), "the owner answers with what it opened"
            more = answer
            extents += extents_of(more)
        return extents

    async def _return(self, grant: int) -> None:
        if self._link is not None:
            # One that was fenced, or is lost with its owner, is gone as well.
            with contextlib.suppress(ClusterError, TimeoutError):
                await self._ask(self._link, say.CloseFile(next(self._numbers), grant))

    async def ask(self, make: Callable[[int], VolumeRequest]) -> VolumeAnswer:
        """A question about names: waits for an owner; `VolumeError` is its no.

        After a lost answer it is asked again, so it may have been done before.
        """
        while True:
            link = self._link
            if link is not None and self.client.is_reached:
                with contextlib.suppress(PeerUnreachable, TimeoutError):
                    return await self._ask(link, make(next(self._numbers)))
            elif self.client.access in (VolumeAccess.MAINTENANCE, VolumeAccess.OFFLINE):
                raise VolumeError(self.client.reason)
            else:
                await self._woken()

    async def _ask(
        self,
        link: OwnerLink,
        request: VolumeRequest,
        data: Buffers = (),
        target: memoryview = NO_DATA,
    ) -> VolumeAnswer:
        try:
            answer = await link.ask(request, data, target)
        except PeerUnreachable:
            await asyncio.sleep(0)  # whoever asks again at once lets the link find that out
            raise
        if not isinstance(answer, say.Failed):
            return answer
        if answer.code in PASSING:
            if link is self._link:
                link.renew(answer.reason)
            await asyncio.sleep(0)
            raise PeerUnreachable(answer.reason)
        raise told(answer.code, answer.reason)

    # ---- files

    async def open(self, path: str, writable: bool, vm: VmName, epoch: Epoch) -> int:
        """Waits for an owner. What it refuses is raised."""
        handle = next(self._handles)
        self.feed(ways.FileWanted(handle, path, writable, vm, epoch))
        try:
            while (file := self.client.files[handle]).epoch is None:
                if file.refusal is not None:
                    raise told(*file.refusal)
                if self.client.access in (VolumeAccess.MAINTENANCE, VolumeAccess.OFFLINE):
                    raise VolumeError(f"{path} cannot be opened: {self.client.reason}")
                await self._woken()
        except BaseException:
            self.feed(ways.FileLeft(handle))
            raise
        return handle

    def size_bytes(self, handle: int) -> int:
        return self.client.files[handle].size_bytes

    def close(self, handle: int) -> None:
        self._preparing.pop(handle, None)
        self.feed(ways.FileLeft(handle))

    async def read(self, handle: int, offset: int, target: memoryview) -> None:
        while True:
            way = self.client.way(handle, offset, len(target), writes=False)
            match way:
                case ways.Straight(turn, runs):
                    if await self._straight(turn, lambda lun: read_runs(lun, runs, target)):
                        return
                case ways.ThroughOwner(turn, grant):
                    number = next(self._numbers)
                    request = say.ReadFile(number, grant, offset, len(target))
                    if await self._through(turn, request, (), target):
                        return
                case _:
                    await self._otherwise(way)

    async def write(self, handle: int, offset: int, buffers: Buffers, durable: bool) -> None:
        length = sum(len(buffer) for buffer in buffers)
        while True:
            way = self.client.way(handle, offset, length, writes=True)
            match way:
                case ways.Straight(turn, runs):
                    if await self._straight(
                        turn, lambda lun: write_runs(lun, runs, buffers, durable)
                    ):
                        return
                case ways.ConvertFirst(turn, grant):
                    await self._convert(handle, turn, grant, offset, length)
                case ways.ThroughOwner(turn, grant):
                    number = next(self._numbers)
                    request = say.WriteFile(number, grant, offset, durable, length)
                    if await self._through(turn, request, buffers):
                        return
                case _:
                    await self._otherwise(way)

    async def flush(self, handle: int) -> None:
        """The disk's cache is one for all who write to it, so any way will do."""
        while True:
            way = self.client.way(handle, 0, 0, writes=False)
            match way:
                case ways.Straight(turn, _):
                    if await self._straight(turn, lambda lun: lun.flush()):
                        return
                case ways.ThroughOwner(turn, _):
                    if await self._through(turn, say.FlushVolume(next(self._numbers))):
                        return
                case _:
                    await self._otherwise(way)

    async def _otherwise(self, way: ways.Way) -> None:
        if isinstance(way, ways.Ended):
            if way.why is ways.Never.DISK_LOST:
                raise Conflict(way.reason)
            raise told(way.code, way.reason)
        await self._woken()

    async def _woken(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    async def _straight(self, turn: int, work: Callable[[Lun], Coroutine[Any, Any, None]]) -> bool:
        """Whether it was done; if not, it goes another way."""
        with self._under_way.counted(turn):
            try:
                return await whole(self._begun(turn, work))
            except PathLost as error:
                self.feed(ways.IoFailed(turn, error.sentence))
                return False
            except Conflict as error:
                # Of a key that was given up meanwhile it says nothing.
                if turn == self.client.turn:
                    self.feed(ways.KeyRefused(turn, error.sentence))
                return False

    async def _begun(self, turn: int, work: Callable[[Lun], Coroutine[Any, Any, None]]) -> bool:
        if turn != self.client.turn:
            return False  # nothing went anywhere: the way is another one already
        lun = self._lun()
        if lun is None:
            raise PathLost("The disk is not seen on any path.")
        await work(lun)
        return True

    async def _through(
        self, turn: int, request: VolumeRequest, data: Buffers = (), target: memoryview = NO_DATA
    ) -> bool:
        link = self._link
        if link is None:
            await asyncio.sleep(0)
            return False
        with self._under_way.counted(turn):
            try:
                await self._ask(link, request, data, target)
            except (PeerUnreachable, TimeoutError):
                return False
        return True

    async def _convert(self, handle: int, turn: int, grant: int, offset: int, length: int) -> None:
        link, epoch = self._link, self.client.epoch
        preparing = self._preparing.setdefault(handle, Preparing())
        if link is None or preparing.covers(offset, length):
            await (asyncio.sleep(0) if link is None else self._woken())
            return
        low, high = preparing.ask(offset, length, self.size_bytes(handle))
        try:
            with self._under_way.counted(turn), contextlib.suppress(PeerUnreachable, TimeoutError):
                number = next(self._numbers)
                opened = await self._ask(link, say.ConvertExtents(number, grant, low, high - low))
                await self._found(link, handle, epoch, opened)
        finally:
            preparing.answered((low, high))
            self._do(ways.Wake())  # who waits for this answer asks by itself if there was none
