"""Pages that are not there yet: the kernel stops whoever touches one until it is brought.

The worker has its own mapping of the VM's memory watched, and keeps the userfaultfd open to its
end: as long as it does, a missing page that nobody serves stops the guest and never reads as
zeros. The agent serves, from another process, with a descriptor that the worker has handed it.
"""

import ctypes
import errno
import fcntl
import os
import select
import socket
import struct

import numpy as np
import numpy.typing as npt

from agent.runs import Runs
from protocol.names import PAGE_BYTES

_UFFDIO_WAKE = 0x8010AA02
_UFFDIO_COPY = 0xC028AA03
_PAGEFAULT = 0x12
_MESSAGE = struct.Struct("<B7xQQI4x")
_MESSAGES_AT_ONCE = 64
_KEEP_SIZE_AND_PUNCH_HOLE = 3

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)

Content = npt.NDArray[np.uint64]


def hand_over(sock_fd: int, fd: int) -> None:
    """In the worker: give the agent a descriptor of the watch, and keep one."""
    with socket.socket(fileno=sock_fd) as sock:
        socket.send_fds(sock, [b"f"], [fd])


def handed_over(sock: socket.socket) -> int | None:
    """In the agent: the descriptor that the worker has given, if it has."""
    sock.setblocking(False)
    try:
        _, fds, _, _ = socket.recv_fds(sock, 1, 1)
    except (BlockingIOError, ConnectionError):
        return None
    return fds[0] if fds else None


def punch(memory_fd: int, runs: Runs) -> None:
    """Take these pages out of the VM's memory, for every process that maps it."""
    for start, count in zip(runs.starts.tolist(), runs.counts.tolist(), strict=True):
        offset, length = start * PAGE_BYTES, count * PAGE_BYTES
        if _libc.fallocate(memory_fd, _KEEP_SIZE_AND_PUNCH_HOLE, offset, length) != 0:
            error = ctypes.get_errno()
            raise OSError(error, f"pages cannot be taken out of memory: {os.strerror(error)}")


class Faults:
    """The agent's side of one watch. One thread waits for what is wanted, any may bring pages."""

    def __init__(self, fd: int, address: int, pages: int) -> None:
        self._fd = fd
        self._address = address
        self._pages = pages
        self._stop_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._poll.register(self._stop_fd, select.POLLIN)

    def wanted(self) -> list[int] | None:
        """Wait until the guest stands before missing pages; their numbers, None after `stop`."""
        while True:
            ready = dict(self._poll.poll())
            if self._stop_fd in ready:
                return None
            if ready.get(self._fd, 0) & ~select.POLLIN:
                return None  # the worker's memory is gone
            try:
                data = os.read(self._fd, _MESSAGE.size * _MESSAGES_AT_ONCE)
            except BlockingIOError:
                continue  # the page came before anybody asked for it
            touched = [
                (address - self._address) // PAGE_BYTES
                for event, _, address, _ in _MESSAGE.iter_unpack(data)
                if event == _PAGEFAULT
            ]
            if touched:
                return touched

    def bring(self, first: int, content: Content) -> int:
        """Put pages from `first` on where they are missing, and let go on who waits for them.

        The kernel does it page by page and whole: one that is there already, and that the guest may
        have written since, is left as it is. Returns how many were missing.
        """
        brought = done = 0
        while done < len(content):
            came, skipped = self._copy(first + done, content[done:])
            brought += came
            done += came + skipped
        return brought

    def _copy(self, first: int, content: Content) -> tuple[int, int]:
        there = self._address + first * PAGE_BYTES
        size = len(content) * PAGE_BYTES
        argument = bytearray(struct.pack("<QQQQq", there, content.ctypes.data, size, 0, 0))
        try:
            fcntl.ioctl(self._fd, _UFFDIO_COPY, argument)
        except OSError as error:
            (copied,) = struct.unpack_from("<q", argument, 32)
            if copied > 0:
                return copied // PAGE_BYTES, 0
            if error.errno == errno.EAGAIN:
                return 0, 0
            if error.errno != errno.EEXIST:
                raise
            fcntl.ioctl(self._fd, _UFFDIO_WAKE, bytearray(struct.pack("<QQ", there, PAGE_BYTES)))
            return 0, 1
        return len(content), 0

    def stop(self) -> None:
        """Whoever waits in `wanted` goes on, with None."""
        os.eventfd_write(self._stop_fd, 1)

    def close(self) -> None:
        """Once nobody waits or brings any more."""
        os.close(self._fd)
        os.close(self._stop_fd)
