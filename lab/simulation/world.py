"""A world of one thread, one seed and no real time: the same seed always tells the same story."""

import heapq
import itertools
from collections.abc import Callable
from random import Random
from typing import Any

Call = Callable[..., object]


class World:
    """Time that jumps from one event to the next, and chance that comes from the seed alone.

    Every part draws from a stream of its own, so that one draw more in one part leaves the others
    as they were.
    """

    __slots__ = ("_count", "_queue", "after_event", "events", "log", "now", "seed")

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0.0
        self.events = 0
        self.log: list[str] = []
        self.after_event: Call = _nothing
        """Called after every event: the place of the checker."""

        self._queue: list[tuple[float, int, Call, tuple[Any, ...]]] = []
        self._count = itertools.count()

    def stream(self, name: str) -> Random:
        """Chance of its own for the part called `name`."""
        return Random(f"{self.seed}/{name}")

    def after(self, delay_s: float, call: Call, *args: Any) -> None:
        heapq.heappush(self._queue, (self.now + delay_s, next(self._count), call, args))

    def at(self, when_s: float, call: Call, *args: Any) -> None:
        """At a moment, or at once if that has passed."""
        heapq.heappush(self._queue, (max(when_s, self.now), next(self._count), call, args))

    def say(self, words: str) -> None:
        self.log.append(f"{self.now:9.3f} {words}")

    def run(self, until_s: float) -> None:
        """Play every event up to `until_s`."""
        queue, pop, check = self._queue, heapq.heappop, self.after_event
        while queue and queue[0][0] <= until_s:
            self.now, _, call, args = pop(queue)
            call(*args)
            self.events += 1
            check()
        self.now = max(self.now, until_s)

    def run_while(self, goes_on: Callable[[], bool], until_s: float, step_s: float = 1.0) -> bool:
        """Run in steps while `goes_on`, but not beyond `until_s`; True if it ended by itself."""
        while goes_on():
            if self.now >= until_s:
                return False
            self.run(min(until_s, self.now + step_s))
        return True


def _nothing() -> None:
    pass


class Clock:
    """One machine's CLOCK_BOOTTIME: it began at its own moment, and runs a little fast or slow."""

    __slots__ = ("_offset_s", "_rate", "_world")

    def __init__(self, world: World, rate: float = 1.0, offset_s: float = 0.0) -> None:
        self._world = world
        self._rate = rate
        self._offset_s = offset_s

    @property
    def now(self) -> float:
        return self._offset_s + self._rate * self._world.now

    @property
    def wall_offset_s(self) -> float:
        """What makes wall-clock time of this clock, as the coordinators' hosts agree about it."""
        return -self._offset_s

    def in_world(self, local_s: float) -> float:
        """When it is `local_s` on this clock, in the world's time."""
        return (local_s - self._offset_s) / self._rate
