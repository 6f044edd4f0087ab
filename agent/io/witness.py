"""A witness in a folder that every node reaches: one file for each version, and no lock.

A lock would be the obvious way, and the wrong one: a frozen process keeps it, and a share that lost
its client keeps it for as long as it likes. Here nobody waits for anybody. A version is written
beside, made durable, and then given its name by `link`, which fails if the name exists. So of two
who write the same version one does, and the other is told no.
"""

import contextlib
import os
import re
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path

import msgpack  # type: ignore[import-untyped]

from agent.actions import ReadWitness, WriteWitness
from agent.events import WitnessEvent, WitnessFailed, WitnessRead, WitnessWritten
from agent.io.door import Door
from agent.witness_record import WitnessPort, WitnessRecord, packed, unpacked
from protocol.errors import ClusterError, NotReady, PeerUnreachable, ProtocolError

FORMAT = 1
RECORD_BYTES_MAX = 1024 * 1024

KEPT = 16
"""Versions that stay. Whoever looked longer ago than that, and writes now, finds the name of its
version free; so a write counts only if no later version is there afterwards.
"""

READ_TRIES = 5
"""A version may be removed between the look for its name and the opening of its file."""

ANSWER_MAX_S = 4.0
"""After this a look or a write counts as failed, whatever becomes of it."""

_NAME = re.compile(r"record-([0-9]{1,15})")
_FRESH = re.compile(r"\.fresh-([0-9]{1,15})-[0-9a-f]{32}")


class WitnessFolder:
    """The port for one folder, which somebody has made for this cluster alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[int, WitnessRecord | None]:
        """The newest version; a `ClusterError` says why there is none to be had."""
        for _ in range(READ_TRIES):
            version = self._newest()
            if version == 0:
                return 0, None
            try:
                with self._named(version).open("rb") as file:
                    return version, self._unpacked(version, file.read(RECORD_BYTES_MAX + 1))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._off(error) from error
        raise NotReady(f"witness folder {self.path} changes faster than it can be read")

    def write_if(self, version: int, record: WitnessRecord) -> bool:
        """As `WitnessPort` has it. After an error it may have been done."""
        if self._newest() != version:
            return False
        fresh = self.path / f".fresh-{version + 1}-{uuid.uuid4().hex}"
        body = msgpack.packb(packed(record))
        try:
            try:
                self._put(fresh, msgpack.packb([FORMAT, zlib.crc32(body), body]))
                if not self._linked(fresh, version + 1):
                    return False
            finally:
                fresh.unlink(missing_ok=True)
            self._sync()
        except OSError as error:
            raise self._off(error) from error
        # Who was frozen before the link may have written a version of long ago; and who was slow
        # after it has been followed by another, whose word counts.
        if self._newest() != version + 1:
            return False
        self._clean(version + 1 - KEPT)
        return True

    def _linked(self, fresh: Path, version: int) -> bool:
        try:
            os.link(fresh, self._named(version))
        except (FileExistsError, FileNotFoundError):
            return False  # the name is taken; or so long ago was the look that `fresh` was removed
        return True

    def _newest(self) -> int:
        return max((version for version, _ in self._files(_NAME)), default=0)

    def _files(self, pattern: re.Pattern[str]) -> list[tuple[int, str]]:
        try:
            found = [pattern.fullmatch(path.name) for path in self.path.iterdir()]
        except OSError as error:
            raise self._off(error) from error
        return [(int(match[1]), match[0]) for match in found if match is not None]

    def _named(self, version: int) -> Path:
        return self.path / f"record-{version}"

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

    def _clean(self, last: int) -> None:
        """Remove versions up to `last`, and what writers left that died before their link."""
        for version, name in (*self._files(_NAME), *self._files(_FRESH)):
            if version <= last:
                with contextlib.suppress(OSError):  # the next writer tries again
                    (self.path / name).unlink(missing_ok=True)

    def _unpacked(self, version: int, content: bytes) -> WitnessRecord:
        try:
            format_, crc, body = msgpack.unpackb(content)
            if format_ != FORMAT:
                raise ValueError(f"its format is {format_}, and this agent knows {FORMAT}")
            if zlib.crc32(body) != crc:
                raise ValueError("its bytes are not those that were written")
            return unpacked(msgpack.unpackb(body))
        except (ValueError, TypeError, ProtocolError, msgpack.UnpackException) as error:
            raise NotReady(
                f"{self._named(version)} cannot be read ({error}); give the cluster another"
                " witness, or an empty folder once no node runs"
            ) from error

    def _off(self, error: OSError) -> PeerUnreachable:
        return PeerUnreachable(
            f"witness folder {self.path} cannot be used ({error.strerror}); it must be there, and"
            " every node must be able to write to it and to link files in it"
        )


class WitnessDoor(Door[ReadWitness | WriteWitness, WitnessEvent]):
    """Goes to the witness's record."""

    def __init__(
        self,
        feed: Callable[[WitnessEvent], None],
        later: Callable[[float, Callable[[], None]], object],
        soon: Callable[[Callable[[], None]], object],
        port: Callable[[Path], WitnessPort] = WitnessFolder,
    ) -> None:
        super().__init__(
            feed,
            later,
            soon,
            lambda order: _carried_out(order, port(Path(order.witness.path))),
            lambda action, why: WitnessFailed(why, action.begun_at),
            ANSWER_MAX_S,
            "witness",
        )


def _carried_out(action: ReadWitness | WriteWitness, port: WitnessPort) -> WitnessEvent:
    try:
        match action:
            case ReadWitness():
                return WitnessRead(*port.read(), action.begun_at)
            case WriteWitness(_, version, record):
                return WitnessWritten(version, port.write_if(version, record), action.begun_at)
    except Exception as error:  # whatever it was, nothing counts; and who waits must hear of it
        said = str(error) if isinstance(error, ClusterError) else repr(error)
        return WitnessFailed(said, action.begun_at)
