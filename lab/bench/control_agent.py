"""The control of the heartbeat check: an agent that sends its pages on the event loop.

`python -m lab.bench.control_agent` takes the words of `python -m agent`. With it the check must
fail, or it would prove nothing.
"""

import sys

from agent.__main__ import main
from agent.io.memory import VmMemory
from agent.io.outgoing import Outgoing, Source, send_pass
from agent.io.pages import PageSender
from agent.io.tracker import DirtyTracker
from protocol.messages import RoundRecord


class SourceOnLoop(Source):
    """Wrong on purpose: while a round is sent, nothing else of the agent runs."""

    async def _pass(
        self,
        going: Outgoing,
        tracker: DirtyTracker,
        sender: PageSender,
        memory: VmMemory,
        number: int,
    ) -> RoundRecord:
        return send_pass(going, tracker, sender, memory, number)


if __name__ == "__main__":
    sys.exit(main(SourceOnLoop))
