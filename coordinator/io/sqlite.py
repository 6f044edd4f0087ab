"""The store in one SQLite file: the embedded default, for one coordinator.

One thread owns the connection, so a transaction is one hop away from the event loop and the file
sees one statement at a time. The layout of the file and what may go wrong with it is in `_File`.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import sqlite3
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from coordinator.io.store_check import APPLICATION_ID, SCHEMA, check_ours, check_store
from coordinator.store import interface as store
from coordinator.store.interface import (
    SECRET_BYTES,
    SECRET_KEY,
    TERM_KEY,
    Applied,
    Compacted,
    Indefinite,
    Result,
    Row,
    StoreTaken,
    Txn,
)
from protocol.errors import StoreError, StoreIndefinite

T = TypeVar("T")

STORE = "coordinator.sqlite"
"""The store's name in a coordinator's state folder."""

TOMBSTONE_REVISIONS = 10_000
"""For how many revisions a deletion is remembered, so that a watch may begin that far back."""

WATCH_PAGE_ROWS = 256

LAYOUT = (
    "CREATE TABLE rows (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value BLOB) WITHOUT ROWID",
    "CREATE INDEX rows_by_revision ON rows (revision)",
    # A row without value is a tombstone: it tells watchers of the deletion.
    "CREATE INDEX tombstones ON rows (revision) WHERE value IS NULL",
    "CREATE TABLE forgotten (revision INTEGER NOT NULL)",
    "INSERT INTO forgotten VALUES (0)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA}",
)


class SqliteStore:
    """`coordinator.store.interface.Store` on a file of this machine; `open` makes or opens it."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "store")
        self._file = _File(path, self._written)
        self._lock = contextlib.ExitStack()
        self._bells: dict[asyncio.Event, str] = {}
        self._closed = False

    @classmethod
    async def open(cls, path: Path, tombstone_revisions: int = TOMBSTONE_REVISIONS) -> Self:
        """Hold the store at `path` until `close` or death, or say in one sentence why not."""
        opened = cls(path)
        try:
            opened._lock.callback(os.close, _claim(path))
            await opened._ask(partial(opened._file.prepare, tombstone_revisions))
        except BaseException:
            await opened.close()
            raise
        return opened

    async def transact(self, txn: Txn) -> Result:
        writes = store.encoded(txn)
        try:
            return await self._ask(lambda: self._file.transact(txn, writes))
        except StoreIndefinite as exc:
            return Indefinite(str(exc))

    async def take_term(self, at_least: int, leader: str) -> int:
        return await self._ask(lambda: self._file.take_term(at_least, leader))

    async def get(self, key: str) -> Row:
        return await self._ask(lambda: self._file.get(key))

    async def range(self, prefix: str, after_key: str = "", limit: int = 1000) -> tuple[Row, ...]:
        return await self._ask(lambda: self._file.range(prefix, after_key, limit))

    async def secret(self) -> bytes:
        """What all leaders of this store share; drawn when it is first asked for."""
        return await self._ask(self._file.secret)

    async def watch(self, prefix: str, from_revision: int) -> AsyncGenerator[Row, None]:
        """The file is the queue: a watcher is only told when to look, however slow it is."""
        bell = asyncio.Event()
        self._bells[bell] = prefix
        seen = (from_revision, "")
        try:
            await self._ask(lambda: self._file.check_remembered(from_revision))
            while not self._closed:
                bell.clear()
                rows = await self._ask(partial(self._file.changes, prefix, seen))
                for row in rows:
                    yield row
                if rows:
                    seen = (rows[-1].revision, rows[-1].key)
                else:
                    await bell.wait()
        finally:
            del self._bells[bell]

    async def close(self) -> None:
        if self._closed:
            return
        closing = self._loop.run_in_executor(self._thread, self._file.close)
        self._closed = True
        for bell in self._bells:
            bell.set()
        await closing
        self._thread.shutdown()
        self._lock.close()

    async def _ask(self, question: Callable[[], T]) -> T:
        if self._closed:
            raise StoreError("the store is closed")
        return await self._loop.run_in_executor(self._thread, question)

    def _written(self, keys: Collection[str]) -> None:
        """Called on the store's thread: watchers hear of it even if the asker was cancelled."""
        self._loop.call_soon_threadsafe(self._ring, keys)

    def _ring(self, keys: Collection[str]) -> None:
        for bell, prefix in self._bells.items():
            if any(key.startswith(prefix) for key in keys):
                bell.set()


