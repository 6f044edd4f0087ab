"""The transactions that put a copied database into the store.

The first says that an import has begun, and the last that it is done, with the rows that make a
cluster of the others. Whoever finds the store in between leads by nothing of it, and begins anew.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from coordinator.pen import Draft
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.store.book import Book
from coordinator.store.database import Snapshot, rows_of
from coordinator.store.import_row import IMPORT, ImportRow
from coordinator.store.interface import pack
from coordinator.store.rows import CLUSTER, COUNTER, VIEW
from protocol.names import AttemptId

ROWS_MAX = 100
"""Of one transaction; beside them it has the counter, and a line for the log."""

BYTES_MAX = 512 * 1024
LAST = (CLUSTER, VIEW)

Write = tuple[str, dict[str, Any] | None]
"""A row to write, or without a value one to remove."""


@dataclass(frozen=True, slots=True, eq=False)
class Import:
    """One transaction of an import. Only what finds the store as the one before left it goes on."""

    snapshot: Snapshot
    writes: tuple[Write, ...]
    is_first: bool = False
    is_last: bool = False

    def draft(self, scene: Scene) -> Draft | None:
        mark = ImportRow(int(self.snapshot.term), self.snapshot.revision)
        cluster = scene.book.cluster
        if cluster is not None and cluster.id != self.snapshot.cluster:
            return None
        if not self.is_first and scene.book.importing != mark:
            return None
        puts = tuple((key, value) for key, value in self.writes if value is not None)
        deletes = tuple(key for key, value in self.writes if value is None)
        if self.is_first:
            return Draft(puts=((IMPORT, mark.data()), *puts), deletes=deletes)
        if not self.is_last:
            return Draft((IMPORT,), puts, deletes)
        return self._last(scene, puts, deletes)

    def _last(
        self, scene: Scene, puts: tuple[tuple[str, dict[str, Any]], ...], deletes: tuple[str, ...]
    ) -> Draft:
        found = self.snapshot
        note = chronicle.database_put_back(found.term, found.revision, len(rows_of(found.book)))
        attempts = max(found.book.counter.attempts, scene.book.counter.attempts)
        return Draft(
            puts=puts,
            deletes=(*deletes, IMPORT),
            notes=(note,),
            attempt=AttemptId(attempts),
        )


def imports(store: Book, found: Snapshot) -> Iterator[Import]:
    """The transactions, in their order: `store` becomes what was found, but for the event log."""
    rows = rows_of(found.book)
    del rows[COUNTER]
    gone = store.revisions.keys() - rows.keys() - {COUNTER, IMPORT}
    yield Import(found, (), is_first=True)
    writes: list[Write] = [(key, rows[key]) for key in sorted(rows.keys() - set(LAST))]
    for chunk in _chunks([*writes, *((key, None) for key in sorted(gone))]):
        yield Import(found, chunk)
    yield Import(found, tuple((key, rows[key]) for key in LAST), is_last=True)


def _chunks(writes: Iterable[Write]) -> Iterator[tuple[Write, ...]]:
    """As many at once as a transaction takes."""
    chunk: list[Write] = []
    size = 0
    for key, value in writes:
        more = 0 if value is None else len(pack(value))
        if chunk and (len(chunk) == ROWS_MAX or size + more > BYTES_MAX):
            yield tuple(chunk)
            chunk, size = [], 0
        chunk.append((key, value))
        size += more
    if chunk:
        yield tuple(chunk)
