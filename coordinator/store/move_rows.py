"""The files of VMs on their way to other volumes, as the store keeps them."""

from dataclasses import dataclass
from typing import Any

from coordinator.store.plain import Data, read_spec, spec_data
from protocol.disks import DiskId
from protocol.names import Decision, Epoch, Incarnation, Outcome, VmName, VmSpec, VolumeName


@dataclass(frozen=True, slots=True)
class StorageMove:
    """One move of a VM's files, part of its row. Exactly one compare-and-set takes `decision` away
    from open; with it the VM has its new `spec`, or keeps what it had.

    `ended_at` is set once the node lives by the decision, or has the VM no more.
    """

    number: int
    volume: VolumeName
    spec: VmSpec
    epoch: Epoch
    incarnation: Incarnation
    asked_at: float
    decision: Decision = Decision.OPEN
    outcome: Outcome | None = None
    reason: str = ""
    decided_at: float | None = None
    ended_at: float | None = None

    @property
    def is_open(self) -> bool:
        return self.decision is Decision.OPEN

    @property
    def is_closed(self) -> bool:
        return self.ended_at is not None

    def data(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "volume": self.volume,
            "spec": spec_data(self.spec),
            "epoch": self.epoch,
            "incarnation": self.incarnation,
            "asked_at": self.asked_at,
            "decision": self.decision.value,
            "outcome": None if self.outcome is None else self.outcome.value,
            "reason": self.reason,
            "decided_at": self.decided_at,
            "ended_at": self.ended_at,
        }

    @staticmethod
    def read(data: Data) -> "StorageMove":
        outcome = data["outcome"]
        return StorageMove(
            number=data["number"],
            volume=data["volume"],
            spec=read_spec(data["spec"]),
            epoch=data["epoch"],
            incarnation=data["incarnation"],
            asked_at=data["asked_at"],
            decision=Decision(data["decision"]),
            outcome=None if outcome is None else Outcome(outcome),
            reason=data["reason"],
            decided_at=data["decided_at"],
            ended_at=data["ended_at"],
        )


@dataclass(frozen=True, slots=True)
class LeftRow:
    """Files of a VM that a move has left on a disk: those of epochs up to `epoch` are to go.

    `gone_at`: when they had gone. The row stays a while, so that nothing comes to lie there that a
    late order could remove.
    """

    disk: DiskId
    vm: VmName
    epoch: Epoch
    gone_at: float | None = None

    def data(self) -> dict[str, Any]:
        return {"disk": self.disk, "vm": self.vm, "epoch": self.epoch, "gone_at": self.gone_at}

    @staticmethod
    def read(data: Data) -> "LeftRow":
        return LeftRow(data["disk"], data["vm"], data["epoch"], data["gone_at"])


def left_key(disk: DiskId, vm: VmName) -> str:
    return f"left/{disk}/{vm}"
