"""What every store must do: the same on SQLite, in memory, and in an obvious slow model.

`io/test_etcd.py` asks the very same of an etcd, which needs a loop with a real clock.
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from coordinator.io.sqlite import SqliteStore
from coordinator.store.interface import (
    ROWS_MAX,
    TXN_BYTES_MAX,
    Applied,
    Compare,
    Conflict,
    Delete,
    Put,
    Result,
    Row,
    StaleTerm,
    Store,
    Txn,
)
from lab.simulation.store import InstantStore
from protocol.errors import StoreError

KEYS = ("attempt/1", "attempt/2", "event/1", "vm/a", "vm/b", "vm/ü", "vmx")
ALL_KINDS = {Applied, Conflict, StaleTerm}
PREFIXES = ("", "attempt/", "vm", "vm/", "none/")


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened: Store
    if request.param == "sqlite":
        opened = await SqliteStore.open(tmp_path / "store" / "cluster.db")
    else:
        opened = InstantStore()
    yield opened
    await opened.close()


class DumbStore:
    """Slow and obvious: keeps every change it ever made, and reads by walking through them."""

    def __init__(self) -> None:
        self.history: list[Row] = []

    @property
    def revision(self) -> int:
        return max((row.revision for row in self.history), default=0)

    def newest(self, key: str) -> Row:
        rows = [row for row in self.history if row.key == key]
        return rows[-1] if rows and rows[-1].value is not None else Row(key, None, 0)

    def term(self) -> int:
        row = self.newest("term")
        return int(row.value["term"]) if row.value else 0

    def take_term(self, at_least: int, leader: str) -> int:
        term = self.term() + 1
        while term < at_least:
            term += 1
        self.history.append(Row("term", {"term": term, "leader": leader}, self.revision + 1))
        return term

    def transact(self, txn: Txn) -> Result:
        if txn.term != self.term():
            return StaleTerm(self.term())
        wrong = [c.key for c in txn.compares if self.newest(c.key).revision != c.revision]
        if wrong:
            return Conflict(tuple(self.newest(key) for key in wrong))
        revision = self.revision + 1
        changes = [Row(put.key, put.value, revision) for put in txn.puts]
        gone = [d.key for d in txn.deletes if self.newest(d.key).value is not None]
        changes += [Row(key, None, revision) for key in gone]
        self.history += sorted(changes, key=lambda row: row.key)
        return Applied(self.revision)

    def range(self, prefix: str, after_key: str, limit: int) -> tuple[Row, ...]:
        rows = [self.newest(key) for key in sorted({row.key for row in self.history})]
        rows = [row for row in rows if row.value is not None]
        return tuple(r for r in rows if r.key.startswith(prefix) and r.key > after_key)[:limit]

    def changed_since(self, prefix: str, revision: int) -> list[Row]:
        """The last change of each key, if it is young enough, in the order of revisions."""
        last = {row.key: row for row in self.history if row.key.startswith(prefix)}
        rows = [row for row in last.values() if row.revision >= revision]
        return sorted(rows, key=lambda row: (row.revision, row.key))


def a_txn(chance: random.Random, model: DumbStore) -> Txn:
    """Mostly right: most compares name the row's revision, most terms are the leader's."""

    def revision(key: str) -> int:
        right = model.newest(key).revision
        return right if chance.random() < 0.85 else chance.randint(0, model.revision + 1)

    term = max(1, model.term() + chance.choice([0] * 12 + [-1, 1]))
    compared, written = (chance.sample(KEYS, chance.randint(0, 3)) for _ in range(2))
    deleted = [key for key in written if chance.random() < 0.3]
    value: dict[str, Any] = {
        "n": chance.randint(0, 2**63),
        "b": chance.randbytes(3),
        "l": [None, 1.5],
    }
    return Txn(
        term,
        tuple(Compare(key, revision(key)) for key in compared),
        tuple(Put(key, value) for key in written if key not in deleted),
        tuple(Delete(key) for key in deleted),
    )


async def told(store: Store, prefix: str, from_revision: int, last: Row | None) -> list[Row]:
    """The newest that a watch tells of each row until it has told `last`; None without asking."""
    rows: dict[str, Row] = {}
    async with aclosing(store.watch(prefix, from_revision)) as watch:
        while last is not None and rows.get(last.key) != last:
            row = await anext(watch)
            rows.pop(row.key, None)  # of several changes a store may tell all, or the newest
            rows[row.key] = row
    return list(rows.values())


@pytest.mark.parametrize("seed", range(12))
async def test_random_transactions_end_as_in_the_obvious_model(store: Store, seed: int) -> None:
    assert await play(store, seed) == ALL_KINDS, "the sequence is too tame"


async def play(store: Store, seed: int) -> set[type[Result]]:
    """The store and the model side by side; the kinds of results that came of it."""
    chance, model = random.Random(seed), DumbStore()
    kinds: set[type[Result]] = set()
    for step in range(40):
        if chance.random() < 0.15 or model.term() == 0:
            at_least = chance.randint(0, 30)
            assert await store.take_term(at_least, "x") == model.take_term(at_least, "x")
        txn = a_txn(chance, model)
        expected = model.transact(txn)
        kinds.add(type(expected))
        assert await store.transact(txn) == expected, txn

        key, prefix = chance.choice(KEYS), chance.choice(PREFIXES)
        after, limit = chance.choice(("", *KEYS)), chance.randint(1, 8)
        assert await store.get(key) == model.newest(key)
        assert await store.range(prefix, after, limit) == model.range(prefix, after, limit)
        since = model.changed_since(prefix, revision := chance.randint(0, model.revision + 1))
        if step % 3 == 0:  # etcd brings a watch of the past up to date ten times a second
            assert await told(store, prefix, revision, since[-1] if since else None) == since
    return kinds


async def test_nobody_leads_before_a_term_was_taken(store: Store) -> None:
    assert await store.transact(Txn(1, puts=(Put("vm/a", {}),))) == StaleTerm(0)
    assert await store.get("term") == Row("term", None, 0)


async def test_a_new_term_stops_the_leader_of_the_old_one(store: Store) -> None:
    old = await store.take_term(0, "c1")
    assert await store.transact(Txn(old, puts=(Put("vm/a", {"n": 1}),))) == Applied(2)

    new = await store.take_term(0, "c2")

    assert await store.transact(Txn(old, puts=(Put("vm/a", {"n": 2}),))) == StaleTerm(new)
    assert await store.get("vm/a") == Row("vm/a", {"n": 1}, 2)
    assert (await store.get("term")).value == {"term": new, "leader": "c2"}


async def test_a_term_above_the_stores_own_is_refused_too(store: Store) -> None:
    term = await store.take_term(0, "c1")
    assert await store.transact(Txn(term + 1, puts=(Put("vm/a", {}),))) == StaleTerm(term)


async def test_a_restored_store_starts_above_all_that_agents_have_seen(store: Store) -> None:
    assert await store.take_term(17, "c1") == 17
    assert await store.take_term(3, "c1") == 18


async def test_of_two_compare_and_sets_on_one_row_one_wins(store: Store) -> None:
    term = await store.take_term(0, "c1")
    await store.transact(Txn(term, (Compare("attempt/1", 0),), (Put("attempt/1", {"d": "open"}),)))
    seen = (await store.get("attempt/1")).revision

    commit = Txn(term, (Compare("attempt/1", seen),), (Put("attempt/1", {"d": "committed"}),))
    abort = Txn(term, (Compare("attempt/1", seen),), (Put("attempt/1", {"d": "aborted"}),))

    assert await store.transact(commit) == Applied(3)
    assert await store.transact(abort) == Conflict((Row("attempt/1", {"d": "committed"}, 3),))


async def test_a_row_deleted_and_made_again_is_another_row(store: Store) -> None:
    term = await store.take_term(0, "c1")
    await store.transact(Txn(term, puts=(Put("vm/a", {}),)))
    seen = (await store.get("vm/a")).revision
    await store.transact(Txn(term, deletes=(Delete("vm/a"),)))
    await store.transact(Txn(term, puts=(Put("vm/a", {}),)))

    late = await store.transact(Txn(term, (Compare("vm/a", seen),), deletes=(Delete("vm/a"),)))

    assert late == Conflict((Row("vm/a", {}, 4),))


async def test_a_conflict_changes_no_row_and_no_revision(store: Store) -> None:
    term = await store.take_term(0, "c1")
    refused = Txn(term, (Compare("vm/a", 9),), (Put("vm/a", {}), Put("vm/b", {})))
    assert await store.transact(refused) == Conflict((Row("vm/a", None, 0),))
    assert await store.range("vm/") == ()
    assert await store.transact(Txn(term)) == Applied(1)


async def test_a_deletion_of_nothing_takes_no_revision(store: Store) -> None:
    term = await store.take_term(0, "c1")
    assert await store.transact(Txn(term, deletes=(Delete("vm/a"),))) == Applied(1)


async def test_a_long_range_is_read_in_pages(store: Store) -> None:
    term = await store.take_term(0, "c1")
    keys = [f"event/{n:012}" for n in range(25)]
    await store.transact(Txn(term, puts=tuple(Put(key, {}) for key in reversed(keys))))

    read: list[str] = []
    while page := await store.range("event/", read[-1] if read else "", limit=7):
        read += [row.key for row in page]

    assert read == keys


async def test_a_watch_tells_what_was_and_then_what_happens(store: Store) -> None:
    term = await store.take_term(0, "c1")
    await store.transact(Txn(term, puts=(Put("vm/a", {"n": 1}), Put("vm/b", {}))))
    async with aclosing(store.watch("vm/", 2)) as watch:
        assert [(await anext(watch)).key, (await anext(watch)).key] == ["vm/a", "vm/b"]

        await store.transact(Txn(term, puts=(Put("elsewhere", {}),)))
        await store.transact(Txn(term, puts=(Put("vm/a", {"n": 2}),), deletes=(Delete("vm/b"),)))

        assert await anext(watch) == Row("vm/a", {"n": 2}, 4)
        assert await anext(watch) == Row("vm/b", None, 4)


async def test_a_watch_of_the_future_leaves_out_the_past(store: Store) -> None:
    term = await store.take_term(0, "c1")
    await store.transact(Txn(term, puts=(Put("vm/a", {}),)))
    async with aclosing(store.watch("vm/", 4)) as watch:
        for key in ("vm/b", "vm/c"):
            await store.transact(Txn(term, puts=(Put(key, {}),)))
        assert await anext(watch) == Row("vm/c", {}, 4)


async def test_watches_end_when_the_store_is_closed(store: Store) -> None:
    term = await store.take_term(0, "c1")
    await store.transact(Txn(term, puts=(Put("vm/a", {}),)))
    seen = []
    async for row in store.watch("", 1):
        seen.append(row.key)
        if row.key == "vm/a":
            await store.close()
    assert seen == ["term", "vm/a"]


async def test_a_closed_store_says_so(store: Store) -> None:
    await store.close()
    await store.close()
    for ask in (
        store.get("vm/a"),
        store.range(""),
        store.transact(Txn(1)),
        store.take_term(0, "c"),
    ):
        with pytest.raises(StoreError, match="closed"):
            await ask


async def test_a_transaction_that_is_too_big_is_refused_before_it_starts(store: Store) -> None:
    term = await store.take_term(0, "c1")
    with pytest.raises(ValueError, match="at most"):
        await store.transact(Txn(term, puts=(Put("vm/a", {"b": bytes(TXN_BYTES_MAX)}),)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Txn(0), "begin at 1"),
        (lambda: Txn(1, puts=(Put("term", {}),)), "take_term"),
        (lambda: Txn(1, deletes=(Delete("term"),)), "take_term"),
        (lambda: Txn(1, puts=(Put("a", {}),), deletes=(Delete("a"),)), "at most once"),
        (lambda: Txn(1, (Compare("a", 1), Compare("a", 2))), "at most once"),
        (lambda: Txn(1, puts=(Put("", {}),)), "no key"),
        (lambda: Txn(1, puts=(Put("a\0b", {}),)), "no key"),
        (lambda: Txn(1, (Compare("\ud800", 0),)), "no key"),
        (lambda: Txn(1, puts=(Put("ü" * 300, {}),)), "no key"),
        (lambda: Txn(1, puts=tuple(Put(f"{n}", {}) for n in range(ROWS_MAX + 1))), "rows in one"),
    ],
)
def test_transactions_that_no_backend_could_keep_are_refused_at_birth(
    make: Callable[[], Txn], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        make()
