"""Limits that operators set: how fast all migrations of a node may be together."""

from dataclasses import dataclass, replace
from typing import Any

from coordinator.events import RequestId
from coordinator.migration import admission
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.store.rows import node_key
from protocol.errors import Refused
from protocol.names import NodeName
from protocol.travel import Travel


@dataclass(frozen=True, slots=True)
class SetLimit:
    """It counts for migrations that begin after it."""

    request: RequestId
    node: NodeName
    rate_bytes_per_s: int

    def draft(self, scene: Scene) -> Draft | Declined:
        row = scene.book.nodes.get(self.node)
        if row is None:
            return admission.unknown_node(self.node)
        if refusal := check_rate(self.rate_bytes_per_s):
            return refusal
        limited = replace(row, migration_rate_bytes_per_s=self.rate_bytes_per_s)
        note = chronicle.node_limited(self.node, self.rate_bytes_per_s)
        return Draft(puts=((node_key(self.node), limited.data()),), notes=(note,))

    def answer(self, scene: Scene) -> dict[str, Any]:
        return {"node": self.node}


def check_rate(rate_bytes_per_s: int) -> Declined | None:
    """Why nothing can be limited to this."""
    try:
        Travel(rate_bytes_per_s=rate_bytes_per_s).refuse()
    except Refused as exc:
        return Declined(422, "bad-rate", str(exc))
    return None
