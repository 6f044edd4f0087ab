"""Post-copy, the source: which of the pages that the target lacks travel next.

What the guest there stands before goes first, the rest in the order of memory from there on, since
who reads one page soon reads its neighbours.
"""

from collections.abc import Iterable

import numpy as np

from agent import pulls
from agent.runs import NO_PAGES, Pages

WINDOW_PAGES = 4096
"""How much of the map is looked through at once."""


class PullOrder:
    """Of one VM of `vm_pages`, over one connection after the other. At most `push_pages` go at once
    that nobody waits for: a guest's own page waits no longer than they take.
    """

    def __init__(self, vm_pages: int, push_pages: int) -> None:
        self.left = 0
        """Pages that are to be sent yet; none is known until the whole map was told."""

        self._pages = vm_pages
        self._push_pages = push_pages
        self._lacking = np.zeros(vm_pages, np.bool_)
        self._demanded: list[int] = []
        self._cursor = 0

    @property
    def is_waited_for(self) -> bool:
        """The guest stands before a page."""
        return bool(self.left and self._demanded)

    def begin_anew(self) -> None:
        """Another connection, on which the target says again what it lacks."""
        self.left, self._demanded = 0, []
        self._lacking[:] = False

    def told(self, first: int, bitmap: bytes, is_last: bool) -> None:
        """A part of the target's map; raises `BadBatch` if it names what the VM does not have."""
        pulls.mark(self._lacking, first, bitmap)
        if is_last:
            self.left = int(self._lacking.sum())

    def wanted(self, pages: Iterable[int]) -> None:
        """The guest stands before these; raises `BadBatch` if one is not the VM's."""
        self._demanded += pulls.within(pages, self._pages)

    def take(self) -> Pages:
        """The next to travel, ascending; they count as sent. Empty if what was asked for has been
        sent before.
        """
        if not self.left:
            return NO_PAGES
        numbers = self._asked_for() if self._demanded else self._behind_cursor()
        if len(numbers):
            self._cursor = int(numbers[-1]) + 1
        self._lacking[numbers] = False
        self.left -= len(numbers)
        return numbers

    def _asked_for(self) -> Pages:
        asked = np.unique(np.array(self._demanded[: pulls.PAGES_MAX], np.int64))
        del self._demanded[: pulls.PAGES_MAX]
        wanted: Pages = asked[self._lacking[asked]]  # what was sent before is on its way
        return wanted

    def _behind_cursor(self) -> Pages:
        while True:
            if self._cursor >= self._pages:
                self._cursor = 0
            window = self._lacking[self._cursor : self._cursor + WINDOW_PAGES]
            found = np.flatnonzero(window)[: self._push_pages] + self._cursor
            if len(found):
                return found
            self._cursor += WINDOW_PAGES
