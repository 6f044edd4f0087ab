"""What the coordinator remembers, and the words in which it asks for a change: etcd's, made small.

Rows have string keys and plain data as values. A store-wide revision grows with every transaction
that changes something; a row carries the revision of the transaction that last wrote it, and an
absent row has revision 0. A transaction happens wholly or not at all, if its term is the store's
and every compared row still has the revision that the asker saw.

A transaction that was answered `Indefinite` may be applied at any later moment. A read says that it
has happened, but never that it will not: that is known once a row that it compared has changed. So
send it again with the same compares (one of the two wins, and both say the same), or take a new
term.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgpack  # type: ignore[import-untyped]

from protocol.errors import StoreError

Value = Mapping[str, Any]

TERM_KEY = "term"
"""The row that says who leads. Only `take_term` writes it."""

SECRET_KEY = "secret"
"""The row of what all leaders of one cluster share, so that each knows the other's tokens."""

SECRET_BYTES = 32

KEY_BYTES_MAX = 512
ROWS_MAX = 120
"""Rows compared, and rows written, by one transaction; etcd refuses more than 128 of each."""

TXN_BYTES_MAX = 1024 * 1024
"""What one transaction may write; etcd refuses requests of more than 1.5 MiB."""


class StoreTaken(StoreError):
    """Another coordinator holds the store."""


class Compacted(StoreError):
    """A watch began so far back that deletions since then are forgotten: read the range anew."""


@dataclass(frozen=True, slots=True)
class Row:
    """`value` under `key`, last written by transaction `revision`; without value there is no row.

    Read, an absent row has revision 0; a watch tells a deletion under the deletion's revision.
    """

    key: str
    value: Value | None
    revision: int


@dataclass(frozen=True, slots=True)
class Compare:
    """The row must still have this revision; 0 means that it must not exist."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write the whole row."""

    key: str
    value: Value


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the row, if it exists."""

    key: str


@dataclass(frozen=True, slots=True)
class Txn:
    """A change that happens wholly or not at all, and only while the store's term is `term`."""

    term: int
    compares: tuple[Compare, ...] = ()
    puts: tuple[Put, ...] = ()
    deletes: tuple[Delete, ...] = ()

    def __post_init__(self) -> None:
        if self.term < 1:
            raise ValueError(f"terms begin at 1, and this transaction names {self.term}")
        compared = [compare.key for compare in self.compares]
        written = [put.key for put in self.puts] + [delete.key for delete in self.deletes]
        for keys in (compared, written):
            if len(keys) > ROWS_MAX:
                raise ValueError(
                    f"{len(keys)} rows in one transaction; at most {ROWS_MAX} are allowed"
                )
            if len(set(keys)) != len(keys):
                raise ValueError("a transaction names each row at most once")
            for key in keys:
                check_key(key)
        if SECRET_KEY in written:
            raise ValueError("the secret is drawn once and never changed")
        if TERM_KEY in written:
            raise ValueError("the term is changed by take_term only")


@dataclass(frozen=True, slots=True)
class Applied:
    """It happened, as transaction `revision`; one that changed no row tells the newest revision."""

    revision: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """It did not happen: these are the compared rows that differed, as they are now."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class StaleTerm:
    """It did not happen: the store's term is `term`. Whoever sent it does not lead (any more)."""

    term: int


@dataclass(frozen=True, slots=True)
class Indefinite:
    """It may have happened, or may happen yet: ask before you send anything else than the same."""

    reason: str


Result = Applied | Conflict | StaleTerm | Indefinite


class Store(Protocol):
    """A backend. All reads are linearizable; they and all else may raise `StoreError`."""

    async def transact(self, txn: Txn) -> Result: ...

    async def take_term(self, at_least: int, leader: str) -> int:
        """Lead under a term above every earlier one, and not below `at_least`.

        After `StoreIndefinite` take another: terms only grow, so nothing is lost by asking twice.
        """

    async def get(self, key: str) -> Row: ...

    async def range(self, prefix: str, after_key: str = "", limit: int = 1000) -> tuple[Row, ...]:
        """At most `limit` existing rows under `prefix` behind `after_key`, ordered by key."""

    def watch(self, prefix: str, from_revision: int) -> AsyncGenerator[Row, None]:
        """Every change under `prefix` since `from_revision` (included), in the order of revisions.

        Of several changes to one row a slow reader may see only the newest. Ends when the store is
        closed; close it with `aclosing` to stop earlier.
        """

    async def close(self) -> None: ...


def check_key(key: str) -> None:
    """Refuse keys that some backend could not keep or would not sort as the others do."""
    if not key.isprintable() or not 0 < len(key.encode()) <= KEY_BYTES_MAX:
        raise ValueError(f"{key!r} is no key: 1 to {KEY_BYTES_MAX} bytes of printable text are")


def refusal(txn: Txn, term: int, rows: Iterable[Row]) -> Conflict | StaleTerm | None:
    """Why `txn` must not happen in a store with this term and these compared rows."""
    if txn.term != term:
        return StaleTerm(term)
    seen = {compare.key: compare.revision for compare in txn.compares}
    if differing := tuple(row for row in rows if row.revision != seen[row.key]):
        return Conflict(differing)
    return None


def encoded(txn: Txn) -> tuple[tuple[str, bytes | None], ...]:
    """What `txn` writes, as it is kept, so that its values may change later; None deletes."""
    puts = tuple((put.key, pack(put.value)) for put in txn.puts)
    size = sum(len(content) for _, content in puts)
    if size > TXN_BYTES_MAX:
        raise ValueError(f"{size} bytes in one transaction; at most {TXN_BYTES_MAX} are allowed")
    return (*puts, *((delete.key, None) for delete in txn.deletes))


def pack(value: Value) -> bytes:
    content: bytes = msgpack.packb(value)
    return content


def unpack(content: bytes) -> Value:
    value: Value = msgpack.unpackb(content, strict_map_key=False)
    return value


def term_of(row: Row) -> int:
    """The term that the term row says; before anybody led it is 0."""
    return 0 if row.value is None else int(row.value["term"])


def next_term(current: int, at_least: int) -> int:
    return max(current + 1, at_least)


def prefix_end(prefix: str) -> str:
    """Behind every key under `prefix`: no printable key holds this last of all characters."""
    return prefix + "\U0010ffff"
