"""The shared volumes of a node, as VMs and operators use them: paths, virtual disks, small files.

All of it runs on the disk loop. An owner that is gone or moves is a delay; what the volume itself
refuses is a `VolumeError`, and a disk that is lost for this life a `Conflict`.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any

from agent.io.disks.volume_use import VolumeUse
from agent.volumes.errors import BadRange, FileExists, NoSuchFile, WrongKind
from agent.volumes.vhd import FOOTER_BYTES, footer, parse
from protocol import messages as say
from protocol.errors import NotReady
from protocol.messages.volumes import PAYLOAD_BYTES_MAX
from protocol.names import Epoch, VmName, VolumeName

NOBODY = VmName("")
NO_EPOCH = Epoch(0)
SECTOR_BYTES = 512
TEXT_BYTES_MAX = 1024 * 1024


def rooted(path: str) -> str:
    """A path as people write it, from the volume's root on."""
    return f"/{path.lstrip('/')}"


class VhdFile:
    """An open virtual disk: what the guest sees of it ends before the footer."""

    def __init__(self, use: VolumeUse, handle: int, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._use = use
        self._handle = handle
        self._under_way = 0
        self._idle = asyncio.Event()

    async def read_into(self, offset: int, into: memoryview) -> None:
        self._check(offset, len(into))
        await self._each(
            self._use.read(self._handle, offset + at, into[at : at + PAYLOAD_BYTES_MAX])
            for at in range(0, len(into), PAYLOAD_BYTES_MAX)
        )

    async def write(
        self, offset: int, buffers: Sequence[bytes | memoryview], fua: bool = False
    ) -> None:
        length = sum(len(buffer) for buffer in buffers)
        self._check(offset, length)
        if length <= PAYLOAD_BYTES_MAX:
            await self._each([self._use.write(self._handle, offset, buffers, fua)])
            return
        whole = memoryview(buffers[0] if len(buffers) == 1 else b"".join(buffers))
        await self._each(
            self._use.write(self._handle, offset + at, [whole[at : at + PAYLOAD_BYTES_MAX]], fua)
            for at in range(0, length, PAYLOAD_BYTES_MAX)
        )

    async def flush(self) -> None:
        await self._each([self._use.flush(self._handle)])

    async def close(self) -> None:
        """Once nothing of it is under way; the grant goes back to the owner. May be repeated."""
        while self._under_way:
            self._idle.clear()
            await self._idle.wait()
        self._use.close(self._handle)

    async def _each(self, works: Iterable[Coroutine[Any, Any, None]]) -> None:
        self._under_way += 1
        try:
            first, *rest = works
            if not rest:
                await first
                return
            async with asyncio.TaskGroup() as group:
                for work in (first, *rest):
                    group.create_task(work)
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        finally:
            self._under_way -= 1
            self._idle.set()

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length <= 0 or offset + length > self.size_bytes:
            raise BadRange(
                f"bytes {offset} to {offset + length} are not in a disk of {self.size_bytes}"
            )
        if offset % SECTOR_BYTES or length % SECTOR_BYTES:
            raise BadRange(
                f"bytes {offset} to {offset + length} are not whole sectors of {SECTOR_BYTES}"
            )


class Volumes:
    """By the names that all nodes know them by."""

    def __init__(self, find: Callable[[VolumeName], VolumeUse | None]) -> None:
        self._find = find

    def _use(self, volume: VolumeName) -> VolumeUse:
        use = self._find(volume)
        if use is None:
            raise NotReady(f"{volume} is no shared volume that this node knows of.")
        return use

    # ---- virtual disks

    async def open_vhd(self, volume: VolumeName, path: str, vm: VmName, epoch: Epoch) -> VhdFile:
        use, path = self._use(volume), rooted(path)
        handle = await use.open(path, True, vm, epoch)
        try:
            size_bytes = use.size_bytes(handle) - FOOTER_BYTES
            last = memoryview(bytearray(FOOTER_BYTES))
            if size_bytes < 0:
                raise BadRange(f"{path} is too short to be a virtual disk.")
            await use.read(handle, size_bytes, last)
            named = parse(bytes(last)).size_bytes
            if named != size_bytes:
                raise BadRange(f"{path} has {size_bytes} bytes, and its footer names {named}.")
        except BaseException:
            use.close(handle)
            raise
        return VhdFile(use, handle, size_bytes)

    async def make_vhd(self, volume: VolumeName, path: str, size_bytes: int) -> None:
        """One of this size that is there stays; the footer comes last and makes it one."""
        use, path = self._use(volume), rooted(path)
        content = footer(size_bytes, uuid.uuid4().bytes, time.time())
        await self._above(use, path)
        await self._made(use, path, size_bytes + FOOTER_BYTES)
        handle = await use.open(path, True, NOBODY, NO_EPOCH)
        try:
            if use.size_bytes(handle) != size_bytes + FOOTER_BYTES:
                raise FileExists(
                    f"{path} is there with {use.size_bytes(handle)} bytes; remove it first."
                )
            last = memoryview(bytearray(FOOTER_BYTES))
            await use.read(handle, size_bytes, last)
            if not any(last):
                await use.write(handle, size_bytes, [content], durable=True)
        finally:
            use.close(handle)

    async def _above(self, use: VolumeUse, path: str) -> None:
        """All folders that the path goes through."""
        names = path.split("/")[1:-1]
        for count in range(1, len(names) + 1):
            await self._made(use, "/" + "/".join(names[:count]), None)

    async def _made(self, use: VolumeUse, path: str, size_bytes: int | None) -> None:
        """A folder where no size is given. That it is there already is no error."""
        with contextlib.suppress(FileExists):
            await use.ask(
                lambda number: say.CreateFile(number, path, size_bytes is None, size_bytes or 0)
            )

    # ---- small files

    async def read_text(self, volume: VolumeName, path: str) -> str | None:
        use, path = self._use(volume), rooted(path)
        try:
            handle = await use.open(path, False, NOBODY, NO_EPOCH)
        except NoSuchFile:
            return None
        try:
            size_bytes = use.size_bytes(handle)
            if size_bytes > TEXT_BYTES_MAX:
                raise BadRange(f"{path} has {size_bytes} bytes; that is no text of ours.")
            if not size_bytes:
                return ""
            content = memoryview(bytearray(-(-size_bytes // SECTOR_BYTES) * SECTOR_BYTES))
            await use.read(handle, 0, content)
        finally:
            use.close(handle)
        return bytes(content[:size_bytes]).decode()

    async def write_text(self, volume: VolumeName, path: str, text: str) -> None:
        """Beside, then under its name: all of it is there, or what was there before."""
        use, path = self._use(volume), rooted(path)
        content = text.encode()
        if len(content) > TEXT_BYTES_MAX:
            raise BadRange(f"{path} would have {len(content)} bytes; at most {TEXT_BYTES_MAX}.")
        fresh = f"{path}.{uuid.uuid4().hex[:8]}.new"
        await self._above(use, path)
        await self._made(use, fresh, len(content))
        if content:
            padded = content.ljust(-(-len(content) // SECTOR_BYTES) * SECTOR_BYTES, b"\0")
            handle = await use.open(fresh, True, NOBODY, NO_EPOCH)
            try:
                await use.write(handle, 0, [padded], durable=True)
            finally:
                use.close(handle)
        await use.ask(lambda number: say.RenameFile(number, fresh, path, True))

    # ---- names

    async def entries(self, volume: VolumeName, path: str) -> tuple[say.FolderEntry, ...]:
        use, found, after = self._use(volume), list[say.FolderEntry](), ""
        path = rooted(path)
        while True:
            answer = await use.ask(partial(_listing, path, after))
            assert isinstance(answer, say.FolderListed), "a listing is answered by one"
            found += answer.entries
            if answer.is_whole or not answer.entries:
                return tuple(found)
            after = answer.entries[-1].name

    async def remove_folder(self, volume: VolumeName, path: str) -> None:
        """With what is in it; that there is none is no error."""
        path = rooted(path)
        try:
            entries = await self.entries(volume, path)
        except (NoSuchFile, WrongKind):
            return
        for entry in entries:
            inner = f"{path.rstrip('/')}/{entry.name}"
            if entry.is_folder:
                await self.remove_folder(volume, inner)
            else:
                await self._gone(self._use(volume), inner)
        await self._gone(self._use(volume), path)

    async def _gone(self, use: VolumeUse, path: str) -> None:
        with contextlib.suppress(NoSuchFile):
            await use.ask(lambda number: say.DeleteFile(number, path))

    async def grow(self, volume: VolumeName, path: str, size_bytes: int) -> None:
        await self._use(volume).ask(lambda number: say.GrowFile(number, rooted(path), size_bytes))

    async def rename(self, volume: VolumeName, path: str, to: str) -> None:
        await self._use(volume).ask(
            lambda number: say.RenameFile(number, rooted(path), rooted(to), False)
        )


def _listing(path: str, after: str, number: int) -> say.ListFolder:
    return say.ListFolder(number, path, after)
