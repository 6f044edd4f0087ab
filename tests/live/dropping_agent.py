"""A mutant: an agent whose tracker forgets one of the pages that the guest has written."""

import sys

from agent.__main__ import main
from agent.io.outgoing import Source
from agent.io.tracker import DirtyTracker
from agent.io.vm import VmWorker
from agent.runs import Runs, runs_from_numbers


class Dropping:
    """Finds what another tracker finds, but for one page in the middle."""

    def __init__(self, exact: DirtyTracker) -> None:
        self.name = exact.name
        self.begin = exact.begin
        self.close = exact.close
        self.look, self.peek, self.take = exact.look, exact.peek, exact.take
        self._exact = exact

    def collect(self) -> Runs:
        found = self._exact.collect().numbers()
        kept = found[found != found[len(found) // 2]] if len(found) else found
        return runs_from_numbers(kept)


class DroppingSource(Source):
    def _tracker(self, worker: VmWorker) -> DirtyTracker:
        return Dropping(super()._tracker(worker))


if __name__ == "__main__":
    sys.exit(main(DroppingSource))
