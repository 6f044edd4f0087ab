"""u(t): how many different pages a guest writes within t seconds, its writable working set.

Whatever a guest does at the same pace, u never falls, and grows ever slower. Between the windows
that were seen it lies between the chord and the extended neighbouring chords; there it takes the
shape that the classes of pages give it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from agent.forecast.mixture import Numbers, classes
from protocol.messages import Spread, Window

CHANGED = 2.0
"""A guest that writes so many times more or less than before does something else now."""

UNSTEADY = 0.1
"""It is not the same in every second: by so much what was seen once may be off."""

FOREVER_S = 1e5
_TABLE = 512


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """u as a fine table, and as classes of pages for what a table cannot say."""

    seconds: Numbers
    pages: Numbers
    rates: Numbers
    sizes: Numbers

    def unique(self, seconds: Numbers | float) -> Numbers:
        """Different pages written within so many seconds."""
        return np.asarray(np.interp(seconds, self.seconds, self.pages))

    def pages_in(self, seconds: float) -> float:
        return float(self.unique(seconds))

    @classmethod
    def of(cls, windows: Sequence[Window], memory_pages: int, which: str = "likely") -> Self:
        """The curve through what was seen, by its `likely`, `least` or `most` values.

        Behind the longest window the least is that nothing new is written, the most that new pages
        are written as fast as in its last stretch, and the likely what the classes say.
        """
        by_time = {window.seconds: getattr(window.pages, which) for window in windows}
        times = np.array(sorted(by_time))
        seen = np.array([by_time[at] for at in sorted(by_time)], float)
        if not len(times) or seen.max() <= 0:
            nothing = np.zeros(2)
            return cls(np.array([0.0, FOREVER_S]), nothing, np.empty(0), np.empty(0))
        times, pages = _concave(times, np.minimum(seen, memory_pages))
        rates, sizes = classes(times.tolist(), pages.tolist())
        last_s, last = float(times[-1]), float(pages[-1])
        fine = _grid(times)
        lowest, shaped, highest = _between(times, pages, fine[fine <= last_s], rates, sizes)
        later = fine[fine > last_s] - last_s
        straight = _last_slope(times, pages) * later
        match which:
            case "least":
                inside, tail = lowest, np.zeros(len(later))
            case "most":
                inside, tail = highest, straight
            case _:
                grown = _of_classes(later, rates, sizes * np.exp(-rates * last_s))
                inside, tail = shaped, np.minimum(grown, straight)
        table = np.concatenate((inside, last + tail))
        table = np.minimum(np.maximum.accumulate(table), memory_pages)
        return cls(fine, table, rates, sizes)


def joined(seen: Sequence[Window], known: Sequence[Window]) -> tuple[Window, ...]:
    """What is seen now, and for longer windows what was known before: in proportion to what both
    say of the longest that is seen. A guest that has changed its ways is not known any more.
    """
    if not seen or not known:
        return tuple(seen)
    longest = max(seen, key=lambda window: window.seconds)
    memory_pages = max(round(max(window.pages.most for window in known)), 1)
    before = Curve.of(known, memory_pages).pages_in(longest.seconds)
    share = longest.pages.likely / before if before > 0 else 0.0
    if not 1 / CHANGED <= share <= CHANGED:
        return tuple(seen)
    off = UNSTEADY + abs(share - 1)
    longer = [
        Window(
            window.seconds,
            Spread(*(window.pages.likely * share * part for part in (1, max(0, 1 - off), 1 + off))),
        )
        for window in known
        if window.seconds > 1.3 * longest.seconds
    ]
    return (*seen, *longer)


def _grid(times: Numbers) -> Numbers:
    fine = np.geomspace(min(1e-5, times[0] / 10), FOREVER_S, _TABLE)
    return np.unique(np.concatenate(([0.0], fine, times)))


def _slopes(times: Numbers, pages: Numbers) -> Numbers:
    return np.diff(pages, prepend=0.0) / np.diff(times, prepend=0.0)


def _last_slope(times: Numbers, pages: Numbers) -> float:
    return float(_slopes(times, pages)[-1])


def _concave(times: Numbers, pages: Numbers) -> tuple[Numbers, Numbers]:
    """The windows with what noise has bent straightened: neighbours whose slope grows become one
    stretch.
    """
    widths, slopes = np.diff(times, prepend=0.0), np.maximum(_slopes(times, pages), 0.0)
    stretches: list[list[float]] = []
    for width, slope in zip(widths, slopes, strict=True):
        stretches.append([float(width), float(slope), 1])
        while len(stretches) > 1 and stretches[-1][1] > stretches[-2][1]:
            (w2, s2, n2), (w1, s1, n1) = stretches.pop(), stretches.pop()
            stretches.append([w1 + w2, (w1 * s1 + w2 * s2) / (w1 + w2), n1 + n2])
    even = np.concatenate([[slope] * int(n) for _, slope, n in stretches])
    return times, np.cumsum(even * widths)


def _of_classes(seconds: Numbers, rates: Numbers, sizes: Numbers) -> Numbers:
    return np.asarray(-np.expm1(-np.outer(seconds, rates)) @ sizes)


def _between(
    times: Numbers, pages: Numbers, at: Numbers, rates: Numbers, sizes: Numbers
) -> tuple[Numbers, Numbers, Numbers]:
    """The chord, below which it never is; the classes' shape, led through the windows; and what the
    neighbouring chords allow at most.
    """
    knots, values = np.concatenate(([0.0], times)), np.concatenate(([0.0], pages))
    slopes = _slopes(times, pages)
    before = np.concatenate((slopes[:1], slopes[:-1]))
    after = np.concatenate((slopes[1:], [0.0]))
    part = np.clip(np.searchsorted(times, at), 0, len(times) - 1)
    left, right = at - knots[part], knots[part + 1] - at
    chord = values[part] + slopes[part] * left
    above = np.minimum(values[part] + before[part] * left, values[part + 1] - after[part] * right)
    off = values - _of_classes(knots, rates, sizes)
    shaped = _of_classes(at, rates, sizes) + np.interp(at, knots, off)
    highest = np.maximum(chord, above)
    return chord, np.clip(shaped, chord, highest), highest
