"""Stores that cannot be lived with are refused in one sentence, and stay as they are."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from coordinator.io.sqlite import SqliteStore
from coordinator.io.store_check import SCHEMA, check_store
from coordinator.store.interface import Put, Txn
from protocol.errors import StoreError


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path)
    try:
        yield store
    finally:
        await store.close()


async def filled(path: Path, crashed: bool) -> None:
    """A store with some pages; one that `crashed` has much of it in its log alone."""
    live = path.with_name("live")
    async with opened(live) as store:
        term = await store.take_term(3, "c1")
        for number in range(40):
            put = Put(f"event/{number:012d}", {"text": "x" * 900})
            await store.transact(Txn(term, puts=(put,)))
        if crashed:
            copy(live, path)
    if not crashed:
        copy(live, path)


def copy(store: Path, path: Path) -> None:
    """The store's file, and its log if it has one now."""
    for name in ("", "-wal"):
        if (side := Path(f"{store}{name}")).exists():
            Path(f"{path}{name}").write_bytes(side.read_bytes())


def files(path: Path) -> dict[str, bytes]:
    return {
        one.name: one.read_bytes()
        for one in path.parent.iterdir()
        if one.name.startswith(path.name) and not one.name.endswith(".lock")
    }


def cut_in_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def with_pages_of_noise(content: bytes) -> bytes:
    return content[:8192] + bytes(range(256)) * 48 + content[8192 + 256 * 48 :]


def without_its_head(content: bytes) -> bytes:
    return bytes(100) + content[100:]


@pytest.mark.parametrize("hurt", [cut_in_half, with_pages_of_noise, without_its_head])
async def test_a_damaged_store_is_refused_and_left_alone(
    tmp_path: Path, hurt: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "db"
    await filled(path, crashed=False)
    path.write_bytes(hurt(path.read_bytes()))
    before = files(path)

    with pytest.raises(StoreError, match=r"the store .* (cannot be read|is damaged).*restore"):
        await SqliteStore.open(path)

    assert files(path) == before


async def test_what_is_no_store_keeps_its_log_as_well(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"dear reader, " * 500)
    (tmp_path / "db-wal").write_bytes(b"see above, " * 500)
    before = files(tmp_path / "db")

    with pytest.raises(StoreError, match=r"the store .* cannot be read .*not a database"):
        await SqliteStore.open(tmp_path / "db")

    assert files(tmp_path / "db") == before


async def test_a_row_that_is_no_value_is_named(tmp_path: Path) -> None:
    path = tmp_path / "db"
    await filled(path, crashed=False)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE rows SET value = x'c1' WHERE key = 'event/000000000007'")
        db.commit()
    with pytest.raises(StoreError, match=r"damaged .row 'event/000000000007'"):
        await SqliteStore.open(path)


async def test_a_store_of_a_newer_version_keeps_its_log(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with closing(sqlite3.connect(tmp_path / "live")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(
            f"PRAGMA application_id = {0x68766C62}; PRAGMA user_version = {SCHEMA + 1};"
            "CREATE TABLE rows (key)"
        )
        copy(tmp_path / "live", path)
    before = files(path)
    with pytest.raises(StoreError, match=f"has layout {SCHEMA + 1}"):
        await SqliteStore.open(path)
    assert files(path) == before


async def test_a_whole_store_says_what_it_holds(tmp_path: Path) -> None:
    await filled(tmp_path / "db", crashed=True)
    found = check_store(tmp_path / "db")
    assert found is not None
    assert (found.cluster, found.term, found.revision) == ("", 3, 41)
    assert check_store(tmp_path / "none") is None
