"""Copies of the cluster database in the folder of a disk witness, and the way to them.

Each is a file of its own, named by the leader's term and the store's revision, and there wholly or
not at all: it is written beside, made durable, and renamed. Nothing is ever overwritten, so a
writer that was frozen leaves at most an older file, which the next one removes.
"""

import contextlib
import os
import re
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path

import msgpack  # type: ignore[import-untyped]

from agent.actions import FetchCopy, StoreCopy
from agent.copy_record import CopyPort, DatabaseCopy, packed, unpacked
from agent.events import CopyEvent, CopyFailed, CopyFetched, CopyStored
from agent.io.door import Door
from protocol.errors import ClusterError, NotReady, PeerUnreachable, ProtocolError
from protocol.parts import CONTENT_BYTES_MAX

FORMAT = 1
FILE_BYTES_MAX = CONTENT_BYTES_MAX + 64 * 1024
ANSWER_MAX_S = 10.0
"""After this a copy counts as neither kept nor read, whatever becomes of it."""

_NAME = re.compile(r"copy-([0-9]{1,16})-([0-9]{1,19})")
_FRESH = re.compile(r"\.fresh-copy-([0-9]{1,16})-([0-9]{1,19})-[0-9a-f]{32}")

Key = tuple[int, int]
"""Term and revision: the order of copies."""


class CopyFolder:
    """The port for one folder, that of the witness's records."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep(self, copy: DatabaseCopy) -> None:
        key = (int(copy.name.term), copy.name.revision)
        newest = max(self._files(_NAME), default=None)
        if newest is None or newest[0] < key:
            name = f"copy-{key[0]}-{key[1]}"
            body = msgpack.packb([packed(copy.name), copy.content])
            fresh = self.path / f".fresh-{name}-{uuid.uuid4().hex}"
            try:
                try:
                    self._put(fresh, msgpack.packb([FORMAT, zlib.crc32(body), body]))
                    fresh.rename(self.path / name)
                finally:
                    fresh.unlink(missing_ok=True)
                self._sync()
            except OSError as error:
                raise self._off(error) from error
        self._clean()

    def newest(self) -> DatabaseCopy | None:
        found = max(self._files(_NAME), default=None)
        if found is None:
            return None
        path = self.path / found[1]
        try:
            with path.open("rb") as file:
                return self._unpacked(path, file.read(FILE_BYTES_MAX + 1))
        except FileNotFoundError as error:
            raise NotReady(f"{path} has just been followed by a newer copy: ask again") from error
        except OSError as error:
            raise self._off(error) from error

    def _files(self, pattern: re.Pattern[str]) -> list[tuple[Key, str]]:
        try:
            found = [pattern.fullmatch(path.name) for path in self.path.iterdir()]
        except OSError as error:
            raise self._off(error) from error
        return [((int(match[1]), int(match[2])), match[0]) for match in found if match]

    def _put(self, path: Path, content: bytes) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _sync(self) -> None:
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _clean(self) -> None:
        """Remove what is older than the newest, and what writers left that died in the middle."""
        copies = self._files(_NAME)
        newest = max(copies)[0] if copies else (0, 0)
        for key, name in (*copies, *self._files(_FRESH)):
            if key < newest:
                with contextlib.suppress(OSError):  # the next writer tries again
                    (self.path / name).unlink(missing_ok=True)

    def _unpacked(self, path: Path, content: bytes) -> DatabaseCopy:
        try:
            format_, crc, body = msgpack.unpackb(content)
            if format_ != FORMAT:
                raise ValueError(f"its format is {format_}, and this agent knows {FORMAT}")
            if zlib.crc32(body) != crc:
                raise ValueError("its bytes are not those that were written")
            name, rows = msgpack.unpackb(body)
            if type(rows) is not bytes or len(rows) > CONTENT_BYTES_MAX:
                raise ValueError("its content is not one of bytes")
            return DatabaseCopy(unpacked(name), rows)
        except (ValueError, TypeError, ProtocolError, msgpack.UnpackException) as error:
            raise NotReady(f"{path} cannot be read ({error})") from error

    def _off(self, error: OSError) -> PeerUnreachable:
        return PeerUnreachable(
            f"witness folder {self.path} takes or gives no copy ({error.strerror}); it must be"
            " there with room in it, and every node must be able to write to it"
        )


class CopyDoor(Door[StoreCopy | FetchCopy, CopyEvent]):
    """Goes to the copies beside the loop, and beside the witness's record: a copy is long, and the
    record's renewal must not wait for it.
    """

    def __init__(
        self,
        feed: Callable[[CopyEvent], None],
        later: Callable[[float, Callable[[], None]], object],
        soon: Callable[[Callable[[], None]], object],
        port: Callable[[Path], CopyPort] = CopyFolder,
    ) -> None:
        super().__init__(
            feed,
            later,
            soon,
            lambda order: _carried_out(order, port(Path(order.witness.path))),
            CopyFailed,
            ANSWER_MAX_S,
            "copy",
        )


def _carried_out(order: StoreCopy | FetchCopy, port: CopyPort) -> CopyEvent:
    try:
        match order:
            case StoreCopy(copy=copy):
                port.keep(copy)
                return CopyStored(order)
            case FetchCopy():
                return CopyFetched(order, port.newest())
    except Exception as error:  # whatever it was, who waits must hear of it
        said = str(error) if isinstance(error, ClusterError) else repr(error)
        return CopyFailed(order, said)
