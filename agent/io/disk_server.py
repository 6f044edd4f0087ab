"""Carries out what VM workers ask of their disks, on the loop of the disks."""

import asyncio
import contextlib
import os
from collections.abc import Callable

import structlog

from agent.guests.disk_queue import SLOTS, Deed
from agent.io.ring import Ring, Turn, Wanted
from agent.io.virtual_disk import VirtualDisk
from agent.volumes.errors import Conflict, StaleEpoch
from protocol.errors import ClusterError

AGAIN_S = 0.5
END_WITHIN_S = 5.0
"""How long the requests under way may take when a VM ends; then they are cancelled."""

FINAL = (Conflict, StaleEpoch)
"""What no repetition will change: this life of the node, or of the VM, has lost the disk."""

Trouble = Callable[[str, bool], None]
"""Hears why the disk does not answer, again and again, and whether that is final; and an empty text
when it does again.
"""

Refused = Callable[[Wanted], None]
"""Hears of the first request that is refused while the server is shut."""


class DiskServer:
    """One VM's disk. A request that fails is tried until it succeeds: the guest sees a delay.

    All but `shut` belongs to the loop of the disks.
    """

    def __init__(
        self,
        vm: str,
        ring: Ring,
        asked_fd: int,
        worker_fd: int,
        trouble: Trouble,
        refused: Refused,
    ) -> None:
        self._is_shut = False
        self._has_refused = False
        self._ring = ring
        self._asked_fd = asked_fd
        self._worker_fd = worker_fd
        self._trouble = trouble
        self._refused = refused
        self._log = structlog.get_logger(part="disk", vm=vm)
        self._disk: VirtualDisk | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._retry = asyncio.Event()
        self._is_stuck = False
        self._is_ending = False

    async def serve(self, disk: VirtualDisk) -> None:
        """Begin, or go on with another opening of the same disk."""
        begins, self._disk = self._disk is None, disk
        self._retry.set()
        if begins and not self._is_ending:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._asked_fd, self._heard)
            self._look()

    def shut(self, is_shut: bool) -> None:
        """While the guest stands still for an attempt nothing is begun: what comes all the same is
        refused and recorded. From any thread, and before the worker hears of it.
        """
        self._is_shut = is_shut
        self._has_refused = self._has_refused and is_shut
        if not is_shut and self._loop is not None:
            self._loop.call_soon_threadsafe(self._look)

    async def end(self) -> None:
        """Nothing of this VM reaches the disk any more when this returns."""
        self._is_ending = True
        if self._loop is not None:
            self._loop.remove_reader(self._asked_fd)
            self._loop = None
        self._retry.set()
        if left := set(self._serving.values()):
            _, left = await asyncio.wait(left, timeout=END_WITHIN_S)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        self._disk = None

    def _heard(self) -> None:
        os.eventfd_read(self._asked_fd)
        self._look()

    def _look(self) -> None:
        if self._is_ending:
            return
        for slot in range(SLOTS):
            if slot in self._serving or self._ring.turn(slot) is not Turn.ASKED:
                continue
            wanted = self._ring.wanted(slot)
            if self._is_shut:
                self._log.error("disk-request-refused", deed=wanted.deed.name, epoch=wanted.epoch)
                if not self._has_refused:
                    self._has_refused = True
                    self._refused(wanted)
                continue
            self._serving[slot] = asyncio.create_task(self._carry_out(wanted))

    async def _carry_out(self, wanted: Wanted) -> None:
        try:
            while not self._is_ending:
                self._retry.clear()
                if await self._try(wanted):
                    self._ring.answer(wanted.slot)
                    os.eventfd_write(self._worker_fd, 1)
                    return
                await self._wait()
        finally:
            with contextlib.suppress(BufferError):  # somebody below still has a view of it
                wanted.data.release()
            del self._serving[wanted.slot]

    async def _try(self, wanted: Wanted) -> bool:
        disk = self._disk
        assert disk is not None, "requests are looked at from the first opening on"
        try:
            match wanted.deed:
                case Deed.READ:
                    await disk.read_into(wanted.offset, wanted.data)
                case Deed.WRITE | Deed.WRITE_THROUGH:
                    fua = wanted.deed is Deed.WRITE_THROUGH
                    await disk.write(wanted.offset, (wanted.data,), fua)
                case Deed.FLUSH:
                    await disk.flush()
        except (ClusterError, OSError) as error:
            self._is_stuck = True
            # Of a disk that was opened anew meanwhile nothing is known yet.
            self._trouble(str(error), isinstance(error, FINAL) and disk is self._disk)
            return False
        if self._is_stuck:
            self._is_stuck = False
            self._trouble("", False)
        return True

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):  # nothing new: the same again
            await asyncio.wait_for(self._retry.wait(), AGAIN_S)
