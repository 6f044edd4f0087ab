"""Guests as they write, page by page, and migrations of them page by page: what forecasts are held
against.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protocol.messages import Spread, Window
from protocol.names import PAGE_BYTES
from protocol.travel import Marking

SAMPLED_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
Pages = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Random:
    """Classes of pages, each written at random: (pages, writes a second of all of them)."""

    classes: tuple[tuple[int, float], ...]

    def unique(self, seconds: float) -> float:
        return sum(w * -np.expm1(-d * seconds / w) for w, d in self.classes)

    def written(self, begin_s: float, end_s: float, chance: np.random.Generator) -> Pages:
        first, found = 0, []
        for pages, rate in self.classes:
            count = chance.poisson(rate * (end_s - begin_s))
            found.append(first + chance.integers(0, pages, count))
            first += pages
        return np.concatenate(found) if found else np.empty(0, np.int64)


@dataclass(frozen=True)
class Sweep:
    """Page after page, over and over."""

    pages: int
    rate: float

    def unique(self, seconds: float) -> float:
        return min(float(self.pages), self.rate * seconds)

    def written(self, begin_s: float, end_s: float, chance: np.random.Generator) -> Pages:
        begin, end = int(begin_s * self.rate), int(end_s * self.rate)
        return np.arange(begin, min(end, begin + self.pages)) % self.pages


Guest = Random | Sweep


def windows(guest: Guest, seconds: Sequence[float] = SAMPLED_S) -> tuple[Window, ...]:
    def seen(at: float) -> Window:
        pages = guest.unique(at)
        return Window(at, Spread(pages, pages, pages))

    return tuple(map(seen, seconds))


def passes(
    guest: Guest,
    memory_pages: int,
    page_s: float,
    marking: Marking,
    rounds: int,
    seed: int = 1,
) -> list[tuple[int, float, int]]:
    """Pages sent, seconds, and pages dirty at the end of each pass, page by page."""
    chance = np.random.default_rng(seed)
    place = chance.permutation(memory_pages)  # where the guest's pages lie is nobody's matter
    dirty = np.ones(memory_pages, bool)
    now, told = 0.0, []
    steps = 400
    for _ in range(rounds):
        queue = np.flatnonzero(dirty)
        if marking is not Marking.SENT:
            dirty[:] = False
        began, sent = now, 0
        for part in np.array_split(queue, min(steps, max(1, len(queue)))):
            goes = part if marking is not Marking.PEEK else part[~dirty[part]]
            if marking is Marking.SENT:
                dirty[part] = False
            sent += len(goes)
            end = now + len(goes) * page_s
            dirty[place[guest.written(now, end, chance)]] = True
            now = end
        told.append((sent, now - began, int(dirty.sum())))
    return told


def page_s(wire_bytes_per_s: float) -> float:
    return PAGE_BYTES / wire_bytes_per_s


Curve = Callable[[float], float]
