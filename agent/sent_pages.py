"""What the target has, as far as the source remembers it: the pages as they were last sent.

Everything is arrays, made once and counted against the budget: what is remembered of a page costs
its own bytes and a few more, and each page of the VM a number.
"""

import numpy as np
from numpy.typing import NDArray

from agent.runs import Pages
from protocol.names import PAGE_BYTES

_SLOT_BYTES = PAGE_BYTES + 8 + 4
_INDEX_BYTES = 4
_LOOK_AT = 4096
_COLD = -1
"""When pages of round 0 were used: it sends all, so being sent in it says nothing of a page."""

_FREE = -1000


class SentPages:
    """Copies of pages, as many as `budget_bytes` hold; one thread at a time.

    A guest writes the same pages round after round, so a page that was sent in this round or the
    one before keeps its place, and new ones take the places of those that were not. With more such
    pages than places some stay for good and the others never come in: replacing the oldest would
    throw out each page just before it is sent again.
    """

    def __init__(self, vm_pages: int, budget_bytes: int) -> None:
        left = budget_bytes - vm_pages * _INDEX_BYTES
        self.capacity = max(0, min(vm_pages, left // _SLOT_BYTES))
        # Not touched here: what was never filled takes no memory from the machine.
        self._content: NDArray[np.uint64] = np.empty((self.capacity, PAGE_BYTES // 8), np.uint64)
        self._page = np.full(self.capacity, -1, np.int64)
        self._used_in = np.full(self.capacity, _FREE, np.int32)
        self._slot = np.full(vm_pages if self.capacity else 0, -1, np.int32)
        self._hand = 0
        self._is_full_in = -1

    @property
    def memory_bytes(self) -> int:
        """The most that this takes, all its arrays together."""
        arrays = (self._content, self._page, self._used_in, self._slot)
        return sum(array.nbytes for array in arrays)

    def find(self, numbers: Pages) -> NDArray[np.intp]:
        """Which of these pages are remembered, as positions."""
        if not self.capacity:
            return np.empty(0, np.intp)
        return np.flatnonzero(self._slot[numbers] >= 0)

    def copies(self, numbers: Pages) -> NDArray[np.uint64]:
        """These pages, all of which are remembered."""
        slots = self._slot[numbers]
        assert not len(slots) or int(slots.min()) >= 0, "a page that is not remembered"
        copies: NDArray[np.uint64] = self._content[slots]
        return copies

    def remember(self, numbers: Pages, content: NDArray[np.uint64], round_no: int) -> None:
        """These pages, ascending, are being sent with this content."""
        if not self.capacity:
            return
        used_in = round_no if round_no else _COLD
        slots = self._slot[numbers]
        known = slots >= 0
        if known.any():
            self._content[slots[known]] = content[known]
            self._used_in[slots[known]] = used_in
            if known.all():
                return
        fresh = np.flatnonzero(~known)
        places = self._places(len(fresh), round_no)
        fresh = fresh[: len(places)]
        self._slot[self._page[places][self._page[places] >= 0]] = -1
        self._slot[numbers[fresh]] = places
        self._page[places] = numbers[fresh]
        self._content[places] = content[fresh]
        self._used_in[places] = used_in

    def forget(self, numbers: Pages) -> None:
        """The target has something else in these pages now."""
        if not self.capacity:
            return
        slots = self._slot[numbers]
        slots = slots[slots >= 0]
        self._slot[numbers] = -1
        self._page[slots] = -1
        self._used_in[slots] = _FREE

    def _places(self, wanted: int, round_no: int) -> NDArray[np.intp]:
        """Up to so many places whose pages were sent neither in this round nor in the last."""
        found = []
        left = self.capacity if self._is_full_in != round_no else 0
        while wanted and left:
            size = min(_LOOK_AT, left, self.capacity - self._hand)
            window = self._used_in[self._hand : self._hand + size]
            places = np.flatnonzero(window <= round_no - 2)[:wanted]
            seen = size if len(places) < wanted else int(places[-1]) + 1
            found.append(places + self._hand)
            self._hand = (self._hand + seen) % self.capacity
            left -= seen
            wanted -= len(places)
        if wanted:
            self._is_full_in = round_no  # not to be looked for again and again
        return np.concatenate(found) if found else np.empty(0, np.intp)
