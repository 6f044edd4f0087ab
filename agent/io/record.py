"""A node's state folder: what it must not forget, and the lock that keeps a second agent out."""

import fcntl
import os
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]

from agent.actions import NodeRecord
from protocol.codec import PROTOCOL_VERSION
from protocol.errors import Refused
from protocol.names import ClusterId, Term, Timing, ViewNumber, VoteConfig
from protocol.shapes import Shapes

FORMAT = 2
_SHAPES = Shapes(PROTOCOL_VERSION)
_VOTES, _TIMING, _OUTLAST = _SHAPES.of(VoteConfig), _SHAPES.of(Timing), _SHAPES.of(float)


class StateFolder:
    """Made with tight modes; held by this process until it ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refused(
                f"state folder {path} cannot be used ({error.strerror}); name a folder that this "
                "user may write"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            raise Refused(
                f"state folder {path} is in use by the agent with pid {holder}; "
                "give each node a folder of its own"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        os.close(self._lock)

    def load(self) -> NodeRecord:
        """What was kept last; a new folder knows nothing yet."""
        try:
            content = (self.path / "node.msgpack").read_bytes()
        except FileNotFoundError:
            return NodeRecord()
        try:
            return _from_plain(msgpack.unpackb(content))
        except Exception as error:
            raise Refused(
                f"{self.path / 'node.msgpack'} cannot be read ({error}); put it back as it was, or "
                "remove the state folder once the cluster shows the node as Down, and start the "
                "agent again"
            ) from error

    def keep(self, record: NodeRecord) -> None:
        """Replace the record as a whole. It is on disk when this returns (file and folder)."""
        fresh = self.path / "node.msgpack.new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, msgpack.packb(_to_plain(record)))
            os.fsync(fd)
        finally:
            os.close(fd)
        fresh.replace(self.path / "node.msgpack")
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _to_plain(record: NodeRecord) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "cluster": record.cluster,
        "highest_term": record.highest_term,
        "view": record.view,
        "votes": record.votes and _VOTES.pack(record.votes),
        "timing": _TIMING.pack(record.timing),
        "outlast_s": record.outlast_s,
    }


def _from_plain(plain: dict[str, Any]) -> NodeRecord:
    if plain["format"] != FORMAT:
        raise ValueError(f"its format is {plain['format']}, and this agent knows {FORMAT}")
    return NodeRecord(
        cluster=None if plain["cluster"] is None else ClusterId(plain["cluster"]),
        highest_term=Term(plain["highest_term"]),
        view=ViewNumber(plain["view"]),
        votes=plain["votes"] and _VOTES.unpack(plain["votes"]),
        timing=_TIMING.unpack(plain["timing"]),
        outlast_s=_OUTLAST.unpack(plain["outlast_s"]),
    )
