"""The log of every write that a unit answered: who wrote which blocks under which key.

An entry is appended before the answer leaves, so no acknowledged write is missing when the program
is killed (it does not outlive the machine: nothing waits for a flush of it); one at the end may be
torn, or of a write that was never answered. A file begins with its magic; an entry is length, kind,
body and the low half of the body's xxh64.
"""

import enum
import os
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

from protocol.errors import ClusterError

MAGIC = b"hvlab-evidence-1"
HEAD = struct.Struct(">HB")
TAIL = struct.Struct(">I")
WRITE = struct.Struct(">QIQHQIQ")
KEYS = struct.Struct(">QHIH")
KEY = struct.Struct(">IQ")
INTRODUCTION = struct.Struct(">I")
ROTATE_BYTES = 64 << 20
PREFIX, SUFFIX = "writes-", ".log"


class Kind(enum.IntEnum):
    """What an entry reports. A WRITER gives a number to an initiator port within its file."""

    WRITER = 0
    WRITE = 1
    FILL = 2
    UNMAP = 3
    KEYS = 4


class BadEvidence(ClusterError):
    """The log is damaged elsewhere than at its end."""

    definite = True


@dataclass(frozen=True, slots=True)
class WriteSeen:
    """`at_ns` is CLOCK_BOOTTIME; `xxh64` is of all data, of one block if `kind` is FILL."""

    at_ns: int
    writer: str
    key: int
    lun: int
    lba: int
    blocks: int
    xxh64: int
    kind: Kind = Kind.WRITE


@dataclass(frozen=True, slots=True)
class KeysSeen:
    """All registrations of a unit after they changed, with their initiator ports."""

    at_ns: int
    lun: int
    generation: int
    keys: tuple[tuple[str, int], ...]


Seen = WriteSeen | KeysSeen


class Evidence:
    """Appends to the newest file of `folder`. Calls may come from any thread."""

    def __init__(self, folder: Path, rotate_bytes: int = ROTATE_BYTES) -> None:
        self.folder = folder
        self.rotate_bytes = rotate_bytes
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        # A file that a former life left may end in a torn entry: never appended to.
        self._number = max((_number(path) for path in evidence_files(folder)), default=0)
        self._file = -1
        self._rotate()

    def wrote(
        self,
        writer: str,
        key: int,
        lun: int,
        lba: int,
        blocks: int,
        data: Sequence[bytes | bytearray | memoryview],
        kind: Kind = Kind.WRITE,
    ) -> None:
        """A write is done and not yet answered."""
        digest = xxhash.xxh64()
        for piece in data:
            digest.update(piece)
        total = digest.intdigest() if data else 0
        with self._lock:
            number = self._number_of(writer)
            now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self._append(kind, WRITE.pack(now, number, key, lun, lba, blocks, total))

    def registered(self, lun: int, generation: int, keys: Sequence[tuple[str, int]]) -> None:
        """The registrations of a unit have changed, and that is durable."""
        with self._lock:
            numbered = [(self._number_of(writer), key) for writer, key in keys]
            now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            body = KEYS.pack(now, lun, generation, len(numbered))
            self._append(Kind.KEYS, body + b"".join(KEY.pack(*pair) for pair in numbered))

    def close(self) -> None:
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    # ---- with the lock held

    def _number_of(self, writer: str) -> int:
        """Of a writer in this file; the first entry of each is preceded by its introduction."""
        if self._bytes >= self.rotate_bytes:
            self._rotate()
        number = self._writers.get(writer)
        if number is None:
            number = len(self._writers)
            self._append(Kind.WRITER, INTRODUCTION.pack(number) + writer.encode())
            self._writers[writer] = number
        return number

    def _append(self, kind: Kind, body: bytes) -> None:
        """In one write, so that a killed program tears no entry; a short write is undone."""
        entry = HEAD.pack(len(body), kind) + body + TAIL.pack(_sum(kind, body))
        count = 0
        try:
            count = os.write(self._file, entry)
            if count != len(entry):
                raise OSError(None, "only a part of the entry could be written")
        except OSError:
            if count:
                os.ftruncate(self._file, self._bytes)
            raise
        self._bytes += count

    def _rotate(self) -> None:
        self._number += 1
        path = self.folder / f"{PREFIX}{self._number:08}{SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        fresh = os.open(path, flags, 0o600)
        os.write(fresh, MAGIC)
        if self._file >= 0:
            os.fdatasync(self._file)
            os.close(self._file)
        self._file = fresh
        self._bytes = len(MAGIC)
        self._writers: dict[str, int] = {}


def _sum(kind: int, body: bytes) -> int:
    return int(xxhash.xxh64_intdigest(body, seed=kind) & 0xFFFFFFFF)


def _number(path: Path) -> int:
    return int(path.name.removeprefix(PREFIX).removesuffix(SUFFIX))


def evidence_files(folder: Path) -> list[Path]:
    """In the order in which they were written."""
    return sorted(folder.glob(f"{PREFIX}*{SUFFIX}"), key=_number)


def read_evidence(folder: Path) -> Iterator[Seen]:
    """All entries in order. What ends a file in mid-entry was never answered, and is left out."""
    for path in evidence_files(folder):
        yield from _read_file(path)


def _read_file(path: Path) -> Iterator[Seen]:
    data = memoryview(path.read_bytes())
    if bytes(data[: len(MAGIC)]) != MAGIC[: len(data)]:
        raise BadEvidence(f"{path} is no log of writes: it begins with other bytes.")
    writers: dict[int, str] = {}
    at = len(MAGIC)
    while len(data) - at >= HEAD.size:
        length, kind = HEAD.unpack_from(data, at)
        end = at + HEAD.size + length + TAIL.size
        if end > len(data):
            return
        body = bytes(data[at + HEAD.size : end - TAIL.size])
        (wanted,) = TAIL.unpack_from(data, end - TAIL.size)
        if _sum(kind, body) != wanted or kind not in list(Kind):
            if end == len(data):
                return
            raise BadEvidence(f"{path} is damaged at byte {at}, and goes on behind it.")
        at = end
        if kind == Kind.WRITER:
            (number,) = INTRODUCTION.unpack_from(body)
            writers[number] = body[INTRODUCTION.size :].decode()
        else:
            yield _entry(Kind(kind), body, writers)


def _entry(kind: Kind, body: bytes, writers: dict[int, str]) -> Seen:
    if kind is Kind.KEYS:
        now, lun, generation, _ = KEYS.unpack_from(body)
        pairs = KEY.iter_unpack(body[KEYS.size :])
        return KeysSeen(now, lun, generation, tuple((writers[one], key) for one, key in pairs))
    now, number, key, lun, lba, blocks, digest = WRITE.unpack(body)
    return WriteSeen(now, writers[number], key, lun, lba, blocks, digest, kind)
