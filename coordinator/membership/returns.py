"""When a node that was sent away alive may come back: later each time, so that it does not flap.

Whether its links are whole again shows only once it is a member, since it sends no heartbeats
before. So it is tried again after one lease, then two, four and at most eight, counted from when it
is really out; a node that stays long enough begins anew. A leader keeps this in memory: a new one
tries at once.
"""

from dataclasses import dataclass

from protocol.names import Incarnation, NodeName

LONGEST = 8
"""The longest wait, in leases."""


@dataclass(frozen=True, slots=True)
class SentAway:
    """The life that was sent away, and until when the next one has to wait."""

    incarnation: Incarnation
    until: float
    leases: int


class Returns:
    """Changed by `sent_away` only."""

    def __init__(self) -> None:
        self._by_node: dict[NodeName, SentAway] = {}

    def sent_away(
        self, node: NodeName, incarnation: Incarnation, lease_s: float, now: float
    ) -> None:
        """This life goes although it is alive. Saying it twice of one life changes nothing."""
        last = self._by_node.get(node)
        if last is not None and last.incarnation == incarnation:
            return
        leases = 1
        if last is not None and now - last.until <= 2 * LONGEST * lease_s:
            leases = min(2 * last.leases, LONGEST)
        self._by_node[node] = SentAway(incarnation, now + leases * lease_s, leases)

    def may_return(self, node: NodeName, now: float) -> bool:
        last = self._by_node.get(node)
        return last is None or now >= last.until
