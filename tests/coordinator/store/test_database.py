"""Bytes from the disk witness are a database only if every row of them is understood."""

import copy
import zlib
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.requests import DeleteVm, EvictNode, SetWeight
from coordinator.store import database
from coordinator.store.database import Damaged, packed, rows_of, unpacked
from protocol.names import Term, VmName
from tests.coordinator.driver import World, formed, with_vm
from tests.coordinator.ground import MOVE, C


def full() -> World:
    """A cluster with rows of many kinds."""
    world = with_vm(with_vm(formed("abc")), "gone", "b", start=False)
    world.ask(MOVE)
    world.after(5)
    world.ask(SetWeight(C, 0))
    world.after(10)
    return world


BOOK = full().core._desk.scene.book
CONTENT = packed(BOOK)


def spoiled(key: str, value: Any) -> bytes:
    rows: dict[str, Any] = copy.deepcopy(rows_of(BOOK))
    rows[key] = value
    return remade(sorted(rows.items()))


def remade(rows: Any, format_: int = database.FORMAT) -> bytes:
    return zlib.compress(msgpack.packb([format_, rows]))


def test_what_was_packed_comes_back_row_for_row() -> None:
    found = unpacked(CONTENT, Term(3), 9)

    assert rows_of(found.book) == rows_of(BOOK)
    assert (found.term, found.revision) == (3, 9)
    assert BOOK.cluster is not None
    assert found.cluster == BOOK.cluster.id
    assert {"cluster", "view", "vm/sql01", "attempt/000000001", "counter"} <= rows_of(BOOK).keys()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "whole"),
        (b"no zlib", "cannot be unpacked"),
        (CONTENT[:-5], "whole"),
        (zlib.compress(b"\xc1"), "cannot be unpacked"),
        (remade([], format_=2), "format is 2"),
        (remade([]), "no cluster"),
        (remade([["vm/x"]]), "cannot be unpacked"),
        (remade([[1, {}]]), "text for its key"),
        (remade([["vm/x", []]]), "text for its key"),
        (remade([["vm/x\n", {}]]), "is no key"),
        (spoiled("term", {"term": 9}), "is called term"),
        (spoiled("secret", {"secret": b"x"}), "is called secret"),
        (spoiled("event/000000000001", {"id": 1}), "is called event"),
        (spoiled("cluster-import", {"term": 1, "revision": 1}), "is called cluster-import"),
        (spoiled("clusters", {}), "not under their keys"),
        (spoiled("vm/sql01", {"name": "sql01"}), "not of its kind"),
        (spoiled("view", {"number": "one"}), "not of its kind"),
        (spoiled("attempt/x", {}), "not of its kind"),
        (spoiled("node/z", rows_of(BOOK)["node/a"]), "not under their keys"),
        (spoiled("node/z", {**rows_of(BOOK)["node/a"], "name": "x" * 300_000}), "more than"),
    ],
)
def test_anything_else_is_refused_with_a_reason(content: bytes, why: str) -> None:
    with pytest.raises(Damaged, match=why):
        unpacked(content, Term(3), 9)


def test_a_small_content_that_grows_without_end_is_stopped() -> None:
    bomb = zlib.compress(b"\0" * (database.ROWS_BYTES_MAX + 1))
    assert len(bomb) < 64 * 1024

    with pytest.raises(Damaged, match="more than"):
        unpacked(bomb, Term(3), 9)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(CONTENT) - 1), flip=st.integers(1, 255))
def test_a_damaged_byte_never_gives_another_database(at: int, flip: int) -> None:
    content = bytearray(CONTENT)
    content[at] ^= flip
    try:
        found = unpacked(bytes(content), Term(3), 9)
    except Damaged:
        return
    assert rows_of(found.book) == rows_of(BOOK)


def test_records_of_old_migrations_are_left_to_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CLOSED_MAX", 0)
    found = unpacked(packed(BOOK), Term(3), 9)

    assert found.book.attempts == {}
    assert found.book.counter.attempts == 1, "its id is not given out again"


def test_deleted_and_evicted_rows_are_part_of_it() -> None:
    world = full()
    world.ask(DeleteVm(VmName("gone")))
    world.after(5)
    world.ask(EvictNode(C))
    world.after(10)
    rows = rows_of(world.core._desk.scene.book)

    assert "evicted/c" in rows
    assert "vm/gone" not in rows
    found = unpacked(packed(world.core._desk.scene.book), Term(3), 9)
    assert rows_of(found.book) == rows
