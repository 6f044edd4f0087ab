"""Which pages a pass sends, and when each of them stops counting as dirty."""

import numpy as np

from agent.io.lane import Ready
from agent.io.tracker import DirtyTracker
from agent.runs import PageMap, Runs, all_pages, minus, no_runs, runs_from_map, union
from protocol.travel import Marking


class DirtyPages:
    """What of a VM is still to be sent, from one pass to the next; one pass at a time.

    A page is always read after its mark was looked at, so what is written after that look is found
    by a later one. `begin` a pass, send what it returns, ask `ready` before each batch, `end` it.
    The last pass, with the guest paused, leaves nothing behind.
    """

    def __init__(self, tracker: DirtyTracker, marking: Marking, pages: int) -> None:
        self.left = no_runs()
        """Pages that the last pass has not sent as they are now."""
        self._tracker = tracker
        self._marking = marking
        self._pages = pages
        self._found: PageMap | None = None
        """Pages whose mark was taken away beside those that were read; shared by all streams."""

    def begin(self, number: int, *, is_last: bool) -> Runs:
        """The pages of pass `number`: all in the first."""
        at_sending = self._marking is Marking.SENT and not is_last
        if at_sending:
            self._found = np.zeros(self._pages, np.bool_)
        if number == 0:
            if not at_sending:
                self._tracker.begin()
            return all_pages(self._pages)
        found = self._tracker.look() if at_sending else self._tracker.collect()
        return union(self.left, found)

    def ready(self, *, is_last: bool) -> Ready | None:
        """What a sender asks before each batch of the pass; None where it need not ask."""
        if is_last or self._marking is Marking.ROUND:
            return None
        return self._take if self._marking is Marking.SENT else self._unwritten

    def end(self, *, is_last: bool) -> Runs:
        """The pages of the next pass, as far as they are known."""
        if self._marking is Marking.SENT and not is_last:
            assert self._found is not None, "a pass ends after it began"
            self.left = union(runs_from_map(self._found), self._tracker.look())
        else:
            self.left = self._tracker.collect()
        return self.left

    def _unwritten(self, batch: Runs) -> Runs:
        """Pages that are written again keep their mark, and are left for the next pass."""
        return minus(batch, self._tracker.peek(batch))

    def _take(self, batch: Runs) -> Runs:
        """These are read next, so their marks go; a mark beside them that went, too, is noted.

        Noted before and forgotten for the batch afterwards: whichever stream was faster, a page
        stays noted unless it is read after its mark went.
        """
        assert self._found is not None, "a pass is under way"
        taken = self._tracker.take(batch)
        if len(taken):
            self._found[taken.numbers()] = True
        self._found[batch.numbers()] = False
        return batch
