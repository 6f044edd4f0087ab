"""A volume in memory, for tests of the edge: disks that can be stalled or made to fail, and that
refuse an epoch when a newer one was seen.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from agent.volumes.errors import Conflict, StaleEpoch
from protocol.errors import NotReady, Refused
from protocol.names import Epoch, VmName, VolumeName

Done = TypeVar("Done")


class ModelVolume:
    """Shared by all nodes of a test."""

    def __init__(self) -> None:
        self.disks: dict[str, bytearray] = {}
        self.texts: dict[str, str] = {}
        self.epochs: dict[VmName, Epoch] = {}
        self.open_count = 0
        self.writes = 0
        self.broken = ""
        """What every request to a disk fails with."""

        self.lost = ""
        """The same, for good."""

        self.flows = asyncio.Event()
        self.flows.set()

        self.serves = asyncio.Event()
        """While it is clear nobody serves the volume, and who opens a disk waits."""
        self.serves.set()

    async def open_vhd(self, volume: VolumeName, path: str, vm: VmName, epoch: Epoch) -> "ModelVhd":
        await self.serves.wait()
        if path not in self.disks:
            raise Refused(f"There is no file {path} on {volume}.")
        if epoch < self.epochs.get(vm, Epoch(0)):
            raise StaleEpoch(f"Epoch {epoch} of {vm} is over.")
        self.epochs[vm] = epoch
        self.open_count += 1
        return ModelVhd(self, self.disks[path], vm, epoch)

    async def make_vhd(self, volume: VolumeName, path: str, size_bytes: int) -> None:
        self.disks.setdefault(path, bytearray(size_bytes))

    async def read_text(self, volume: VolumeName, path: str) -> str | None:
        return self.texts.get(path)

    async def write_text(self, volume: VolumeName, path: str, text: str) -> None:
        self.texts[path] = text

    async def remove_folder(self, volume: VolumeName, path: str) -> None:
        for files in (self.disks, self.texts):
            for name in [name for name in files if name.startswith(f"{path}/")]:
                del files[name]


class SameLoop:
    """Disk I/O on the loop of the test."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()

    async def run(self, work: Coroutine[Any, Any, Done]) -> Done:
        return await work


class ModelVhd:
    """One opening of a disk, under one epoch."""

    def __init__(self, volume: ModelVolume, content: bytearray, vm: VmName, epoch: Epoch) -> None:
        self._volume = volume
        self._content = content
        self._vm = vm
        self._epoch = epoch
        self._is_closed = False

    @property
    def size_bytes(self) -> int:
        return len(self._content)

    async def read_into(self, offset: int, into: memoryview) -> None:
        await self._admit()
        into[:] = self._content[offset : offset + len(into)]

    async def write(self, offset: int, buffers: Sequence[memoryview], fua: bool = False) -> None:
        await self._admit()
        data = b"".join(buffers)
        self._content[offset : offset + len(data)] = data
        self._volume.writes += 1

    async def flush(self) -> None:
        await self._admit()

    async def close(self) -> None:
        assert not self._is_closed, "it is closed once"
        self._is_closed = True
        self._volume.open_count -= 1

    async def _admit(self) -> None:
        await self._volume.flows.wait()
        if self._volume.broken:
            raise NotReady(self._volume.broken)
        if self._volume.lost:
            raise Conflict(self._volume.lost)
        if self._is_closed or self._epoch < self._volume.epochs[self._vm]:
            raise StaleEpoch(f"Epoch {self._epoch} of {self._vm} is over.")
