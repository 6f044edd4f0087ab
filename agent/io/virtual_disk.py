"""What the edge needs of virtual disks: to open them, and a loop on which they live."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from protocol.names import Epoch, VmName, VolumeName

Done = TypeVar("Done")


class VirtualDisk(Protocol):
    """An open VHD. A write with `fua` and `flush` return when the bytes are on stable storage.

    A call that is cancelled ends only when nothing of it can reach the disk any more. What fails
    may be tried again: the same bytes at the same place.
    """

    @property
    def size_bytes(self) -> int: ...

    async def read_into(self, offset: int, into: memoryview) -> None: ...

    async def write(
        self, offset: int, buffers: Sequence[memoryview], fua: bool = False
    ) -> None: ...

    async def flush(self) -> None: ...

    async def close(self) -> None: ...


class VhdFolder(Protocol):
    """The volumes of a cluster, as far as VMs use them. All raise ClusterError. A path is from the
    volume's root on, with or without a slash before it.
    """

    async def open_vhd(
        self, volume: VolumeName, path: str, vm: VmName, epoch: Epoch
    ) -> VirtualDisk: ...

    async def make_vhd(self, volume: VolumeName, path: str, size_bytes: int) -> None:
        """A new disk of zeros, in a new folder if need be; one of that size that is there stays."""
        ...

    async def read_text(self, volume: VolumeName, path: str) -> str | None:
        """None if there is no such file."""
        ...

    async def write_text(self, volume: VolumeName, path: str, text: str) -> None:
        """All of it or, if that fails, what was there before."""
        ...

    async def remove_folder(self, volume: VolumeName, path: str) -> None:
        """With the files in it; that there is none is no error."""
        ...


class DiskThread(Protocol):
    """The loop on which all disk I/O of the node runs, beside the agent's own."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    async def run(self, work: Coroutine[Any, Any, Done]) -> Done: ...
