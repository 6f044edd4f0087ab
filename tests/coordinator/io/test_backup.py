"""Backups of a store that is being written, and what restoring one refuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coordinator.io.backup import backup, main, restore
from coordinator.io.sqlite import STORE, SqliteStore
from coordinator.io.store_check import check_store
from coordinator.store.interface import Put, StoreTaken, Txn
from protocol.errors import Refused

TIMING = {"delay_s": 1.0, "threshold": 5}


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(folder / STORE)
    try:
        yield store
    finally:
        await store.close()


async def write(store: SqliteStore, term: int, number: int, cluster: str = "one") -> None:
    row = {"id": f"id-{cluster}", "name": cluster, "timing": TIMING}
    puts = (
        Put("cluster", row),
        Put("vm/a", {"n": number}),
        Put("vm/b", {"n": number, "text": "x" * 4000}),
    )
    await store.transact(Txn(term, puts=puts))


def left_by(name: str, folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if name in one.name)


async def made(folder: Path, writes: int = 1, cluster: str = "one") -> None:
    async with opened(folder) as store:
        term = await store.take_term(0, "c1")
        for number in range(writes):
            await write(store, term, number, cluster)


async def test_a_backup_taken_while_the_store_is_written_is_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        term = await store.take_term(0, "c1")
        newest = 0
        await write(store, term, newest)

        async def keep_writing() -> None:
            nonlocal newest
            while True:
                await write(store, term, newest + 1)
                newest += 1

        writing = asyncio.create_task(keep_writing())
        kept = []
        for number in range(5):
            await asyncio.to_thread(backup, tmp_path, tmp_path / f"backup{number}")
            kept.append(newest)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    for number, newest_then in enumerate(kept):
        restore(tmp_path / f"again{number}", tmp_path / f"backup{number}")
        async with opened(tmp_path / f"again{number}") as store:
            a, b = await store.get("vm/a"), await store.get("vm/b")
            assert a.value is not None
            assert b.value is not None
            assert a.value["n"] == b.value["n"] <= newest_then + 1
            assert await store.take_term(0, "c2") == 2


async def test_what_was_acknowledged_before_a_backup_is_in_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await write(store, await store.take_term(7, "c1"), 41)
        found = backup(tmp_path, tmp_path / "kept")
    assert (found.cluster, found.term) == ("one", 7)
    assert check_store(tmp_path / "kept") == found
    assert left_by("kept", tmp_path) == ["kept"]


async def test_nothing_is_put_under_a_running_coordinator(tmp_path: Path) -> None:
    await made(tmp_path)
    backup(tmp_path, tmp_path / "kept")
    async with opened(tmp_path):
        with pytest.raises(StoreTaken, match=r"held by the coordinator with pid .*stop that one"):
            restore(tmp_path, tmp_path / "kept", force=True)


async def test_a_newer_or_another_clusters_store_is_replaced_only_by_force(tmp_path: Path) -> None:
    for name, cluster in (("one", "one"), ("two", "two")):
        await made(tmp_path / name, cluster=cluster)
        backup(tmp_path / name, tmp_path / f"{name}.kept")
    await made(tmp_path / "one", writes=2)
    before = (tmp_path / "one" / STORE).read_bytes()

    for kept, words in (("one.kept", "is newer .term 2"), ("two.kept", "cluster 'one'.*'two'")):
        with pytest.raises(Refused, match=f"{words}.*--force"):
            restore(tmp_path / "one", tmp_path / kept)
    assert (tmp_path / "one" / STORE).read_bytes() == before

    restore(tmp_path / "one", tmp_path / "one.kept", force=True)
    found = check_store(tmp_path / "one" / STORE)
    assert found is not None
    assert found.term == 1
    assert (tmp_path / "one" / f"{STORE}.replaced").read_bytes() == before


async def test_a_damaged_store_is_what_a_backup_is_for(tmp_path: Path) -> None:
    await made(tmp_path)
    backup(tmp_path, tmp_path / "kept")
    (tmp_path / STORE).write_bytes(b"rubbish" * 1000)
    restore(tmp_path, tmp_path / "kept")
    async with opened(tmp_path) as store:
        assert (await store.get("vm/a")).value == {"n": 0}


async def test_every_refusal_is_one_sentence_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await made(tmp_path)
    (tmp_path / "letter").write_text("dear reader")
    state, none = ["--state-dir", str(tmp_path)], ["--state-dir", str(tmp_path / "none")]
    for args, words in (
        (["backup", *none, "--to", str(tmp_path / "x")], "there is no store"),
        (["backup", *state, "--to", str(tmp_path / "letter")], "exists already"),
        (["restore", *state, "--from", str(tmp_path / "x")], "there is no backup"),
        (["restore", *state, "--from", str(tmp_path / "letter")], "not a database"),
    ):
        assert main(args) == 1
        said = capsys.readouterr().err
        assert said.startswith("coordinator: ")
        assert words in said
        assert said.count("\n") == 1
    assert main(["backup", *state, "--to", str(tmp_path / "kept")]) == 0
    assert "cluster 'one', term 1" in capsys.readouterr().out
