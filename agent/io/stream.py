"""One blocking TCP stream that carries pages: whole transfers, typed errors, a bound on silence.

A transfer of many pages is one system call without the interpreter's lock. SO_RCVTIMEO and
SO_SNDTIMEO bound the silence rather than Python's timeouts, which make a socket non-blocking and
so turn MSG_WAITALL off: with them a call that got anywhere returns what it has, and only one in
which nothing moved at all fails.
"""

import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from protocol.errors import ClusterError, PeerUnreachable

VECTORS_MAX = 1024
"""How many pieces of memory one system call takes (IOV_MAX)."""

CONGESTION_CONTROL = b"reno"
"""Needs no privilege, and on a fast local path carries three times what bbr does."""

IOVEC = np.dtype([("base", np.uint64), ("bytes", np.uint64)])
Vectors = NDArray[np.void]

_libc = ctypes.CDLL(None, use_errno=True)


class _Message(ctypes.Structure):
    """The kernel's msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_bytes", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_bytes", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


for _call in (_libc.sendmsg, _libc.recvmsg):
    _call.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    _call.restype = ctypes.c_ssize_t


class StreamClosed(ClusterError):
    """This side closed the stream while it was in use, because the attempt had ended here."""


class Stream:
    """A connected socket, owned by this object from now on. One thread uses it; any may end it."""

    def __init__(self, sock: socket.socket, progress_timeout_s: float) -> None:
        assert progress_timeout_s > 0, "a stream without patience moves nothing"
        self.progress_timeout_s = progress_timeout_s
        self._sock = sock
        self._closing = False
        self._lock = threading.Lock()
        _tune(sock, progress_timeout_s)

    def send(self, data: bytes | memoryview, *, more: bool = False) -> None:
        """Send all of it; `more` says that pages follow at once and shall share its segment."""
        with self._errors():
            self._sock.sendall(data, socket.MSG_MORE if more else 0)

    def send_vectors(self, vectors: Vectors) -> None:
        """Send pieces of memory, which must stay mapped until this returns."""
        self._transfer(_libc.sendmsg, vectors, socket.MSG_NOSIGNAL)

    def await_bytes(self) -> None:
        """Wait until something comes, or the end, however long that takes."""
        with self._errors():
            poll = select.poll()
            poll.register(self._sock, select.POLLIN)
            poll.poll()

    def receive_into(self, target: memoryview) -> None:
        """Fill `target`, or raise."""
        with self._errors():
            got = 0
            while got < len(target):
                count = self._sock.recv_into(target[got:], 0, socket.MSG_WAITALL)
                if count == 0:
                    raise EOFError("the other side ended it")
                got += count

    def receive_vectors(self, vectors: Vectors) -> None:
        """Fill pieces of memory, which must stay mapped until this returns."""
        self._transfer(_libc.recvmsg, vectors, socket.MSG_WAITALL)

    def interrupt(self) -> None:
        """End the stream; a thread that waits in it wakes up with `StreamClosed`."""
        with self._lock:
            self._closing = True
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Free the socket. Only when no thread is inside: the kernel gives its number to others."""
        with self._lock:
            self._closing = True
            self._sock.close()

    def _transfer(self, call: "ctypes._NamedFuncPointer", vectors: Vectors, flags: int) -> None:
        with self._errors():
            for first in range(0, len(vectors), VECTORS_MAX):
                left = vectors[first : first + VECTORS_MAX]
                while len(left):
                    left = rest_of(left, _move(call, self._sock.fileno(), left, flags))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """The one place where the kernel's errors on a stream turn into ours."""
        try:
            yield
        except (OSError, EOFError) as exc:
            if self._closing:
                raise StreamClosed("the stream was closed on this side") from exc
            if isinstance(exc, BlockingIOError):
                silence = f"no byte moved on a stream of pages for {self.progress_timeout_s:g} s"
                raise PeerUnreachable(silence) from exc
            raise PeerUnreachable(f"a stream of pages broke: {exc}") from exc


def rest_of(vectors: Vectors, moved_bytes: int) -> Vectors:
    """What is left to move after `moved_bytes`; the given vectors stay as they are."""
    ends = np.cumsum(vectors["bytes"])
    first = int(np.searchsorted(ends, moved_bytes, side="right"))
    if first == len(vectors):
        return vectors[first:]
    rest = vectors[first:].copy()
    cut = moved_bytes - int(ends[first] - vectors["bytes"][first])
    rest["base"][0] += np.uint64(cut)
    rest["bytes"][0] -= np.uint64(cut)
    return rest


def _move(call: "ctypes._NamedFuncPointer", fd: int, vectors: Vectors, flags: int) -> int:
    message = _Message(vectors=vectors.ctypes.data, vector_count=len(vectors))
    while True:
        moved: int = call(fd, ctypes.byref(message), flags)
        if moved > 0:
            return moved
        if moved == 0:
            raise EOFError("the other side ended it")
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))


def _tune(sock: socket.socket, progress_timeout_s: float) -> None:
    """Blocking, impatient, undelayed; the buffers stay with the kernel, which sizes them best."""
    sock.setblocking(True)
    seconds = int(progress_timeout_s)
    patience = struct.pack("@ll", seconds, max(1, int((progress_timeout_s - seconds) * 1e6)))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A host may allow less; the stream is then slower, not wrong.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION_CONTROL)
