"""The last pass of a post-copy at the source: what travels all the same, and what is listed."""

import threading

from agent.guests.disk_queue import OWN_PAGE
from agent.io.marking import DirtyPages
from agent.io.page_sender import PageSender
from agent.io.vm_disk import disk_bytes
from agent.runs import Runs, all_pages, joined, minus
from protocol.messages import RoundRecord
from protocol.names import VmSpec

GAP_PAGES = 8
"""Up to so many pages between two that are missing are sent again: the target takes one run out of
its memory in the time in which it takes out two.
"""


def list_missing(unsent: Runs, spec: VmSpec) -> Runs:
    """What the target will lack, of pages that it does not have as they are now."""
    return minus(joined(unsent, GAP_PAGES), _needed_at_once(spec))


def send_listed(
    number: int, dirty: DirtyPages, sender: PageSender, stop: threading.Event, spec: VmSpec
) -> tuple[RoundRecord, Runs]:
    """The pages that no target can be without travel; returns the record and what is missing.
    Blocks: call it in a thread, the guest paused.
    """
    unsent = dirty.begin(number, is_last=True)
    missing = list_missing(unsent, spec)
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


def _needed_at_once(spec: VmSpec) -> Runs:
    """The pages that a worker looks at before its guest runs: registers, and the disk's queue."""
    return all_pages(min(spec.pages, OWN_PAGE if disk_bytes(spec) else 1))
