"""The migrations that wait: in which order they begin, and what they keep from others."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from coordinator.migration import admission
from coordinator.migration.records import unbegun
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.store.book import Book
from coordinator.store.queue_rows import QueuedRow
from coordinator.store.rows import AttemptRow, VmRow
from protocol.names import NodeName, Priority, VmName

Start = tuple[VmRow, NodeName]

FOR_A_PLACE = frozenset({"node-busy", "vm-busy"})
"""Refusals that end with a migration: who waits for one keeps its nodes' places."""

WAITS = FOR_A_PLACE | {
    *("vm-pending", "disk-pending", "vm-storage-moving"),
    *("source-unreachable", "node-unreachable", "node-joining"),
}
"""Refusals that end by themselves."""

AFTER_OTHERS = "Others go before it: wait for its turn."


def in_order(book: Book) -> list[QueuedRow]:
    """By priority; of the same priority, who asked first."""
    return sorted(book.queued.values(), key=lambda row: (row.priority.rank, row.id))


def ahead_of(book: Book, priority: Priority) -> list[QueuedRow]:
    """Who goes before one that is asked for now."""
    return [row for row in in_order(book) if row.priority.rank <= priority.rank]


def looked_at(
    scene: Scene, rows: Iterable[QueuedRow], kept: Counter[NodeName]
) -> Iterator[tuple[QueuedRow, Start | Declined]]:
    """What may begin now, and why the others wait. In `kept` are the places that are spoken for, so
    that many small ones do not keep a great one waiting for ever.
    """
    for row in rows:
        checked = admission.migration_target(scene, row.vm, row.target, kept)
        if not isinstance(checked, Declined):
            vm, node = checked
            kept.update((vm.owner, node))
        elif checked.code in FOR_A_PLACE:
            owner = scene.book.vms[row.vm].owner
            kept.update({owner} if row.target is None else {owner, row.target})
        yield row, checked


def kept_by(scene: Scene, rows: Iterable[QueuedRow]) -> Counter[NodeName]:
    """How many places of each node are spoken for by these."""
    kept: Counter[NodeName] = Counter()
    for _ in looked_at(scene, rows, kept):
        pass
    return kept


def waiting_for(book: Book, vm: VmName) -> QueuedRow | None:
    return next((row for row in book.queued.values() if row.vm == vm), None)


def as_attempt(scene: Scene, row: QueuedRow, reason: str) -> AttemptRow:
    """What stands in its record before it has begun, or if it never does."""
    attempt = unbegun(scene, row.id, row.vm, row.target, row.policy, row.verify)
    return replace(
        attempt,
        asked_at=row.asked_at,
        reason=reason,
        travel=row.travel,
        priority=row.priority,
        queued_s=max(0.0, scene.wall - row.asked_at),
    )
