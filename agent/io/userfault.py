"""The kernel's write tracking (userfaultfd WP_ASYNC and PAGEMAP_SCAN), as system calls."""

import ctypes
import errno
import fcntl
import os
import platform
import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.runs import Runs, no_runs, union
from protocol.names import PAGE_BYTES

_USERFAULTFD = {"x86_64": 323, "aarch64": 282}
_USER_MODE_ONLY = 1
_NEW_FROM_DEVICE = 0xAA00
_UFFDIO_API = 0xC018AA3F
_UFFDIO_REGISTER = 0xC020AA00
_MODE_MISSING, _MODE_WRITE_PROTECT = 1, 2
_MISSING_SHMEM, _WP_HUGETLBFS_SHMEM, _WP_UNPOPULATED, _WP_ASYNC = 1 << 5, 1 << 12, 1 << 13, 1 << 15
_WRITE_TRACKING = _WP_ASYNC | _WP_UNPOPULATED | _WP_HUGETLBFS_SHMEM
_PAGEMAP_SCAN = 0xC0606610
_IS_WRITTEN = 2
_WP_MATCHING, _CHECK_ASYNC = 1, 2
_REGIONS = 4096

_libc = ctypes.CDLL(None, use_errno=True)


def open_userfaultfd() -> int:
    """A userfaultfd by the first way that this user is allowed to take."""
    number = _USERFAULTFD.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"userfaultfd has no known number on {platform.machine()}")
    flags = os.O_CLOEXEC | os.O_NONBLOCK
    fd = int(_libc.syscall(number, flags))
    if fd < 0 and ctypes.get_errno() in (errno.EPERM, errno.EACCES):
        # Asynchronous tracking also sees what the kernel writes, so user mode is enough.
        fd = int(_libc.syscall(number, flags | _USER_MODE_ONLY))
    if fd >= 0:
        return fd
    refused = ctypes.get_errno()
    try:  # containers that forbid the system call may have been given the device
        device = os.open("/dev/userfaultfd", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        raise OSError(refused, f"userfaultfd: {os.strerror(refused)}") from None
    try:
        return fcntl.ioctl(device, _NEW_FROM_DEVICE, flags)
    finally:
        os.close(device)


def track_writes(address: int, length_bytes: int) -> int:
    """Have the kernel track writes to this mapping of this process, while the returned fd is open.

    The first scan finds every page, since none was ever protected.
    """
    return _registered(address, length_bytes, _WRITE_TRACKING, _MODE_WRITE_PROTECT)


def watch_missing(address: int, length_bytes: int) -> int:
    """Have the kernel track writes to this mapping of this process, and stop it at pages that are
    not there. The fd must stay open to the end of the process.
    """
    features = _WRITE_TRACKING | _MISSING_SHMEM
    return _registered(address, length_bytes, features, _MODE_MISSING | _MODE_WRITE_PROTECT)


def _registered(address: int, length_bytes: int, features: int, mode: int) -> int:
    fd = open_userfaultfd()
    try:
        fcntl.ioctl(fd, _UFFDIO_API, bytearray(struct.pack("<QQQ", 0xAA, features, 0)))
        wanted = struct.pack("<QQQQ", address, length_bytes, mode, 0)
        fcntl.ioctl(fd, _UFFDIO_REGISTER, bytearray(wanted))
    except OSError:
        os.close(fd)
        raise
    return fd


class PagemapScan:
    """Finds the pages that another process wrote in one mapping. Threads may look at once."""

    def __init__(self, pid: int, address: int, pages: int) -> None:
        self._fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        self._address = address
        self._pages = pages

    def written(self, *, protect: bool, spans: Sequence[tuple[int, int]] | None = None) -> Runs:
        """Pages written since they were last protected; if `protect`, they are protected when this
        returns. `spans`: where to look, ascending stretches of pages; else everywhere.
        """
        flags = _CHECK_ASYNC | (_WP_MATCHING if protect else 0)
        found: list[npt.NDArray[np.uint64]] = []
        for first, behind in [(0, self._pages)] if spans is None else spans:
            start, end = self._address + first * PAGE_BYTES, self._address + behind * PAGE_BYTES
            room = np.empty((min(_REGIONS, (behind - first + 1) // 2), 3), np.uint64)
            while start < end:  # one call may end early even with room left for more regions
                count, start = self._scan_once(start, end, flags, room)
                found.append(room[:count, :2].copy())
        if not found:
            return no_runs()
        edges = np.concatenate(found).astype(np.int64)
        starts = (edges[:, 0] - self._address) // PAGE_BYTES
        runs = Runs(starts, (edges[:, 1] - edges[:, 0]) // PAGE_BYTES)
        # After some hundred regions the kernel may name a place to go on from that lies before the
        # last of them: then what was written meanwhile comes behind its place, or twice.
        is_in_order = not bool((runs.starts[1:] < runs.ends[:-1]).any())
        return runs if is_in_order else union(runs, no_runs())

    def _scan_once(
        self, start: int, end: int, flags: int, room: npt.NDArray[np.uint64]
    ) -> tuple[int, int]:
        argument = bytearray(
            struct.pack(
                "<12Q",
                *(96, flags, start, end, 0),
                *(room.ctypes.data, len(room), 0),
                *(0, _IS_WRITTEN, 0, _IS_WRITTEN),
            )
        )
        count = fcntl.ioctl(self._fd, _PAGEMAP_SCAN, argument)
        (walk_end,) = struct.unpack_from("<Q", argument, 32)
        return count, walk_end

    def close(self) -> None:
        os.close(self._fd)
