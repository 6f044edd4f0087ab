"""Sets of pages as runs: two arrays instead of an object per page, however big the VM is."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pages = NDArray[np.int64]
PageMap = NDArray[np.bool_]

NO_PAGES = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """`counts[i]` neighbours from page `starts[i]` on: ascending, disjoint, none of them empty."""

    starts: Pages
    counts: Pages

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def pages(self) -> int:
        return int(self.counts.sum())

    @property
    def ends(self) -> Pages:
        return self.starts + self.counts

    def numbers(self) -> Pages:
        """The number of every page in the set, in ascending order."""
        before = np.cumsum(self.counts) - self.counts
        return np.repeat(self.starts - before, self.counts) + np.arange(self.pages)

    def to_map(self, pages: int) -> PageMap:
        """The same set as one boolean for each of the VM's pages."""
        marked = np.zeros(pages, dtype=np.bool_)
        marked[self.numbers()] = True
        return marked


def no_runs() -> Runs:
    return Runs(NO_PAGES, NO_PAGES)


def all_pages(pages: int) -> Runs:
    """Every page of a VM, which is what round 0 sends."""
    if pages == 0:
        return no_runs()
    return Runs(np.array([0], dtype=np.int64), np.array([pages], dtype=np.int64))


def runs_from_map(marked: PageMap) -> Runs:
    """The marked pages, of a snapshot: while a guest still writes a map, its edges move."""
    if len(marked) == 0:
        return no_runs()
    edges = np.flatnonzero(marked[1:] != marked[:-1]) + 1
    if marked[0]:
        edges = np.concatenate(([0], edges))
    if marked[-1]:
        edges = np.concatenate((edges, [len(marked)]))
    return Runs(edges[0::2].astype(np.int64), (edges[1::2] - edges[0::2]).astype(np.int64))


def runs_from_numbers(numbers: Pages) -> Runs:
    """The pages with these numbers, which must ascend without repetition."""
    if len(numbers) == 0:
        return no_runs()
    breaks = np.flatnonzero(numbers[1:] != numbers[:-1] + 1) + 1
    first = np.concatenate(([0], breaks))
    after = np.concatenate((breaks, [len(numbers)]))
    return Runs(numbers[first].astype(np.int64), (after - first).astype(np.int64))


def union(one: Runs, other: Runs) -> Runs:
    """The pages that are in either set; runs that overlap or touch become one."""
    starts = np.concatenate((one.starts, other.starts))
    if len(starts) == 0:
        return no_runs()
    order = np.argsort(starts, kind="stable")
    starts = starts[order]
    ends = np.maximum.accumulate(np.concatenate((one.ends, other.ends))[order])
    heads = np.concatenate(([True], starts[1:] > ends[:-1]))
    tails = np.concatenate((heads[1:], [True]))
    return Runs(starts[heads], ends[tails] - starts[heads])


def minus(one: Runs, other: Runs) -> Runs:
    """The pages of the first set that are not in the second."""
    if len(one) == 0 or len(other) == 0:
        return one
    numbers = one.numbers()
    nearest = np.searchsorted(other.starts, numbers, side="right") - 1
    inside = (nearest >= 0) & (numbers < other.ends[nearest])
    return runs_from_numbers(numbers[~inside]) if inside.any() else one


def spans(runs: Runs, gap_pages: int) -> list[tuple[int, int]]:
    """The fewest stretches, each from a first page to behind a last one, that hold the set and
    bridge no gap of `gap_pages` or more.
    """
    if len(runs) == 0:
        return []
    wide = np.flatnonzero(runs.starts[1:] - runs.ends[:-1] >= gap_pages)
    firsts = runs.starts[np.concatenate(([0], wide + 1))]
    ends = runs.ends[np.concatenate((wide, [len(runs) - 1]))]
    return list(zip(firsts.tolist(), ends.tolist(), strict=True))


def joined(runs: Runs, gap_pages: int) -> Runs:
    """The set with every gap filled that has at most `gap_pages`."""
    if len(runs) < 2:
        return runs
    wide = runs.starts[1:] - runs.ends[:-1] > gap_pages
    starts = runs.starts[np.concatenate(([True], wide))]
    ends = runs.ends[np.concatenate((wide, [True]))]
    return Runs(starts, ends - starts)


def batches(runs: Runs, pages_max: int) -> list[Runs]:
    """Cut the set, in order, into pieces of `pages_max` pages; only the last may have fewer."""
    assert pages_max > 0, "a batch has at least one page"
    if len(runs) == 0:
        return []
    pieces, cells = _cut(runs, np.cumsum(runs.counts) - runs.counts, pages_max)
    borders = [0, *(np.flatnonzero(cells[1:] != cells[:-1]) + 1).tolist(), len(cells)]
    return [
        Runs(pieces.starts[low:high], pieces.counts[low:high])
        for low, high in itertools.pairwise(borders)
    ]


def stripes(runs: Runs, count: int, stripe_pages: int) -> list[Runs]:
    """Deal the set out to `count` streams by page number alone.

    A page always travels on the same stream, so TCP's own order keeps an old copy of it from
    overtaking a new one, without a barrier between rounds.
    """
    if count == 1 or len(runs) == 0:
        return [runs, *(no_runs() for _ in range(count - 1))]
    pieces, cells = _cut(runs, runs.starts, stripe_pages)
    shares = [cells % count == stream for stream in range(count)]
    return [Runs(pieces.starts[share], pieces.counts[share]) for share in shares]


def _cut(runs: Runs, offsets: Pages, grid: int) -> tuple[Runs, Pages]:
    """Split runs where they cross a line of the grid, on which they begin at `offsets`."""
    ends = offsets + runs.counts
    first = offsets // grid
    pieces = (ends - 1) // grid - first + 1
    owner = np.repeat(np.arange(len(runs)), pieces)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    cells = first[owner] + nth
    low = np.maximum(offsets[owner], cells * grid)
    high = np.minimum(ends[owner], (cells + 1) * grid)
    return Runs(runs.starts[owner] + low - offsets[owner], high - low), cells
