"""The cluster database as one value: all rows but the event log, packed for the disk witness.

What comes back is checked as if a stranger had sent it: it is unpacked within bounds, every row is
read as its kind, and what is written to the store are the rows that were understood.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import msgpack  # type: ignore[import-untyped]

from coordinator.store.book import PREFIXES, Book
from coordinator.store.disk_rows import disk_key, gone_disk_key
from coordinator.store.group_rows import group_key
from coordinator.store.import_row import IMPORT
from coordinator.store.interface import check_key, pack
from coordinator.store.network_rows import MIGRATION_NETWORKS, network_key
from coordinator.store.queue_rows import queued_key
from coordinator.store.rows import (
    CLUSTER,
    COUNTER,
    VIEW,
    attempt_key,
    deleted_key,
    evicted_key,
    node_key,
    vm_key,
)
from protocol.names import ClusterId, Term

FORMAT = 1
ROWS_BYTES_MAX = 32 * 1024 * 1024
"""Of all rows, unpacked: a copy of more is none of ours."""

ROW_BYTES_MAX = 256 * 1024
CLOSED_MAX = 1000
"""Records of migrations that are over, the newest: older ones stay with the store alone."""

Rows = dict[str, dict[str, Any]]


class Damaged(ValueError):
    """These bytes are no database that could be put back; the sentence says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The database as a leader of `term` had it at `revision`, read and understood."""

    term: Term
    revision: int
    cluster: ClusterId
    book: Book


def revision_of(book: Book) -> int:
    """The newest transaction that the rows know of."""
    return max(book.revisions.values(), default=0)


def rows_of(book: Book) -> Rows:
    """Every row that `book` was read from, but the import's own."""
    rows: Rows = {COUNTER: book.counter.data()}
    if book.cluster is not None:
        rows[CLUSTER] = book.cluster.data()
    if book.view is not None:
        rows[VIEW] = book.view.data()
    if book.migration is not None:
        rows[MIGRATION_NETWORKS] = book.migration.data()
    rows |= {node_key(node.name): node.data() for node in book.nodes.values()}
    rows |= {evicted_key(gone.node): gone.data() for gone in book.evicted.values()}
    rows |= {vm_key(vm.name): vm.data() for vm in book.vms.values()}
    rows |= {group_key(group.name): group.data() for group in book.groups.values()}
    rows |= {deleted_key(gone.name): gone.data() for gone in book.deleted.values()}
    rows |= {network_key(network.name): network.data() for network in book.networks.values()}
    rows |= {disk_key(disk.id): disk.data() for disk in book.disks.values()}
    rows |= {gone_disk_key(gone.id): gone.data() for gone in book.gone_disks.values()}
    rows |= {queued_key(waits.id): waits.data() for waits in book.queued.values()}
    closed = sorted(book.attempts.keys() - book.unclosed.keys(), reverse=True)[:CLOSED_MAX]
    for number in (*closed, *book.unclosed):
        attempt = book.attempts[number]
        rows[attempt_key(attempt.id)] = attempt.data()
    return rows


def packed(book: Book) -> bytes:
    return zlib.compress(msgpack.packb([FORMAT, sorted(rows_of(book).items())]), 1)


def unpacked(content: bytes, term: Term, revision: int) -> Snapshot:
    """What `packed` made of a cluster's database; `Damaged` if it is anything else."""
    rows = _rows_in(content)
    book = Book()
    for key, value in rows.items():
        try:
            book.learn(key, revision, value)
        except Exception as error:  # any value may stand where another is wanted
            raise Damaged(f"row {key} is not of its kind ({error!r})") from error
    if book.cluster is None or book.view is None:
        raise Damaged("it has no cluster or no view")
    if rows_of(book).keys() != rows.keys() | {COUNTER}:
        raise Damaged("its rows are not under their keys")
    return Snapshot(term, revision, book.cluster.id, book)


def _rows_in(content: bytes) -> Rows:
    opened = zlib.decompressobj()
    try:
        plain = opened.decompress(content, ROWS_BYTES_MAX)
        if not opened.eof:
            raise Damaged(f"it has more than {ROWS_BYTES_MAX} bytes, or ends before it is whole")
        format_, listed = msgpack.unpackb(plain, strict_map_key=False)
        rows = {key: value for key, value in listed}
    except Damaged:
        raise
    except (zlib.error, ValueError, TypeError, msgpack.UnpackException) as error:
        raise Damaged(f"it cannot be unpacked ({error})") from error
    if format_ != FORMAT:
        raise Damaged(f"its format is {format_}, and this coordinator knows {FORMAT}")
    for key, value in rows.items():
        _check(key, value)
    return rows


def _check(key: Any, value: Any) -> None:
    if type(key) is not str or type(value) is not dict:
        raise Damaged("a row has a text for its key and fields for its value")
    try:
        check_key(key)
    except ValueError as error:
        raise Damaged(str(error)) from error
    if not key.startswith(PREFIXES) or key.startswith(IMPORT):
        raise Damaged(f"no row of the cluster database is called {key}")
    if len(pack(value)) > ROW_BYTES_MAX:
        raise Damaged(f"row {key} has more than {ROW_BYTES_MAX} bytes")
