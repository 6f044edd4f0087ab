"""Migrations that wait for their turn: rows of their own, so that what is under way stays apart."""

from dataclasses import dataclass
from typing import Any

from coordinator.store.plain import Data, read_travel, travel_data
from protocol.names import AttemptId, NodeName, Priority, Verify, VmName
from protocol.travel import Travel


def queued_key(attempt: AttemptId) -> str:
    return f"queued/{attempt:09d}"


@dataclass(frozen=True, slots=True)
class QueuedRow:
    """One that was asked for and begins when its nodes have a place. Its attempt has this id."""

    id: AttemptId
    vm: VmName
    target: NodeName | None
    policy: str
    verify: Verify
    travel: Travel
    priority: Priority
    asked_at: float

    def data(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "vm": self.vm,
            "target": self.target,
            "policy": self.policy,
            "verify": self.verify.value,
            "travel": travel_data(self.travel),
            "priority": self.priority.value,
            "asked_at": self.asked_at,
        }

    @staticmethod
    def read(data: Data) -> "QueuedRow":
        return QueuedRow(
            data["id"],
            data["vm"],
            data["target"],
            data["policy"],
            Verify(data["verify"]),
            read_travel(data["travel"]),
            Priority(data["priority"]),
            data["asked_at"],
        )
