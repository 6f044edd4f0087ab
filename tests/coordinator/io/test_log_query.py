"""The log is found by time, level, node, id and group, however long it is."""

from typing import Any

import pytest

from coordinator.io.log_query import ALL, PAGE_ROWS, LogFilter, following, newest
from coordinator.store.interface import Put, Row, Txn
from coordinator.store.rows import COUNTER, event_key
from lab.simulation.store import InstantStore, MemoryStore

LEVELS = ("info", "info", "info", "warning", "error", "critical")


def event(index: int) -> dict[str, Any]:
    """Event `index` happened at second `index`."""
    return {
        "at": float(index),
        "id": 1000 + index % 7,
        "level": LEVELS[index % 6],
        "node": f"node{index % 3}",
        "group": f"vm{index % 5}" if index % 2 else None,
        "text": f"event {index}",
    }


class CountedStore(InstantStore):
    """Knows how many rows it was asked for, and how many at once."""

    def __init__(self, truth: MemoryStore) -> None:
        super().__init__(truth)
        self.pages: list[int] = []

    async def range(self, prefix: str, after_key: str = "", limit: int = 1000) -> tuple[Row, ...]:
        rows = await super().range(prefix, after_key, limit)
        self.pages.append(len(rows))
        return rows


def store_of(events: int) -> CountedStore:
    truth = MemoryStore()
    term = truth.take_term(1, "earlier")
    for first in range(1, events + 1, 100):
        last = min(events, first + 99)
        puts = [Put(event_key(i), event(i)) for i in range(first, last + 1)]
        truth.apply(Txn(term, puts=(*puts, Put(COUNTER, {"events": last, "attempts": 0}))))
    return CountedStore(truth)


def slowly(events: int, wanted: LogFilter) -> list[int]:
    return [i for i in range(1, events + 1) if wanted.takes(event(i))]


FILTERS = [
    ALL,
    LogFilter(since=1990.0),
    LogFilter(until=20.0),
    LogFilter(since=500.0, until=510.0),
    LogFilter(level="warning"),
    LogFilter(level="critical", node="node2"),
    LogFilter(ids=(1003, 1005)),
    LogFilter(group="vm3", level="error"),
    LogFilter(node="nobody"),
]


@pytest.mark.parametrize("wanted", FILTERS)
async def test_every_filter_finds_what_the_slow_way_finds(wanted: LogFilter) -> None:
    store, expected = store_of(2000), slowly(2000, wanted)

    back = await newest(store, 50, wanted)
    forth = await following(store, 0, 50, wanted)

    assert [e["index"] for e in back] == expected[-50:]
    assert [e["index"] for e in forth] == expected[:50]


async def test_reading_on_from_the_last_event_leaves_nothing_out() -> None:
    store, wanted = store_of(2000), LogFilter(level="error")
    found: list[int] = []

    while page := await following(store, found[-1] if found else 0, 37, wanted):
        found += [e["index"] for e in page]

    assert found == slowly(2000, wanted)


async def test_a_long_log_is_read_a_page_at_a_time() -> None:
    store = store_of(10_000)

    recent = await newest(store, 200, LogFilter(since=9_000.0, level="critical"))
    assert len(store.pages) <= 1000 / PAGE_ROWS + 2
    rare = await newest(store, 200, LogFilter(node="nobody"))

    assert [e["index"] for e in recent] == slowly(10_000, LogFilter(9_000.0, level="critical"))
    assert rare == []
    assert max(store.pages) == PAGE_ROWS
