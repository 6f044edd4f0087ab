"""How the pages of a migration travel: the cluster's defaults, what an operator chose, and limits.

A rate is fixed when a migration begins. Where a node takes part in several at once each has its
share of the node's limit, and of a network's, whether the others are under way or not: so a limit
is never exceeded, and nothing has to be divided anew when one begins or ends.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from coordinator.membership import properties
from coordinator.scene import Scene
from coordinator.store.book import Book
from protocol.names import NetworkName, NodeName
from protocol.travel import RATE_BYTES_PER_S_MIN, Compress, Travel


def usual(book: Book) -> Travel:
    """What a migration does of which nothing else was said: the properties of the cluster."""
    return Travel(
        streams=properties.number(book, "MigrationStreams"),
        compress=Compress(properties.value(book, "MigrationCompression")),
        level=properties.number(book, "MigrationCompressionLevel"),
        delta_bytes=properties.number(book, "MigrationDeltaCache") << 20,
        kept=bool(properties.number(book, "MigrationKeptPages")),
        rate_bytes_per_s=properties.number(book, "MigrationRate") * 10**6,
        downtime_s=properties.number(book, "MigrationDowntime") / 1000,
    )


def chosen(book: Book, choices: Iterable[tuple[str, Any]]) -> Travel:
    """The defaults with these choices; nothing of it is checked."""
    return replace(usual(book), **dict(choices))


def places(book: Book) -> int:
    """In how many migrations a node takes part at once: in 2008 R2 one."""
    if book.cluster is None:
        return 1
    return properties.number(book, "MigrationsPerNode")


def limited(scene: Scene, travel: Travel, *nodes: NodeName) -> Travel:
    """`travel` at a rate that none of the nodes is harmed by."""
    rows = (scene.book.nodes.get(node) for node in nodes)
    limits = (0 if row is None else share(scene, row.migration_rate_bytes_per_s) for row in rows)
    return replace(travel, rate_bytes_per_s=least(travel.rate_bytes_per_s, *limits))


def network_rates(scene: Scene) -> tuple[tuple[NetworkName, int], ...]:
    """What of each limited network's rate one migration has."""
    rows = sorted(scene.book.networks.items())
    shares = ((name, share(scene, row.migration_rate_bytes_per_s)) for name, row in rows)
    return tuple((name, rate) for name, rate in shares if rate)


def share(scene: Scene, limit_bytes_per_s: int) -> int:
    """Of a limit, for one of the places that a node has; 0 for no limit."""
    if not limit_bytes_per_s:
        return 0
    return max(RATE_BYTES_PER_S_MIN, limit_bytes_per_s // places(scene.book))


def least(*limits_bytes_per_s: int) -> int:
    """The lowest of limits, of which 0 is none."""
    return min((limit for limit in limits_bytes_per_s if limit), default=0)
