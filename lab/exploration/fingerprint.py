"""What makes two states the same: all that can still matter, and nothing that only counts up.

Times are seen from now, and what is long past is only that. Numbers that are merely compared for
being equal (of heartbeats, links, works, revisions) become the order in which they are met. Words
for people (the event log, reasons) are left out, and so are the clocks of LooksAlive and IsAlive:
no guest of an exploration hangs.
"""

import dataclasses
import enum
import functools
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

import msgpack  # type: ignore[import-untyped]

from agent.config import Limits
from agent.heartbeat import Heartbeats
from coordinator.groups.health import Watched
from coordinator.store.book import Book
from lab.exploration.world import BEGINS_S, TIMING, World
from lab.simulation.store import MemoryStore
from protocol.names import Endpoint, Member, Timing, View, VmSpec, VoteConfig

LONG_PAST_S = -4 * TIMING.support_s
IS_A_TIME_S = BEGINS_S * 0.9

ONLY_EQUAL = {
    "seq": "seq",
    "_seq": "seq",
    "sent": "seq",
    "work": "work",
    "_works": "work",
    "works": "work",
    "link": "link",
    "number": "link",
    "_by_link": "link",
    "on": "link",
    "revision": "revision",
    "revisions": "revision",
}
"""Fields whose integers are ids; those of one kind are named together."""

LEFT_OUT = {
    *("trail", "links", "requests", "dials", "_ping_seq", "stamp", "by", "events", "story"),
    *("config", "_rng", "text", "reason", "asked_at", "joined_at", "restarted_at", "ended_at"),
    *(
        "steps",
        "seconds",
        "parts",
        "_seq_of_pen",
        "_base_s",
        "_slot",
        "none_since_s",
        "_watchers",
        "lives",
    ),
}


TIMELESS = (Endpoint, Limits, Member, Timing, View, VmSpec, VoteConfig)
"""Values that hold neither times nor ids: their own hash says all."""


def fingerprint(world: World) -> int:
    """Of this process: strings hash otherwise in another one."""
    return hash(_Walk(world).of(world, ""))


@functools.cache
def _fields(kind: type) -> tuple[str, ...]:
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    else:
        names = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
    return tuple(name for name in names if name not in LEFT_OUT)


class _Walk:
    def __init__(self, world: World) -> None:
        self._now = world.now
        self._store = world.store
        self._ids: dict[tuple[str, int], int] = {}
        self._met: dict[int, int] = {}

    def of(self, value: Any, name: str) -> Hashable:
        turn = _TURNS.get(type(value))
        if turn is not None:
            return turn(self, value, name)
        if isinstance(value, enum.Enum):
            return hash(value)
        if callable(value):
            return "call"
        return self._object(value)

    def _same(self, value: Any, _: str) -> Hashable:
        return (type(value).__name__, value)

    def _timeless(self, value: Any, _: str) -> Hashable:
        return hash(value)

    def _int(self, value: int, name: str) -> Hashable:
        if name not in ONLY_EQUAL:
            return value
        return ("id", self._ids.setdefault((ONLY_EQUAL[name], value), len(self._ids)))

    def _float(self, value: float, _: str) -> Hashable:
        if not IS_A_TIME_S < value < float("inf"):
            return value
        since = value - self._now
        return "long past" if since < LONG_PAST_S else round(since, 6)

    def _sequence(self, value: Any, name: str) -> Hashable:
        return tuple([self.of(one, name) for one in value])

    def _mapping(self, value: dict[Any, Any], name: str) -> Hashable:
        if name in ONLY_EQUAL:
            return tuple([(self.of(k, name), self.of(v, name)) for k, v in value.items()])
        return frozenset([(k, self.of(v, name)) for k, v in value.items()])

    def _set(self, value: Any, name: str) -> Hashable:
        return frozenset([self.of(one, name) for one in value])

    def _object(self, value: Any) -> Hashable:
        if id(value) in self._met:
            return ("again", self._met[id(value)])
        self._met[id(value)] = len(self._met)
        kind: type = type(value)
        seen: list[Hashable] = [kind.__name__]
        for name in _fields(kind):
            seen.append(self.of(getattr(value, name), name))
        for name, one in getattr(value, "__dict__", {}).items():
            if name not in LEFT_OUT:
                seen.append(self.of(one, name))
        return tuple(seen)

    def _heartbeats(self, value: Heartbeats, _: str) -> Hashable:
        return (self._float(value.next_send_s, ""), self._object(value))

    def _watched(self, value: Watched, _: str) -> Hashable:
        return (value.life, value.epoch, value.phase.name, value.told)

    def _store_rows(self, store: MemoryStore, _: str) -> Hashable:
        rows: list[Hashable] = []
        for key, (content, _revision) in store._kept.items():
            if content is not None and not key.startswith("event/"):
                value = msgpack.unpackb(content, strict_map_key=False)
                rows.append((key, self._plain(value)))
        return frozenset(rows)

    def _book(self, book: Book, _: str) -> Hashable:
        """Rows in memory that are the store's newest are said already."""
        kept = self._store._kept
        if all(kept.get(key, (None, 0))[1] == rev for key, rev in book.revisions.items()):
            return frozenset(book.revisions)
        return self._object(book)

    def _plain(self, value: Any) -> Hashable:
        if isinstance(value, dict):
            return tuple([(k, self._plain(v)) for k, v in value.items() if k not in LEFT_OUT])
        if isinstance(value, list):
            return tuple([self._plain(one) for one in value])
        return self._float(value, "") if isinstance(value, float) else value


_Turn = Callable[[_Walk, Any, str], Hashable]
_TURNS: dict[type, _Turn] = {
    **dict.fromkeys((str, bytes, bool, type(None)), _Walk._same),
    **dict.fromkeys(TIMELESS, _Walk._timeless),
    int: _Walk._int,
    float: _Walk._float,
    **dict.fromkeys((list, tuple, deque), _Walk._sequence),
    dict: _Walk._mapping,
    **dict.fromkeys((set, frozenset), _Walk._set),
    Heartbeats: _Walk._heartbeats,
    MemoryStore: _Walk._store_rows,
    Book: _Walk._book,
    Watched: _Walk._watched,
}
