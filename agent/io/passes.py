"""One pass of pre-copy at the source: what it sends, and what is written down of it."""

import threading
from dataclasses import dataclass

from agent.io.marking import DirtyPages
from agent.io.page_sender import PageSender
from protocol.messages import RoundRecord


@dataclass(frozen=True, slots=True)
class Pass:
    """What is asked of a pass. In the last one the guest is paused."""

    number: int
    is_last: bool = False
    rate_bytes_per_s: int = 0


def send_pass(
    asked: Pass, dirty: DirtyPages, sender: PageSender, stop: threading.Event
) -> RoundRecord:
    """Blocks: call it in a thread."""
    runs = dirty.begin(asked.number, is_last=asked.is_last)
    sent = sender.send_round(
        asked.number,
        runs,
        zero_check=True,
        stop=stop,
        rate_bytes_per_s=asked.rate_bytes_per_s,
        ready=dirty.ready(is_last=asked.is_last),
    )
    left = dirty.end(is_last=asked.is_last)
    return RoundRecord(
        asked.number,
        sent.pages,
        sent.zero_pages,
        sent.wire_bytes,
        sent.seconds,
        left.pages,
        packed_pages=sent.packed_pages,
        delta_pages=sent.delta_pages,
        kept_pages=sent.kept_pages,
        left_pages=sent.left_pages,
        cpu_s=sent.cpu_s,
    )
