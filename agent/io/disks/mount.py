"""A mounted volume at its owner: the pure file system, and the disk that it lies on.

Changes of metadata are answered when the transaction that holds them is on the disk; those that
come while one is being written share the next. Any failure of the disk ends the mount.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from agent.volumes.device import BlockDevice
from agent.volumes.errors import BadRange, Conflict, DiskError, PathLost
from agent.volumes.extents import BLOCK_BYTES, Run, runs
from agent.volumes.filesystem import Filesystem
from agent.volumes.grants import Opened
from agent.volumes.layout import HEAD_BLOCKS, read_superblock
from agent.volumes.recovery import mount
from agent.volumes.transaction import Transaction, Write
from protocol.names import Epoch

T = TypeVar("T")
Buffers = Sequence[bytes | memoryview]

ZERO_BYTES = 1024 * 1024
ZEROS = bytes(ZERO_BYTES)
ZEROS_AT_ONCE = 4


async def read_blocks(device: BlockDevice, block: int, blocks: int) -> bytes:
    """Blocks of the file system, which may be larger than the disk's own."""
    content = bytearray(blocks * BLOCK_BYTES)
    view, done = memoryview(content), 0
    first = block * BLOCK_BYTES // device.block_bytes
    while done < len(content):
        piece = view[done : done + ZERO_BYTES]
        await device.read_into(first + done // device.block_bytes, piece)
        done += len(piece)
    return bytes(content)


def blocks_of(device: BlockDevice) -> int:
    return device.blocks * device.block_bytes // BLOCK_BYTES


async def carry_out(device: BlockDevice, transaction: Transaction) -> None:
    """Stage by stage; after each everything is on stable storage."""
    for stage in transaction.stages:
        for part in stage:
            if isinstance(part, Write):
                await device.write(_lba(device, part.block * BLOCK_BYTES), [part.content])
            else:
                await _zero(device, part.extent.start, part.extent.blocks)
        await device.flush()


async def _zero(device: BlockDevice, block: int, blocks: int) -> None:
    pieces = iter(range(block * BLOCK_BYTES, (block + blocks) * BLOCK_BYTES, ZERO_BYTES))
    end = (block + blocks) * BLOCK_BYTES

    async def work() -> None:
        for at in pieces:
            zeros = memoryview(ZEROS)[: min(ZERO_BYTES, end - at)]
            await device.write(_lba(device, at), [zeros])

    # All have ended before anything is told, also that one failed.
    for failed in await asyncio.gather(
        *(work() for _ in range(ZEROS_AT_ONCE)), return_exceptions=True
    ):
        if failed is not None:
            raise failed


def _lba(device: BlockDevice, disk_offset: int) -> int:
    lba, rest = divmod(disk_offset, device.block_bytes)
    if rest:
        raise BadRange(
            f"byte {disk_offset} is not where a block of {device.block_bytes} bytes begins"
        )
    return lba


async def read_runs(device: BlockDevice, found: Sequence[Run], target: memoryview) -> None:
    """Fill `target`; what was never written is zeros, whatever lies on the disk."""
    at = 0
    for run in found:
        piece = target[at : at + run.length_bytes]
        if run.written:
            await device.read_into(_lba(device, run.disk_offset), piece)
        else:
            piece[:] = bytes(len(piece))
        at += run.length_bytes


async def write_runs(
    device: BlockDevice, found: Sequence[Run], buffers: Buffers, durable: bool
) -> None:
    if len(found) == 1:
        await device.write(_lba(device, found[0].disk_offset), buffers, fua=durable)
        return
    whole, at = memoryview(b"".join(buffers)), 0
    for run in found:
        piece = whole[at : at + run.length_bytes]
        await device.write(_lba(device, run.disk_offset), [piece], fua=durable)
        at += run.length_bytes


def _converted(filesystem: Filesystem, grant: int, offset: int, length: int) -> Opened:
    filesystem.convert(grant, offset, length)
    return filesystem.look(grant)


class Mount:
    """One mount under one epoch. `faulted` is called once, when the disk failed it."""

    def __init__(
        self, device: BlockDevice, filesystem: Filesystem, faulted: Callable[[str], None]
    ) -> None:
        self.device = device
        self.filesystem = filesystem
        self._faulted = faulted
        self._dead = ""
        self._converting = Counter[int]()
        """Files of which memory calls blocks written whose zeros are not stable yet: how often."""

        self._next: asyncio.Future[None] | None = None
        self._writer: asyncio.Task[None] | None = None

    @classmethod
    async def begin(
        cls, device: BlockDevice, epoch: Epoch, faulted: Callable[[str], None]
    ) -> "tuple[Mount, tuple[str, ...]]":
        """Replay the journal and write the epoch; returns what had to be repaired, too."""
        blocks = blocks_of(device)
        head = await read_blocks(device, 0, HEAD_BLOCKS)
        metadata = read_superblock(head, blocks).metadata
        area = await read_blocks(device, metadata.start, metadata.blocks)
        mounted = mount(head, area, int(epoch), blocks)
        await carry_out(device, mounted.transaction)
        return cls(device, mounted.filesystem, faulted), mounted.repairs

    # ---- metadata

    async def change(self, operation: Callable[[Filesystem], T]) -> T:
        """Do it, and return when it is on the disk. What it refuses has changed nothing."""
        while self.filesystem.is_batch_full and not self._dead:
            await self._committed()
        self._check()
        result = operation(self.filesystem)
        await self._committed()
        return result

    def _check(self) -> None:
        if self._dead:
            raise PathLost(f"The volume's mount has ended: {self._dead}")

    async def _committed(self) -> None:
        self._check()
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            if self._writer is None or self._writer.done():
                self._writer = asyncio.get_running_loop().create_task(self._write())
        await asyncio.shield(self._next)

    async def _write(self) -> None:
        while (waiting := self._next) is not None:
            self._next = None
            try:
                await carry_out(self.device, self.filesystem.commit())
            except DiskError as error:
                self._die(str(error), waiting)
                return
            waiting.set_result(None)

    def _die(self, reason: str, *waiting: asyncio.Future[None]) -> None:
        if self._dead:
            return
        self._dead = reason
        for future in (*waiting, *([self._next] if self._next else [])):
            future.set_exception(PathLost(f"The volume's mount has ended: {reason}"))
            future.exception()  # somebody may have gone meanwhile
        self._next = None
        self._faulted(reason)

    async def convert(self, grant: int, offset: int, length: int) -> Opened:
        """Make it writable; the file as it is on the disk then. Of the blocks that somebody else is
        having prepared meanwhile the answer says nothing: zeros may still be on their way to them.
        """
        file = int(self.filesystem.look(grant).file)
        self._converting[file] += 1
        try:
            return await self.change(lambda fs: _converted(fs, grant, offset, length))
        finally:
            self._converting[file] -= 1
            if not self._converting[file]:
                del self._converting[file]

    async def look(self, grant: int) -> Opened:
        """The file as it is on the disk."""
        return await self.change(lambda fs: fs.look(grant))

    async def _prepared(self, grant: int) -> None:
        """Until memory says of this file's blocks what is so on the disk."""
        while int(self.filesystem.look(grant).file) in self._converting:
            await self._committed()

    # ---- file data of who is redirected

    async def read(self, grant: int, offset: int, target: memoryview) -> None:
        self._check()
        await self._prepared(grant)
        found = self._runs(grant, offset, len(target))
        await self._io(read_runs(self.device, found, target))

    async def write(self, grant: int, offset: int, buffers: Buffers, durable: bool) -> None:
        self._check()
        length = sum(len(buffer) for buffer in buffers)
        await self._prepared(grant)
        found = self._runs(grant, offset, length)
        if not all(run.written for run in found):
            inside = min(length, self.filesystem.look(grant).size_bytes - offset)
            found = runs((await self.convert(grant, offset, inside)).extents, offset, length)
        await self._io(write_runs(self.device, found, buffers, durable))

    async def flush(self) -> None:
        self._check()
        await self._io(self.device.flush())

    def _runs(self, grant: int, offset: int, length: int) -> tuple[Run, ...]:
        return runs(self.filesystem.look(grant).extents, offset, length)

    async def _io(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (PathLost, Conflict) as error:
            self._die(str(error))
            raise

    async def end(self) -> None:
        """What is under way ends; nothing is begun any more."""
        if self._writer is not None and not self._writer.done():
            await asyncio.wait({self._writer})
        self._dead = self._dead or "it was unmounted"
