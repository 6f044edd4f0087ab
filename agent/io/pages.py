"""What both ends of a stream of pages share: a VM's memory, gathered and checked."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.encoding import Content
from agent.io.stream import IOVEC, Vectors
from agent.runs import PageMap, Pages, Runs
from protocol.names import PAGE_BYTES

EDGES = np.array([0, 255, 511])
"""Words of a page that are looked at first."""


class PageStore(Protocol):
    """A VM's memory, mapped into this process.

    Sender and receiver keep their own hold on the mapping, so that memory which is closed under
    them is only useless to them, never somebody else's.
    """

    @property
    def pages(self) -> int: ...
    @property
    def array(self) -> NDArray[np.uint64]: ...


def vectors_of(runs: Runs, array: NDArray[np.uint64]) -> Vectors:
    """Where the runs lie in this process, for the kernel. `array` must outlive them."""
    vectors = np.empty(len(runs), dtype=IOVEC)
    vectors["base"] = array.ctypes.data + runs.starts * PAGE_BYTES
    vectors["bytes"] = runs.counts * PAGE_BYTES
    return vectors


def gather(array: NDArray[np.uint64], numbers: Pages, room: Content) -> Content:
    """Copy these pages, which lie inside the VM, into the beginning of `room`."""
    content = room[: len(numbers)]
    if len(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1:
        content[:] = array[numbers[0] : numbers[-1] + 1]
        return content
    # Without `clip` numpy would check, and for that copy once more.
    np.take(array, numbers, axis=0, out=content, mode="clip")
    return content


def zeros_of(content: Content) -> PageMap | None:
    """Which of these pages hold only zeros; None if none does, as is usual."""
    return _zeros(content[:, EDGES], lambda maybe: content[maybe])


def zeros_among(numbers: Pages, array: NDArray[np.uint64]) -> PageMap | None:
    """As `zeros_of`, of pages that were not gathered: only the few that may be zero are read."""
    return _zeros(array[numbers[:, None], EDGES], lambda maybe: array[numbers[maybe]])


def _zeros(edges: Content, whole: Callable[[PageMap], Content]) -> PageMap | None:
    """Three words decide for nearly every page in use, so that few pages are read whole."""
    maybe: PageMap = np.bitwise_or.reduce(edges, axis=1) == 0
    if not maybe.any():
        return None
    zero = maybe.copy()
    zero[maybe] = np.bitwise_or.reduce(whole(maybe), axis=1) == 0
    return zero if zero.any() else None
