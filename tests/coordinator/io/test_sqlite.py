"""What only the SQLite store must do: its file, its lock, its failures, and a crash."""

import asyncio
import os
import resource
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from coordinator.io.sqlite import SqliteStore
from coordinator.io.store_check import APPLICATION_ID, SCHEMA
from coordinator.store.interface import (
    Applied,
    Compacted,
    Compare,
    Delete,
    Indefinite,
    Put,
    Row,
    StoreTaken,
    Txn,
)
from protocol.errors import StoreError

ROOT = Path(__file__).parents[3]

WRITER = """
import asyncio, sys
from pathlib import Path
from coordinator.io.sqlite import SqliteStore
from coordinator.store.interface import Put, Txn

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    term, n = await store.take_term(0, "writer"), 0
    while True:
        n += 1
        event = Put(f"event/{n:06}", {"n": n, "text": bytes(6000)})
        await store.transact(Txn(term, puts=(Put("vm/a", {"n": n}), Put("vm/b", {"n": n}), event)))
        print(n, flush=True)

asyncio.run(main())
"""


@asynccontextmanager
async def opened(path: Path, tombstone_revisions: int = 100) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path, tombstone_revisions)
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """As on a full disk: the kernel refuses writes beyond `size_bytes` of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as store:
        term = await store.take_term(5, "c1")
        await store.transact(Txn(term, puts=(Put("vm/a", {"n": 1}), Put("vm/b", {}))))
        await store.transact(Txn(term, deletes=(Delete("vm/b"),)))

    async with opened(tmp_path / "db") as store:
        assert await store.range("vm/") == (Row("vm/a", {"n": 1}, 2),)
        assert await store.transact(Txn(5, (Compare("vm/a", 2),), (Put("vm/a", {}),))) == Applied(4)
        assert await store.take_term(0, "c1") == 6


async def test_only_its_owner_may_read_the_store(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    async with opened(folder / "db") as store:
        await store.take_term(0, "c1")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes == {"db": 0o600, "db.lock": 0o600, "db-wal": 0o600}


async def test_a_second_coordinator_on_a_store_is_told_who_holds_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as store:
        with pytest.raises(StoreTaken, match=rf"held by the coordinator with pid {os.getpid()}:"):
            await SqliteStore.open(tmp_path / "db")
        assert await store.take_term(0, "c1") == 1
    async with opened(tmp_path / "db") as store:
        assert await store.take_term(0, "c2") == 2


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA + 1}",
            f"has layout {SCHEMA + 1} and this version knows up to {SCHEMA}",
        ),
        ("CREATE TABLE songs (name)", "database of another program"),
        ("PRAGMA application_id = 7", "database of another program"),
    ],
)
async def test_a_file_that_is_not_ours_is_refused_untouched(
    tmp_path: Path, script: str, words: str
) -> None:
    with closing(sqlite3.connect(tmp_path / "db")) as db:
        db.executescript(script)
    before = (tmp_path / "db").read_bytes()

    with pytest.raises(StoreError, match=words):
        await SqliteStore.open(tmp_path / "db")

    assert (tmp_path / "db").read_bytes() == before


async def test_what_is_no_database_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear reader, " * 100)
    for path in (tmp_path / "letter", tmp_path, tmp_path / "letter" / "db"):
        with pytest.raises(
            StoreError, match=r"the store .*(not a database|cannot be made or open)"
        ):
            await SqliteStore.open(path)


async def test_a_commit_that_the_disk_did_not_confirm_is_indefinite_and_then_decided(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db") as store:
        term = await store.take_term(0, "c1")
        change = Txn(term, (Compare("vm/a", 0),), (Put("vm/a", {"n": 1}),))
        with files_no_larger_than((tmp_path / "db-wal").stat().st_size):
            assert isinstance(await store.transact(change), Indefinite)

        assert await store.get("vm/a") == Row("vm/a", None, 0)
        assert await store.transact(change) == Applied(2)


async def test_a_failure_before_the_commit_is_definite(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as store:
        await store.take_term(0, "c1")
    with closing(sqlite3.connect(tmp_path / "db")) as db:
        db.executescript(
            "CREATE TRIGGER no BEFORE INSERT ON rows BEGIN SELECT raise(FAIL, 'worn out'); END"
        )
    async with opened(tmp_path / "db") as store:
        with pytest.raises(StoreError, match="worn out") as failure:
            await store.transact(Txn(1, puts=(Put("vm/a", {}),)))
        assert failure.value.definite
        assert (await store.get("vm/a")).revision == 0


async def test_a_watch_from_before_the_forgotten_deletions_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as store:
        term = await store.take_term(0, "c1")
        for _ in range(3):
            await store.transact(Txn(term, puts=(Put("vm/a", {}),)))
            await store.transact(Txn(term, deletes=(Delete("vm/a"),)))
        await store.transact(Txn(term, puts=(Put("vm/b", {}),)))

    async with opened(tmp_path / "db", tombstone_revisions=1) as store:
        with pytest.raises(Compacted, match="up to revision 7 are forgotten"):
            await anext(store.watch("", 7))
        async with aclosing(store.watch("", 8)) as watch:
            assert await anext(watch) == Row("vm/b", {}, 8)


async def test_watchers_hear_of_every_change_even_if_its_asker_was_cancelled(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db") as store, aclosing(store.watch("vm/", 1)) as watch:
        term = await store.take_term(0, "c1")
        for n in range(20):
            asking = asyncio.ensure_future(store.transact(Txn(term, puts=(Put(f"vm/{n:02}", {}),))))
            await asyncio.sleep(0)  # sent; whether it has begun is the thread's affair
            asking.cancel()
        await store.transact(Txn(term, puts=(Put("vm/last", {}),)))

        heard = [await anext(watch)]
        while heard[-1].key != "vm/last":
            heard.append(await anext(watch))

        assert tuple(heard) == await store.range("vm/")


@pytest.mark.parametrize("killed_after", [1, 57, 311])
async def test_a_store_killed_in_mid_writing_is_whole_and_has_all_it_acknowledged(
    tmp_path: Path, killed_after: int
) -> None:
    path = tmp_path / "db"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    try:
        acknowledged = [int(await writer.stdout.readline()) for _ in range(killed_after)]
        with pytest.raises(StoreTaken, match=f"pid {writer.pid}:"):
            await SqliteStore.open(path)
    finally:
        writer.kill()
    rest = (await writer.stdout.read()).decode()
    acknowledged += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    await writer.wait()

    async with opened(path) as store:
        newest = (await store.get("vm/a")).value
        assert newest is not None
        assert newest == (await store.get("vm/b")).value, "a transaction was torn"
        assert newest["n"] in (acknowledged[-1], acknowledged[-1] + 1)
        events = await store.range("event/", limit=100_000)
        assert [row.value["n"] for row in events if row.value] == [*range(1, newest["n"] + 1)]
        assert await store.take_term(0, "next") == 2
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
