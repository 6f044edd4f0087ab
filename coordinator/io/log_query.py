"""Reads the event log by time, level, node, id and group, a page at a time."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from coordinator.io import shown
from coordinator.store.book import Book
from coordinator.store.interface import Row, Store
from coordinator.store.rows import COUNTER, event_key

EVENTS = "event/"
PAGE_ROWS = 500
LEVELS = ("info", "warning", "error", "critical")


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What is None or empty is not looked at; `level` is the least grave that is told."""

    since: float | None = None
    until: float | None = None
    level: str | None = None
    node: str | None = None
    ids: tuple[int, ...] = ()
    group: str | None = None

    def takes(self, event: Mapping[str, Any]) -> bool:
        return (
            (self.since is None or event["at"] >= self.since)
            and (self.until is None or event["at"] <= self.until)
            and (self.level is None or _gravity(event["level"]) >= _gravity(self.level))
            and (self.node is None or event["node"] == self.node)
            and (not self.ids or event["id"] in self.ids)
            and (self.group is None or event["group"] == self.group)
        )


ALL = LogFilter()


def _gravity(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else 0


async def newest_index(store: Store) -> int:
    """The index of the newest event; 0 if there is none."""
    book = Book()
    book.learn_row(await store.get(COUNTER))
    return book.counter.events


async def following(
    store: Store, after: int, limit: int, wanted: LogFilter = ALL
) -> list[dict[str, Any]]:
    """At most `limit` events behind event `after` that `wanted` takes, oldest first."""
    found: list[dict[str, Any]] = []
    page_rows = limit if wanted == ALL else max(limit, PAGE_ROWS)
    while len(found) < limit:
        rows = await store.range(EVENTS, event_key(after), page_rows)
        found += _taken(rows, wanted.takes)
        if len(rows) < page_rows:
            break
        after = shown.event_index(rows[-1].key)
    return found[:limit]


async def newest(store: Store, limit: int, wanted: LogFilter = ALL) -> list[dict[str, Any]]:
    """The newest `limit` events that `wanted` takes, oldest first.

    Goes back page by page, and stops at one that is wholly from before `since`: the clocks of two
    coordinators may differ a little, but not by a page.
    """
    found: list[dict[str, Any]] = []
    end = await newest_index(store)
    page_rows = limit if wanted == ALL else max(limit, PAGE_ROWS)
    while end > 0 and len(found) < limit:
        start = max(0, end - page_rows)
        rows = await store.range(EVENTS, event_key(start), end - start)
        found = _taken(rows, wanted.takes) + found
        if wanted.since is not None and all(_at(row) < wanted.since for row in rows):
            break
        end = start
    return found[-limit:]


def _taken(rows: Iterable[Row], takes: Callable[[Mapping[str, Any]], bool]) -> list[dict[str, Any]]:
    return [shown.event(row) for row in rows if row.value is not None and takes(row.value)]


def _at(row: Row) -> float:
    return 0.0 if row.value is None else float(row.value["at"])
