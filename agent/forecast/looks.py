"""When a guest's writes are looked at, and what the looks say: windows of u(t)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from agent.forecast.curve import UNSTEADY
from agent.forecast.passes import EVERYWHERE
from agent.runs import Runs, no_runs
from protocol.messages import Spread, Window

SHORT_S = 0.1
SHORT_PASSES = 4
LOOKS_S = tuple(base * 10.0**power for power in range(-3, 2) for base in (1, 3))


def passes_s(longest_s: float) -> Iterator[float]:
    """How long each pass lasts: a long one early, since a migration may not leave time for more."""
    short_s = min(SHORT_S, longest_s)
    long_s = [longest_s] if longest_s > SHORT_S else []
    yield from (short_s, *long_s, *[short_s] * (SHORT_PASSES - 1), *long_s)


def moments_s(until_s: float) -> tuple[float, ...]:
    """When to look within a pass, in seconds from its beginning; the last is its end."""
    return (*(at for at in LOOKS_S if at < until_s * 0.99), until_s)


@dataclass(slots=True)
class Looks:
    """For each moment all that was seen: how long the window really was, in seconds, and how many
    pages were written in it.
    """

    seen: dict[float, list[tuple[float, int]]] = field(default_factory=dict)
    cost_s: float = 0.0
    written: Runs = field(default_factory=no_runs)
    """All pages of the pass that lasted longest."""

    def add(self, moment_s: float, window_s: float, pages: Runs) -> None:
        """In a window that was to last `moment_s` these were written."""
        self.seen.setdefault(round(moment_s, 6), []).append((window_s, pages.pages))
        if moment_s >= max(self.seen):
            self.written = pages

    def places(self, pages: int) -> tuple[float, ...]:
        """Where in the memory of so many pages they were written, as quantiles from 0 to 1."""
        numbers = self.written.numbers()
        if not len(numbers):
            return EVERYWHERE
        return tuple(float(at) for at in np.quantile((numbers + 0.5) / pages, EVERYWHERE))

    def windows(self) -> tuple[Window, ...]:
        """u(t) is an expectation, so the mean is taken: a guest that writes in bursts often writes
        nothing within a millisecond.
        """
        found = []
        for _, looks in sorted(self.seen.items()):
            seconds = sum(at for at, _ in looks) / len(looks)
            rates = [pages / at for at, pages in looks]
            mean = sum(pages for _, pages in looks) / len(looks)
            least = min(rates) * seconds * (1 - UNSTEADY)
            most = max(rates) * seconds * (1 + UNSTEADY)
            found.append(Window(seconds, Spread(mean, min(mean, least), max(mean, most))))
        return tuple(found)
