"""Where a ledger on a disk ends: found by one walk over all places, whatever a crash has left.

Entry n (from 1) lies in place (n - 1) modulo the number of places, so when the disk is full the log
begins over its oldest entries. At most `WINDOW` entries are under way at a time, and one is
acknowledged only with all before it. So a crash leaves one run of entries, each linked to the one
before by its sum: all that were acknowledged and are not yet written over. Behind its end lie at
most `WINDOW` places with anything: entries that landed out of turn, torn ones, old ones.
"""

import numpy as np

from agent.guests.disk_guest import DiskBroken
from agent.guests.disk_queue import SLOTS
from agent.guests.pages import Pages
from agent.guests.sealed import Block

WINDOW = SLOTS

# The walk's words: the run at the first place, the present run, the longest run.
_PLACE, _VALID, _LAST_VALID = range(3)
_HEAD_FROM, _HEAD_LINK, _HEAD_TO, _HEAD_SUM, _HEAD_COUNT = range(3, 8)
_RUN_PLACE, _RUN_FROM, _RUN_LINK, _RUN_TO, _RUN_SUM, _RUN_COUNT = range(8, 14)
_BEST_TO, _BEST_SUM, _BEST_COUNT = range(14, 17)
WALK_WORDS = 17


class Walk:
    """The walk, which keeps all that it knows in `words`: it can be stopped after any place."""

    def __init__(self, words: Pages, places: int) -> None:
        self._words = words
        self._places = places

    @property
    def place(self) -> int:
        """The next place to look at."""
        return self._get(_PLACE)

    def take(self, entry: Block | None) -> None:
        """The entry at the next place; None where there is none, or one of another place."""
        place = self.place
        if entry is not None and (entry.sequence - 1) % self._places != place:
            entry = None
        follows = (
            entry is not None
            and self._get(_RUN_COUNT) > 0
            and entry.sequence == self._get(_RUN_TO) + 1
            and entry.link == self._get(_RUN_SUM)
        )
        if not follows:
            self._end_run()
        if entry is not None:
            if not follows:
                self._put(_RUN_PLACE, place, entry.sequence, entry.link)
            self._put(_RUN_TO, entry.sequence, entry.sum, self._get(_RUN_COUNT) + 1)
            self._put(_VALID, self._get(_VALID) + 1, place)
        self._put(_PLACE, place + 1)

    @property
    def is_over(self) -> bool:
        """All places were looked at, or so many empty ones that it never went around."""
        place = self.place
        empty = place - (self._get(_LAST_VALID) + 1 if self._get(_VALID) else 0)
        return place >= self._places or empty > max(1024, 2 * WINDOW)

    def end(self) -> tuple[int, int]:
        """The last entry's sequence and sum; 0, 0 if there is none. DiskBroken: some are lost."""
        if self._get(_RUN_COUNT) and self._get(_HEAD_COUNT) and self._closes_the_circle():
            count = self._get(_RUN_COUNT) + self._get(_HEAD_COUNT)
            self._offer(self._get(_HEAD_TO), self._get(_HEAD_SUM), count)
        else:
            self._end_run()
        if self._get(_BEST_COUNT) >= self._places - 2 * WINDOW:
            return self._get(_BEST_TO), self._get(_BEST_SUM)
        valid, last = self._get(_VALID), self._get(_LAST_VALID)
        if self._get(_HEAD_COUNT) and self._get(_HEAD_FROM) == 1:
            if last >= self._get(_HEAD_COUNT) + WINDOW:
                raise DiskBroken(
                    f"The ledger breaks after entry {self._get(_HEAD_TO)}, and goes on at place "
                    f"{last}: what was acknowledged between is lost."
                )
            return self._get(_HEAD_TO), self._get(_HEAD_SUM)
        if valid and last >= WINDOW:
            raise DiskBroken(f"The ledger has {valid} entries, but they make no unbroken run.")
        return 0, 0

    def _closes_the_circle(self) -> bool:
        """The run at the last place goes on at the first."""
        return (
            self._get(_RUN_PLACE) > 0
            and self._get(_HEAD_FROM) == self._get(_RUN_TO) + 1
            and self._get(_HEAD_LINK) == self._get(_RUN_SUM)
        )

    def _end_run(self) -> None:
        count = self._get(_RUN_COUNT)
        if not count:
            return
        to, total = self._get(_RUN_TO), self._get(_RUN_SUM)
        if self._get(_RUN_PLACE) == 0:
            self._put(_HEAD_FROM, self._get(_RUN_FROM), self._get(_RUN_LINK), to, total, count)
        self._offer(to, total, count)
        self._put(_RUN_COUNT, 0)

    def _offer(self, to: int, total: int, count: int) -> None:
        if count > self._get(_BEST_COUNT):
            self._put(_BEST_TO, to, total, count)

    def _get(self, word: int) -> int:
        return int(self._words[word])

    def _put(self, word: int, *values: int) -> None:
        self._words[word : word + len(values)] = np.array(values, np.uint64)
