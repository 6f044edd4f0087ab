"""One move of a VM's files to another volume: opens the new place, copies, and leaves either."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from agent.actions import MirrorStorage
from agent.events import Event, MirrorFailed, StorageCopied, StorageStands
from agent.io.mirror import MirroredDisk
from agent.io.storage import OpenDisks, Storage
from agent.io.virtual_disk import VirtualDisk
from protocol.errors import ClusterError

OPEN_WITHIN_S = 30.0
SAY_EACH_S = 0.25
END_WITHIN_S = 5.0
"""A volume that is away keeps its files open until it is back; nobody waits for that."""


class Relocation:
    """Begun once; ended by `leave` or `switch`. It belongs to the agent's loop."""

    def __init__(
        self,
        order: MirrorStorage,
        storage: Storage,
        disks: Sequence[MirroredDisk],
        feed: Callable[[Event], None],
    ) -> None:
        self.order = order
        self._storage = storage
        self._disks = disks
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self._total_bytes = sum(disk.size_bytes for disk in disks)
        self._copied_bytes = 0
        self._said_at = 0.0
        self._troubles: set[str] = set()
        self._opening: asyncio.Task[OpenDisks] | None = None
        self._is_mirrored = False
        self._is_over = False
        self._work: asyncio.Task[None] | None = None
        self._end: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._work = asyncio.create_task(self._carry_out())

    # ---- copying

    async def _carry_out(self) -> None:
        order = self.order
        self._opening = asyncio.create_task(
            self._storage.open_elsewhere(order.vm, order.epoch, order.spec)
        )
        try:
            while not self._opening.done():
                done, _ = await asyncio.wait({self._opening}, timeout=OPEN_WITHIN_S)
                if not done:
                    self._trouble(f"its files cannot be opened within {OPEN_WITHIN_S:g} s")
            fresh = self._opening.result()
            self._is_mirrored = True
            await self._storage.run(self._copy(fresh))
            if order.spec.home:
                await self._storage.configure(order.vm, order.spec)
        except (ClusterError, OSError) as error:
            self._trouble(str(error))
        else:
            self._say(StorageStands(order.vm, order.move))

    async def _copy(self, fresh: OpenDisks) -> None:
        """On the loop of the disks. All disks are mirrored before anything is copied."""
        for disk, there in zip(self._disks, fresh.disks, strict=True):
            disk.mirror(there, self._heard_trouble)
        for disk in self._disks:
            await disk.copy(self._copied)

    def _copied(self, length: int) -> None:
        self._copied_bytes += length
        now = asyncio.get_running_loop().time()
        if now - self._said_at >= SAY_EACH_S or self._copied_bytes == self._total_bytes:
            self._said_at = now
            words = self.order.vm, self.order.move, self._copied_bytes, self._total_bytes
            self._loop.call_soon_threadsafe(self._say, StorageCopied(*words))

    def _heard_trouble(self, reason: str) -> None:
        if reason not in self._troubles:  # each request that waits says it
            self._troubles.add(reason)
            self._loop.call_soon_threadsafe(self._trouble, reason)

    def _trouble(self, reason: str) -> None:
        self._say(MirrorFailed(self.order.vm, self.order.move, reason))

    def _say(self, event: StorageCopied | StorageStands | MirrorFailed) -> None:
        if not self._is_over:
            self._feed(event)

    # ---- the decision

    def leave(self) -> None:
        """The old place it is."""
        self._over(self._leave())

    def switch(self) -> None:
        """The new place it is."""
        assert self._is_mirrored, "the store decides for what was mirrored"
        self._over(self._switch())

    async def ended(self, at_once: bool = False) -> None:
        """Wait until nothing of the place that was left is used any more; or not for long."""
        if self._end is None:
            self.leave()
        assert self._end is not None
        await asyncio.wait({self._end}, timeout=END_WITHIN_S if at_once else None)

    def _over(self, end: Coroutine[Any, Any, None]) -> None:
        assert self._end is None, "it is decided once"
        self._is_over = True
        self._end = asyncio.create_task(end)

    async def _leave(self) -> None:
        if self._work is not None:
            self._work.cancel()
        if self._opening is None:
            return
        if not self._opening.done():
            self._opening.cancel()
        (fresh,) = await asyncio.gather(self._opening, return_exceptions=True)
        if isinstance(fresh, OpenDisks):
            pairs = zip(self._disks, fresh.disks, strict=True)
            await asyncio.gather(*(self._storage.run(_without(*pair)) for pair in pairs))

    async def _switch(self) -> None:
        await asyncio.gather(*(self._storage.run(disk.switch()) for disk in self._disks))


async def _without(disk: MirroredDisk, there: VirtualDisk) -> None:
    """Close the place, whether it has come to be one or was only opened."""
    if disk.is_mirrored_in(there):
        await disk.leave()
    else:
        await there.close()
