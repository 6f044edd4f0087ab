"""The memory of VMs that have left this node, kept within a budget until they come back."""

import asyncio
import socket
import time

import numpy as np

from agent.io.memory import VmMemory, available_bytes
from agent.kept_image import Hashes, KeptBudget, hashes_of, table_bytes, table_from
from protocol.errors import PeerUnreachable
from protocol.names import VmName

KEPT_PAGES = "kept-pages"
"""The capability: a source that wants to know, and on stream 1 a target that tells."""

HASHED_AT_ONCE_PAGES = 256
TABLE_WITHIN_S = 30.0


class KeptImages:
    """At most `budget_bytes` of images, none by default. They give way to VMs that need memory."""

    def __init__(self, budget_bytes: int = 0) -> None:
        self._budget = KeptBudget(budget_bytes)
        self._images: dict[VmName, VmMemory] = {}

    @property
    def kept_bytes(self) -> int:
        return self._budget.kept_bytes

    async def keep(self, vm: VmName, memory: VmMemory) -> None:
        """Take the memory over: it is kept, or given back to the machine."""
        stays, gone = self._budget.keep(vm, memory.memory_bytes)
        for name in gone:
            await self._close(self._images.pop(name))
        if stays:
            self._images[vm] = memory
        else:
            await self._close(memory)

    def take(self, vm: VmName, memory_bytes: int) -> VmMemory | None:
        """What is kept of this VM, if its memory still has that size; it is the caller's then."""
        memory = self._images.get(vm)
        if memory is None or memory.memory_bytes != memory_bytes:
            return None
        self._budget.let_go(vm)
        return self._images.pop(vm)

    async def drop(self, vm: VmName) -> None:
        """The VM begins anew: nobody asks for what it was."""
        self._budget.let_go(vm)
        if (memory := self._images.pop(vm, None)) is not None:
            await self._close(memory)

    async def make_room(self, memory_bytes: int) -> None:
        """Images go, the oldest first, until the machine has so much memory or there are none."""
        while (oldest := self._budget.oldest()) is not None and available_bytes() < memory_bytes:
            await self.drop(oldest)

    async def drop_all(self) -> None:
        for vm in list(self._images):
            await self.drop(vm)

    async def _close(self, memory: VmMemory) -> None:
        await asyncio.to_thread(memory.close)


def hash_image(memory: VmMemory) -> Hashes:
    """Blocks: call it in a thread that keeps the memory."""
    parts = []
    for start in range(0, memory.pages, HASHED_AT_ONCE_PAGES):
        parts.append(hashes_of(memory.array[start : start + HASHED_AT_ONCE_PAGES]))
        time.sleep(0)  # whoever waits for the interpreter has it for a moment
    return np.concatenate(parts)


async def tell(sock: socket.socket, table: Hashes) -> None:
    """The target's part: before the first batch, and once."""
    async with asyncio.timeout(TABLE_WITHIN_S):
        await asyncio.get_running_loop().sock_sendall(sock, table.data.cast("B"))


async def hear(sock: socket.socket, vm_pages: int) -> Hashes:
    """The source's part: as many hashes as its VM has pages, and not a byte more."""
    data = bytearray(table_bytes(vm_pages))
    view, got = memoryview(data), 0
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(TABLE_WITHIN_S):
            while got < len(data):
                count = await loop.sock_recv_into(sock, view[got:])
                if not count:
                    raise PeerUnreachable("the target went away while it told what it has kept")
                got += count
    except (OSError, TimeoutError) as error:
        reason = str(error) or f"it took more than {TABLE_WITHIN_S:g} s"
        raise PeerUnreachable(f"the target did not tell what it has kept: {reason}") from error
    return table_from(data)
