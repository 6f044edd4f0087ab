"""The disk of one VM on this node: opened under the VM's epoch, and served to its worker."""

import asyncio
from collections.abc import Callable

from agent.actions import MirrorStorage
from agent.events import DiskFlows, DiskGone, DiskRefused, DiskStuck, Event, MirrorFailed
from agent.io.disk_server import AGAIN_S, END_WITHIN_S, FINAL, DiskServer
from agent.io.mirror import MirroredDisk
from agent.io.relocation import Relocation
from agent.io.ring import Wanted
from agent.io.storage import OpenDisks, Storage
from agent.io.vm import VmWorker
from protocol.errors import ClusterError
from protocol.names import Epoch, VmName, VmSpec


class DiskOfVm:
    """`open` it, `serve` the worker, `live_by` each new epoch, `end` it."""

    def __init__(
        self, vm: VmName, spec: VmSpec, storage: Storage, feed: Callable[[Event], None]
    ) -> None:
        self._vm = vm
        self._spec = spec
        self._storage = storage
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self._opened: OpenDisks | None = None
        self._opening: asyncio.Task[OpenDisks] | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._server: DiskServer | None = None
        self._relocation: Relocation | None = None
        self._left: set[asyncio.Task[None]] = set()
        self._epoch = Epoch(0)
        self._is_ending = False

    async def open(self, epoch: Epoch, *, boot: bool) -> None:
        """Raises ClusterError or OSError. Whoever stops waiting leaves it to `end` to close it."""
        assert self._opening is None, "it is opened once, and then anew"
        work = self._fresh(epoch, boot=boot)
        self._opening = asyncio.create_task(work)
        self._opened = await asyncio.shield(self._opening)

    async def _fresh(self, epoch: Epoch, *, boot: bool) -> OpenDisks:
        """Disks that can be moved to another place while they are used."""
        opened = await self._storage.open(self._vm, epoch, self._spec, boot=boot)
        return OpenDisks(epoch, tuple(MirroredDisk(disk) for disk in opened.disks))

    async def serve(self, worker: VmWorker) -> None:
        """Carry out from now on what the worker's guest asks for."""
        if worker.ring is None or self._opened is None or self._is_ending:
            return
        self._server = DiskServer(
            *(self._vm, worker.ring, worker.asked_fd, worker.command_fd),
            trouble=self._trouble,
            refused=self._refused,
        )
        await self._storage.run(self._server.serve(self._opened.disks[0]))

    def shut(self, is_shut: bool) -> None:
        """Begin nothing, as long as an attempt holds the guest."""
        if self._server is not None:
            self._server.shut(is_shut)

    def live_by(self, epoch: Epoch) -> None:
        """What was opened under an older epoch is opened anew; the guest waits until it is."""
        if not (self._opened and self._opened.disks) or self._is_ending:
            return
        is_same, self._epoch = self._epoch == epoch, epoch
        if self._opened.epoch == epoch or self._relocation is not None:
            return  # what moves is opened anew once it has been decided where it is
        if is_same and self._reopening is not None and not self._reopening.done():
            return  # it is being opened
        if self._reopening is not None:
            self._reopening.cancel()
        self._reopening = asyncio.create_task(self._reopen(epoch, self._reopening))

    async def _reopen(self, epoch: Epoch, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.gather(before, return_exceptions=True)
        while not self._is_ending:
            work = self._fresh(epoch, boot=False)
            self._opening = asyncio.create_task(work)
            try:
                await asyncio.wait({self._opening}, timeout=AGAIN_S)
                if not self._opening.done():  # it may be on its way back from another node
                    self._feed(DiskStuck(self._vm, "its disks are not to be had here yet"))
                fresh = await asyncio.shield(self._opening)
            except asyncio.CancelledError:
                self._opening.cancel()  # nobody else would close it
                raise
            except (ClusterError, OSError) as error:
                kind = DiskGone if isinstance(error, FINAL) else DiskStuck
                self._feed(kind(self._vm, str(error)))
                await asyncio.sleep(AGAIN_S)
                continue
            old, self._opened = self._opened, fresh
            if self._server is not None:
                await self._storage.run(self._server.serve(fresh.disks[0]))
            self._feed(DiskFlows(self._vm))
            if old is not None:
                await self._storage.close(old)
            return

    # ---- to another volume

    def mirror(self, order: MirrorStorage) -> None:
        """Copy the files to where the order's `spec` has them; writes go to both places."""
        ready = self._opened is not None and self._opened.epoch == order.epoch
        if self._opened is None or not ready or self._relocation is not None or self._is_ending:
            reason = "its disks are being opened or moved"
            self._feed(MirrorFailed(self._vm, order.move, reason))
            return
        disks = [disk for disk in self._opened.disks if isinstance(disk, MirroredDisk)]
        self._relocation = Relocation(order, self._storage, disks, self._feed)
        self._relocation.begin()

    def leave_mirror(self, move: int) -> None:
        if (relocation := self._relocation) is not None and relocation.order.move == move:
            relocation.leave()
            self._decided(relocation)

    def switch(self, move: int, spec: VmSpec) -> None:
        relocation = self._relocation
        assert relocation is not None, "it was mirrored here"
        assert relocation.order.move == move, "it was mirrored here"
        self._spec = spec
        relocation.switch()
        self._decided(relocation)

    def _decided(self, relocation: Relocation) -> None:
        """What was left is closed in its own time: its volume may be away."""
        self._relocation = None
        closing = asyncio.create_task(relocation.ended())
        self._left.add(closing)
        closing.add_done_callback(self._left.discard)
        if self._epoch:
            self.live_by(self._epoch)

    async def end(self) -> None:
        """Nothing of this VM reaches its disks any more, once its worker has been ended."""
        self._is_ending = True
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.gather(self._reopening, return_exceptions=True)
        if self._server is not None:
            await self._storage.run(self._server.end())
        if self._relocation is not None:
            await self._relocation.ended(at_once=True)
        if self._left:
            await asyncio.wait(self._left, timeout=END_WITHIN_S)
        opened = {id(self._opened): self._opened} if self._opened is not None else {}
        if self._opening is not None:  # perhaps nobody waited for it to its end
            await asyncio.wait({self._opening}, timeout=END_WITHIN_S)
            self._opening.cancel()
            (late,) = await asyncio.gather(self._opening, return_exceptions=True)
            if isinstance(late, OpenDisks):
                opened[id(late)] = late
        self._opened = self._opening = self._server = None
        for disks in opened.values():
            await self._storage.close(disks)

    def _trouble(self, reason: str, is_final: bool) -> None:
        """On the loop of the disks."""
        self._loop.call_soon_threadsafe(self._turned, reason, is_final)

    def _turned(self, reason: str, is_final: bool) -> None:
        """An older opening's refusal is not the end: it is about to be opened anew."""
        if not reason:
            self._feed(DiskFlows(self._vm))
        elif is_final and self._is_newest and not self._is_ending:
            self._feed(DiskGone(self._vm, reason))
        else:
            self._feed(DiskStuck(self._vm, reason))

    @property
    def _is_newest(self) -> bool:
        """What is open was opened under the newest epoch that the VM was told to live by."""
        reopens = self._reopening is not None and not self._reopening.done()
        opened = None if self._opened is None else self._opened.epoch
        return not reopens and self._epoch in (Epoch(0), opened)

    def _refused(self, wanted: Wanted) -> None:
        """On the loop of the disks."""
        event = DiskRefused(self._vm, wanted.epoch, wanted.deed.name.lower())
        self._loop.call_soon_threadsafe(self._feed, event)
