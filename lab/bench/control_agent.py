"""The control of the heartbeat check: an agent that sends its pages on the event loop.

`python -m lab.bench.control_agent` takes the words of `python -m agent`. With it the check must
fail, or it would prove nothing.
"""

import sys
import threading

from agent.__main__ import main
from agent.io.marking import DirtyPages
from agent.io.outgoing import Source
from agent.io.page_sender import PageSender
from agent.io.passes import Pass, send_pass
from protocol.messages import RoundRecord


class SourceOnLoop(Source):
    """Wrong on purpose: while a round is sent, nothing else of the agent runs."""

    async def _pass(
        self, asked: Pass, dirty: DirtyPages, sender: PageSender, stop: threading.Event
    ) -> RoundRecord:
        return send_pass(asked, dirty, sender, stop)


if __name__ == "__main__":
    sys.exit(main(SourceOnLoop))