class _File:
    """The rows in their file. After a COMMIT without a clear answer the file is opened anew.

    Opening reads the log from the disk, which decides once and for all whether the commit is in it.
    """

    def __init__(self, path: Path, written: Callable[[Collection[str]], None]) -> None:
        self._path = path
        self._written = written
        self._db: sqlite3.Connection | None = None

    def prepare(self, tombstone_revisions: int) -> None:
        """Make the tables of a new file, and forget deletions of long ago."""
        check_store(self._path)
        with self._transaction(()) as db:
            if db.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
                for statement in LAYOUT:
                    db.execute(statement)
            until = _revision(db) - tombstone_revisions
            gone = db.execute("DELETE FROM rows WHERE value IS NULL AND revision <= ?", (until,))
            if gone.rowcount > 0:
                db.execute("UPDATE forgotten SET revision = ?", (until,))
        _sync_folder(self._path.parent)

    def transact(self, txn: Txn, writes: Sequence[tuple[str, bytes | None]]) -> Result:
        with self._transaction([key for key, _ in writes]) as db:
            compared = [_get(db, compare.key) for compare in txn.compares]
            if refused := store.refusal(txn, store.term_of(_get(db, TERM_KEY)), compared):
                return refused
            return Applied(_write(db, writes))

    def take_term(self, at_least: int, leader: str) -> int:
        with self._transaction([TERM_KEY]) as db:
            term = store.next_term(store.term_of(_get(db, TERM_KEY)), at_least)
            _write(db, [(TERM_KEY, store.pack({"term": term, "leader": leader}))])
            return term

    def secret(self) -> bytes:
        with self._transaction(()) as db:
            row = _get(db, SECRET_KEY)
            if row.value is not None:
                return bytes(row.value["bytes"])
            drawn = secrets.token_bytes(SECRET_BYTES)
            _write(db, [(SECRET_KEY, store.pack({"bytes": drawn}))])
            return drawn

    def get(self, key: str) -> Row:
        with self._statements() as db:
            return _get(db, key)

    def range(self, prefix: str, after_key: str, limit: int) -> tuple[Row, ...]:
        with self._statements() as db:
            found = db.execute(
                "SELECT key, value, revision FROM rows WHERE key >= ? AND key > ? AND key < ?"
                " AND value IS NOT NULL ORDER BY key LIMIT ?",
                (prefix, after_key, store.prefix_end(prefix), limit),
            )
            return tuple(_row(*columns) for columns in found)

    def changes(self, prefix: str, seen: tuple[int, str]) -> tuple[Row, ...]:
        with self._statements() as db:
            found = db.execute(
                "SELECT key, value, revision FROM rows WHERE (revision, key) > (?, ?)"
                " AND key >= ? AND key < ? ORDER BY revision, key LIMIT ?",
                (*seen, prefix, store.prefix_end(prefix), WATCH_PAGE_ROWS),
            )
            return tuple(_row(*columns) for columns in found)

    def check_remembered(self, from_revision: int) -> None:
        with self._statements() as db:
            (forgotten,) = db.execute("SELECT revision FROM forgotten").fetchone()
        if max(from_revision, 1) <= forgotten:
            raise Compacted(
                f"deletions up to revision {forgotten} are forgotten: "
                f"read the range anew instead of watching from {from_revision}"
            )

    def close(self) -> None:
        if self._db is not None:
            db, self._db = self._db, None
            with contextlib.suppress(sqlite3.Error):  # what was acknowledged is in the log already
                db.close()

    @contextlib.contextmanager
    def _transaction(self, keys: Collection[str]) -> Iterator[sqlite3.Connection]:
        """All or nothing; from COMMIT on, a failure leaves open which of the two."""
        with self._statements() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            try:
                db.execute("COMMIT")
            except sqlite3.Error as exc:
                self.close()
                raise StoreIndefinite(f"the store {self._path} did not confirm: {exc}") from exc
            finally:
                self._written(keys)

    @contextlib.contextmanager
    def _statements(self) -> Iterator[sqlite3.Connection]:
        """Where the database's errors turn into ours: definite ones, short of COMMIT."""
        try:
            if self._db is None:
                self._db = _connected(self._path)
            yield self._db
        except sqlite3.Error as exc:
            self.close()
            raise StoreError(f"the store {self._path} failed: {exc}") from exc


def _connected(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    try:
        # Locked before the first look at the log, the log's index stays in this process's memory.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        check_ours(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        db.close()
        raise
    return db


def _row(key: str, content: bytes | None, revision: int) -> Row:
    return Row(key, None if content is None else store.unpack(content), revision)


def _get(db: sqlite3.Connection, key: str) -> Row:
    found = db.execute(
        "SELECT key, value, revision FROM rows WHERE key = ? AND value IS NOT NULL", (key,)
    ).fetchone()
    return Row(key, None, 0) if found is None else _row(*found)


def _revision(db: sqlite3.Connection) -> int:
    """The newest revision is always in the table: its tombstones are too young to be forgotten."""
    (revision,) = db.execute("SELECT ifnull(max(revision), 0) FROM rows").fetchone()
    return int(revision)


def _write(db: sqlite3.Connection, writes: Iterable[tuple[str, bytes | None]]) -> int:
    """Write what changes something under the next revision, and tell the newest one."""
    newest = _revision(db)
    changes = [
        (key, newest + 1, content)
        for key, content in writes
        if content is not None or _get(db, key).revision
    ]
    db.executemany("INSERT OR REPLACE INTO rows (key, revision, value) VALUES (?, ?, ?)", changes)
    return newest + 1 if changes else newest


def _claim(path: Path) -> int:
    """Make the folder and file if need be, and hold the lock that ends with this process."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock_fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock_fd, 0)
            os.pwrite(lock_fd, f"{os.getpid()}\n".encode(), 0)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except BlockingIOError:
            holder = os.pread(lock_fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(lock_fd)
            raise StoreTaken(
                f"the store {path} is held by the coordinator with pid {holder}: "
                "stop that one, or give this one a store of its own"
            ) from None
        except BaseException:
            os.close(lock_fd)
            raise
    except OSError as exc:
        raise StoreError(f"the store {path} cannot be made or opened: {exc.strerror}") from exc
    return lock_fd


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold the store at `path` so that no coordinator can; StoreTaken if one does."""
    lock_fd = _claim(path)
    try:
        yield
    finally:
        os.close(lock_fd)


def _sync_folder(folder: Path) -> None:
    """A new file survives a loss of power only once its folder's entry is on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
