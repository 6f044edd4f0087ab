"""A VM's memory: real pages in a memfd that the agent and the VM's worker both map."""

import ctypes
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xxhash

from agent.guests import Pages
from protocol.errors import NoMemory, Refused
from protocol.names import PAGE_BYTES

CHUNK_BYTES = 64 << 20
SAMPLE_EVERY_PAGES = 64
"""One page in this many is looked at by a sampled digest; page 0, the registers, is one of them."""

_HASHED_AT_ONCE_PAGES = 1024
_MADV_POPULATE_WRITE = 23
_EINVAL = 22

# Functions called through ctypes release the interpreter lock, so a thread that populates or
# frees gigabytes does not delay the event loop. The methods of `mmap.mmap` would.
_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def available_bytes() -> int:
    """How much memory this machine can still give, as the kernel estimates it."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def refuse_size(memory_bytes: int, available: int) -> None:
    """Refuse a size of memory that no VM on this machine can have, naming what would be right."""
    if memory_bytes <= 0:
        raise Refused(
            f"A VM cannot have {memory_bytes} bytes of memory; "
            f"give it a multiple of {PAGE_BYTES} bytes greater than 0."
        )
    if memory_bytes % PAGE_BYTES:
        near = memory_bytes + PAGE_BYTES - memory_bytes % PAGE_BYTES
        raise Refused(
            f"A VM's memory is whole pages of {PAGE_BYTES} bytes, and {memory_bytes} bytes are "
            f"not; {near} would be."
        )
    if memory_bytes > available:
        raise NoMemory(
            f"A VM of {memory_bytes} bytes needs more memory than this machine has free "
            f"({available} bytes)."
        )


class VmMemory:
    """The pages of one VM, shared with its worker by `fd`.

    `populate`, `digest` and `close` may be called from threads and take long for large VMs; a
    closed memory must not be used any more, by whoever still has a view of it.
    """

    def __init__(self, fd: int, memory_bytes: int) -> None:
        self.fd = fd
        self.memory_bytes = memory_bytes
        self.pages = memory_bytes // PAGE_BYTES
        self._map = mmap.mmap(fd, memory_bytes, mmap.MAP_SHARED)
        self.view = memoryview(self._map)
        self.array: Pages = np.frombuffer(self._map, np.uint64).reshape(self.pages, -1)
        self.address = self.array.ctypes.data
        self._closed = False

    @classmethod
    def create(cls, name: str, memory_bytes: int) -> "VmMemory":
        """New memory of zero pages, none of them populated yet."""
        refuse_size(memory_bytes, available_bytes())
        fd = os.memfd_create(f"vm-{name}"[:200], os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, memory_bytes)
            return cls(fd, memory_bytes)
        except BaseException:
            os.close(fd)
            raise

    def populate(self, progress: Callable[[int], bool] | None = None) -> bool:
        """Take all pages from the machine now, so that no copy waits for them later.

        After each chunk `progress` hears how many bytes there are; it says False to stop there,
        and then so does `populate`. The contents of pages stay what they are.
        """
        for start in range(0, self.memory_bytes, CHUNK_BYTES):
            length = min(CHUNK_BYTES, self.memory_bytes - start)
            self._populate_chunk(start, length)
            if progress is not None and not progress(start + length):
                return False
        return True

    def _populate_chunk(self, start: int, length: int) -> None:
        if _libc.madvise(self.address + start, length, _MADV_POPULATE_WRITE) == 0:
            return
        error = ctypes.get_errno()
        if error != _EINVAL:
            raise NoMemory(
                f"The machine could not give {length} bytes of a VM's memory "
                f"({os.strerror(error)}); free some, or make the VM smaller."
            )
        os.posix_fallocate(self.fd, start, length)  # kernels before 5.14 do not know the advice

    def digest(self, sampled: bool) -> bytes:
        """A hash of all pages, or of a sample; only of a paused VM does it say anything."""
        hashed = xxhash.xxh3_128()
        stride = SAMPLE_EVERY_PAGES if sampled else 1
        for start in range(0, self.pages, _HASHED_AT_ONCE_PAGES * stride):
            end = start + _HASHED_AT_ONCE_PAGES * stride
            hashed.update(np.ascontiguousarray(self.array[start:end:stride]).data)
        return hashed.digest()

    def close(self) -> None:
        """Give the pages back to the machine at once, even if somebody still has a view of them."""
        if self._closed:
            return
        self._closed = True
        for start in range(0, self.memory_bytes, CHUNK_BYTES):
            length = min(CHUNK_BYTES, self.memory_bytes - start)
            _libc.madvise(self.address + start, length, mmap.MADV_REMOVE)
        self.view.release()
        self.array = np.empty((0, 512), np.uint64)
        os.close(self.fd)
        try:
            self._map.close()
        except BufferError:
            pass  # the empty mapping goes with the last view of it
