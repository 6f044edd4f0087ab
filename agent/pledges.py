"""How long after its end a life's promises may still count, which its next life has to wait out.

A promise lasts as long as it says itself (L when it was made), so peers need not know of a change
of the clocks. The giver has to: if L becomes shorter while the node runs, promises of the longer
one are still about, and a crash now must be followed by a start wait that covers them. So the
record keeps the longer wait (`outlast_s`), and drops it only when that time has passed since the
last promise of the longer kind. If L becomes longer, the record names the new one before a promise
of it is made.
"""

from dataclasses import replace

from agent.actions import NodeRecord
from protocol.names import Timing

FOREVER = float("inf")


def wait_s(record: NodeRecord) -> float:
    """How long the next life waits, on its own clock, before it promises or acknowledges."""
    if is_brand_new(record):
        return 0.0
    return max(record.outlast_s, record.timing.outlast_s)


def is_brand_new(record: NodeRecord) -> bool:
    """No life of this node can have promised anything: it was never in a cluster, or has been out
    of it for long enough.
    """
    return record.cluster is None and record.outlast_s == 0.0


def forgotten(record: NodeRecord) -> NodeRecord:
    """The record of a node that was evicted: it knows no cluster, but its promises are kept."""
    return NodeRecord(outlast_s=wait_s(record))


class Pledges:
    """When the longer wait may be dropped from the record."""

    def __init__(self, record: NodeRecord, born_s: float) -> None:
        self.drop_s = born_s + wait_s(record) if record.outlast_s else FOREVER

    def retimed(self, record: NodeRecord, timing: Timing, now: float) -> NodeRecord:
        """The record with the clocks of `timing`. From now on promises are made under these."""
        if timing == record.timing:
            return record
        before_s = wait_s(record)
        if before_s <= timing.outlast_s:
            self.drop_s = FOREVER
            return replace(record, timing=timing, outlast_s=0.0)
        self.drop_s = now + before_s
        return replace(record, timing=timing, outlast_s=before_s)

    def dropped(self, record: NodeRecord, now: float) -> NodeRecord:
        """The record without the longer wait, once nothing is left that needs it."""
        if now < self.drop_s:
            return record
        self.drop_s = FOREVER
        return replace(record, outlast_s=0.0)
