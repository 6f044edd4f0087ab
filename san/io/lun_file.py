"""A unit's blocks in a file, and beside it the record that outlives the program."""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from protocol.errors import ClusterError
from protocol.iscsi.digests import Buffer
from san.medium import Failure, MediumFailed
from san.reservation_record import BadRecord, ReservationRecord, read_record, write_record

KEEP_SIZE, PUNCH_HOLE = 0x01, 0x02
BUFFERS_MAX = 512  # of one call: the kernel takes 1024 (IOV_MAX)
RECORD_SUFFIX = ".reservations"
FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class BadLunFile(ClusterError):
    """The file cannot be a unit; the sentence says what to do about it."""

    definite = True


class LunFile:
    """One unit's file. Every call may block and may come from any thread."""

    def __init__(self, path: Path, descriptor: int, block_bytes: int) -> None:
        self.path = path
        self.block_bytes = block_bytes
        self._file = descriptor
        found = os.fstat(descriptor)
        self._identity = (found.st_dev, found.st_ino)
        self.blocks = found.st_size // block_bytes
        self._record_path = path.with_name(path.name + RECORD_SUFFIX)
        self._record_lock = threading.Lock()
        self._saved: ReservationRecord | None = None
        self._unsynced: str | None = None

    # ---- from nothing to open, and back

    @staticmethod
    def create(path: Path, size_bytes: int) -> None:
        """A sparse file of zeros; never over one that exists."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise BadLunFile(f"{path} exists: remove it first if its blocks may go.") from None
        except OSError as error:
            raise BadLunFile(f"{path} cannot be created: {error.strerror}.") from None
        try:
            os.ftruncate(descriptor, size_bytes)
            os.fsync(descriptor)
        except OSError as error:
            path.unlink()
            raise BadLunFile(f"{path} cannot have {size_bytes} bytes: {error.strerror}.") from None
        finally:
            os.close(descriptor)
        _sync_folder(path.parent)

    @classmethod
    def open(cls, path: Path, block_bytes: int = 512) -> "LunFile":
        """Locked, so that no second program serves it."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise BadLunFile(f"{path} cannot be opened: {error.strerror}.") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size_bytes = os.fstat(descriptor).st_size
            if not size_bytes or size_bytes % block_bytes:
                raise BadLunFile(
                    f"{path} has {size_bytes} bytes: whole blocks of {block_bytes} are wanted."
                )
            return cls(path, descriptor, block_bytes)
        except BlockingIOError:
            os.close(descriptor)
            raise BadLunFile(f"{path} is in use by another program.") from None
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """No call may come after it, or be under way."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> "LunFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- blocks

    def check_present(self) -> None:
        """The file still has its name: else what is written would be gone with the program."""
        try:
            named = self.path.stat()
            gone = (named.st_dev, named.st_ino) != self._identity
        except OSError:
            gone = True
        if gone:
            raise MediumFailed(Failure.GONE, f"{self.path} was removed or replaced.")
        if named.st_size < self.blocks * self.block_bytes:
            raise MediumFailed(Failure.GONE, f"{self.path} was cut to {named.st_size} bytes.")

    def read_into(self, lba: int, buffer: bytearray | memoryview) -> None:
        """Fills `buffer` from block `lba` on."""
        view = memoryview(buffer)
        offset = lba * self.block_bytes
        done = 0
        while done < len(view):
            try:
                count = os.preadv(self._file, [view[done:]], offset + done)
            except OSError as error:
                raise self._failed(Failure.UNREADABLE, error, offset + done) from None
            if not count:
                raise MediumFailed(Failure.GONE, f"{self.path} ends before its last block.")
            done += count

    def read_cached(self, lba: int, buffer: memoryview) -> bool:
        """Fills `buffer` if the kernel has all of it in memory; never waits for a disk."""
        try:
            offset = lba * self.block_bytes
            return os.preadv(self._file, [buffer], offset, os.RWF_NOWAIT) == len(buffer)
        except OSError:
            return False  # whatever is wrong, `read_into` says it better

    def write(self, lba: int, buffers: Sequence[Buffer], fua: bool = False) -> None:
        """With `fua` returns only when the bytes are on stable storage."""
        self._check_synced()
        if fua:
            self.check_present()
        offset = lba * self.block_bytes
        flags = os.RWF_DSYNC if fua else 0
        rest = [memoryview(buffer) for buffer in buffers if len(buffer)]
        while rest:
            try:
                count = os.pwritev(self._file, rest[:BUFFERS_MAX], offset, flags)
            except OSError as error:
                if fua and error.errno == errno.EIO:
                    self._unsynced = error.strerror
                raise self._failed(Failure.UNWRITABLE, error, offset) from None
            offset += count
            rest = _after(rest, count)

    def flush(self) -> None:
        """Everything written so far is on stable storage; after one failure nothing ever is.

        The kernel may drop what it could not write and report that only once.
        """
        self._check_synced()
        self.check_present()
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._unsynced = error.strerror or str(error)
            self._check_synced()

    def punch(self, lba: int, blocks: int) -> None:
        """Gives the space back; the blocks read as zeros."""
        self._check_synced()
        offset, length = lba * self.block_bytes, blocks * self.block_bytes
        mode = PUNCH_HOLE | KEEP_SIZE
        if not length or _libc.fallocate(self._file, mode, offset, length) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise self._failed(Failure.UNWRITABLE, OSError(code, os.strerror(code)), offset)
        zeros = bytes(min(length, 1 << 20))
        for start in range(0, length, len(zeros)):
            piece = zeros[: length - start]
            self.write(lba + start // self.block_bytes, [piece])

    def _check_synced(self) -> None:
        if self._unsynced is not None:
            raise MediumFailed(
                Failure.UNSYNCED,
                f"{self.path} could not be brought to stable storage ({self._unsynced}): "
                "what was written since the last success may be lost.",
            )

    def _failed(self, failure: Failure, error: OSError, offset: int) -> MediumFailed:
        if error.errno in FULL_ERRORS:
            failure = Failure.FULL
        sentence = f"{self.path} at byte {offset}: {error.strerror}."
        return MediumFailed(failure, sentence, offset // self.block_bytes)

    # ---- the record

    def load(self) -> ReservationRecord | None:
        """What was saved last; None if nobody ever registered."""
        try:
            text = self._record_path.read_text()
        except FileNotFoundError:
            return None
        try:
            plain = json.loads(text)
        except ValueError:
            raise BadRecord(
                f"{self._record_path} is damaged: remove it only if no node has access."
            ) from None
        if not isinstance(plain, dict):
            raise BadRecord(f"{self._record_path} holds no record of reservations.")
        self._saved = read_record(plain)
        return self._saved

    def save(self, record: ReservationRecord) -> bool:
        """Durable on return, whole or not at all; False if a later one was saved before."""
        with self._record_lock:
            if self._saved is not None and self._saved.number >= record.number:
                return False
            if not record.persists and (self._saved is None or not self._saved.persists):
                return True
            self.check_present()
            text = json.dumps(write_record(record), indent=1)
            try:
                _replace(self._record_path, text.encode())
            except OSError as error:
                raise MediumFailed(
                    Failure.UNRECORDED, f"{self._record_path}: {error.strerror}."
                ) from None
            self._saved = record
            return True


def _after(views: list[memoryview], count: int) -> list[memoryview]:
    """What is left when the first `count` bytes are done."""
    for index, view in enumerate(views):
        if count < len(view):
            return [view[count:], *views[index + 1 :]]
        count -= len(view)
    return []


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    with contextlib.ExitStack() as stack:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, descriptor)
        os.fsync(descriptor)
