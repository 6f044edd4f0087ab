"""What the owner of a volume does for one request of a node, whichever way it came."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.io.disks.mount import Mount
from agent.io.disks.wire import room_of
from agent.volumes.errors import (
    BadRange,
    BatchFull,
    DiskError,
    MediumError,
    VolumeError,
)
from agent.volumes.extents import Extent
from agent.volumes.grants import Opened
from agent.volumes.owner import NOT_OWNER, VolumeOwner
from agent.volumes.removal import remove_folder
from protocol import messages as say
from protocol.messages import VolumeAnswer, VolumeRequest
from protocol.messages.volumes import ENTRIES_MAX, EXTENTS_MAX, PAYLOAD_BYTES_MAX
from protocol.names import Epoch, Incarnation, VmName

Reply = tuple[VolumeAnswer, memoryview | None]


@dataclass(slots=True)
class Service:
    """Of one volume under one epoch."""

    owner: VolumeOwner
    mount: Mount
    has_lease: Callable[[], bool]
    under_way: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a request has ended and none is left."""

    writes: set[tuple[int, asyncio.Event]] = field(default_factory=set)
    """Under way: to which file, and what is set at its end."""

    async def serve(
        self, client: Incarnation, request: VolumeRequest, payload: memoryview | None
    ) -> Reply:
        """The answer, and the file data behind it. Redirect and GoDirect are not for here."""
        denied = self.owner.admits(client, request, self.has_lease())
        if denied is not None:
            return say.Failed(request.request, denied.code, denied.reason, True), None
        self.under_way += 1
        try:
            return await self._serve(client, request, payload)
        except VolumeError as error:
            return say.Failed(request.request, type(error).__name__, error.sentence, True), None
        except DiskError as error:
            if isinstance(error, MediumError):
                return say.Failed(request.request, "MediumError", error.sentence, False), None
            return say.Failed(request.request, NOT_OWNER, error.sentence, False), None
        finally:
            self.under_way -= 1
            if not self.under_way:
                self.idle.set()

    async def _serve(
        self, client: Incarnation, request: VolumeRequest, payload: memoryview | None
    ) -> Reply:
        number = request.request
        match request:
            case say.ReadFile(_, grant, offset, length):
                if not 0 < length <= PAYLOAD_BYTES_MAX:
                    raise BadRange(f"a read has 1 to {PAYLOAD_BYTES_MAX} bytes, not {length}")
                target = room_of(length)
                await self.mount.read(grant, offset, target)
                return say.FileRead(number, length), target
            case say.WriteFile(_, grant, offset, durable):
                assert payload is not None, "a write carries its bytes"
                await self._write(grant, offset, payload, durable)
            case say.FlushVolume():
                await self.mount.flush()
            case say.OpenFile(_, path, writable, vm, epoch):
                opened = await self.mount.change(
                    lambda fs: fs.open(
                        path, client, writable=writable, vm=vm or None, epoch=int(epoch)
                    )
                )
                # Who opens it under a new epoch shall find no write of an older one behind it.
                for file, ended in tuple(self.writes):
                    if file == int(opened.file):
                        await ended.wait()
                return _opened(number, opened, 0), None
            case say.LookAtFile(_, grant, first):
                return _opened(number, await self.mount.look(grant), first), None
            case say.ConvertExtents(_, grant, offset, length):
                return _opened(number, await self.mount.convert(grant, offset, length), 0), None
            case say.CloseFile(_, grant):
                await self.mount.change(lambda fs: fs.close(grant))
            case _:
                return await self._name(request)
        return say.Done(number), None

    async def _write(self, grant: int, offset: int, payload: memoryview, durable: bool) -> None:
        file = int(self.mount.filesystem.look(grant).file)
        write = file, asyncio.Event()
        self.writes.add(write)
        try:
            await self.mount.write(grant, offset, [payload], durable)
        finally:
            self.writes.discard(write)
            write[1].set()

    async def remove_folder(self, path: str, vm: VmName, vm_epoch: Epoch) -> None:
        """Of a VM that is gone for good, with what is in it, also what somebody has open still:
        such blocks stay in quarantine until that grant is returned or its holder fenced.
        """
        self.under_way += 1
        try:
            while not await self._removed(path, vm, vm_epoch):
                pass
        finally:
            self.under_way -= 1
            if not self.under_way:
                self.idle.set()

    async def _removed(self, path: str, vm: VmName, vm_epoch: Epoch) -> bool:
        """False if one record of the journal had no room for it all."""
        try:
            await self.mount.change(lambda fs: remove_folder(fs, path, vm, vm_epoch))
        except BatchFull:
            await self.mount.change(lambda fs: None)
            return False
        return True

    async def _name(self, request: VolumeRequest) -> Reply:
        """What is about names and sizes."""
        change = self.mount.change
        match request:
            case say.CreateFile(_, path, is_folder, size_bytes):
                if is_folder:
                    await change(lambda fs: fs.make_folder(path))
                else:
                    await change(lambda fs: fs.create(path, size_bytes))
            case say.DeleteFile(_, path):
                await change(lambda fs: fs.delete(path))
            case say.RenameFile(_, path, to, replaces):
                await change(lambda fs: fs.rename(path, to, replace=replaces))
            case say.GrowFile(_, path, size_bytes):
                await change(lambda fs: fs.grow(path, size_bytes))
            case say.ListFolder(number, path, after):
                entries = await change(lambda fs: fs.list(path))
                left = sorted(
                    (entry for entry in entries if entry.name > after), key=lambda e: e.name
                )
                listed = tuple(
                    say.FolderEntry(entry.name, entry.is_folder, entry.size_bytes)
                    for entry in left[:ENTRIES_MAX]
                )
                return say.FolderListed(number, listed, len(left) <= ENTRIES_MAX), None
            case _:
                raise AssertionError(f"nobody serves {type(request).__name__}")
        return say.Done(request.request), None


def _opened(number: int, opened: Opened, first: int) -> say.FileOpened:
    shown = opened.extents[first : first + EXTENTS_MAX] if first >= 0 else ()
    return say.FileOpened(
        number,
        int(opened.grant),
        int(opened.file),
        opened.size_bytes,
        first,
        len(opened.extents),
        tuple(say.FileExtent(extent.start, extent.blocks, extent.written) for extent in shown),
    )


def extents_of(opened: say.FileOpened) -> tuple[Extent, ...]:
    return tuple(Extent(extent.start, extent.blocks, extent.written) for extent in opened.extents)
