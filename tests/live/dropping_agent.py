"""A mutant: an agent whose tracker forgets one of the pages that the guest has written."""

import sys

from agent.__main__ import main
from agent.io.memory import VmMemory
from agent.io.outgoing import Outgoing, Source
from agent.io.pages import PageSender
from agent.io.tracker import DirtyTracker
from agent.runs import Runs, runs_from_numbers
from protocol.messages import RoundRecord


class Dropping:
    """Finds what another tracker finds, but for one page in the middle."""

    def __init__(self, exact: DirtyTracker) -> None:
        self.name = exact.name
        self.begin = exact.begin
        self.close = exact.close
        self._exact = exact

    def collect(self) -> Runs:
        found = self._exact.collect().numbers()
        kept = found[found != found[len(found) // 2]] if len(found) else found
        return runs_from_numbers(kept)


class DroppingSource(Source):
    async def _pass(
        self,
        going: Outgoing,
        tracker: DirtyTracker,
        sender: PageSender,
        memory: VmMemory,
        number: int,
    ) -> RoundRecord:
        return await super()._pass(going, Dropping(tracker), sender, memory, number)


if __name__ == "__main__":
    sys.exit(main(DroppingSource))
