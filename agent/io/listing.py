"""The last pass of a post-copy at the source: what travels all the same, and what is listed."""

import threading

from agent.io.marking import DirtyPages
from agent.io.page_sender import PageSender
from agent.pulls import missing_of
from agent.runs import Runs, minus
from protocol.messages import RoundRecord
from protocol.names import VmSpec


def send_listed(
    number: int, dirty: DirtyPages, sender: PageSender, stop: threading.Event, spec: VmSpec
) -> tuple[RoundRecord, Runs]:
    """The pages that no target can be without travel; returns the record and what is missing.
    Blocks: call it in a thread, the guest paused.
    """
    unsent = dirty.begin(number, is_last=True)
    missing = missing_of(unsent, spec)
    sent = sender.send_round(number, minus(unsent, missing), zero_check=True, stop=stop)
    record = RoundRecord(
        number,
        sent.pages,
        sent.zero_pages,
        sent.wire_bytes,
        sent.seconds,
        missing.pages,
        cpu_s=sent.cpu_s,
    )
    return record, missing
