"""The rows of the store as values, and the plain data that they are kept as."""

from dataclasses import dataclass
from typing import Any

from coordinator.plain import Data, read_spec, read_view, round_data, spec_data, view_data
from protocol.messages import RoundRecord
from protocol.names import (
    AttemptId,
    ClusterId,
    Decision,
    Epoch,
    Incarnation,
    NetworkName,
    NodeName,
    Outcome,
    Term,
    Timing,
    Verify,
    View,
    VmName,
    VmSpec,
)

CLUSTER = "cluster"
VIEW = "view"
COUNTER = "counter"


def node_key(node: NodeName) -> str:
    return f"node/{node}"


def vm_key(vm: VmName) -> str:
    return f"vm/{vm}"


def deleted_key(vm: VmName) -> str:
    return f"deleted/{vm}"


def attempt_key(attempt: AttemptId) -> str:
    return f"attempt/{attempt:09d}"


def event_key(index: int) -> str:
    return f"event/{index:012d}"


@dataclass(frozen=True, slots=True)
class ClusterRow:
    id: ClusterId
    name: str
    timing: Timing

    def data(self) -> dict[str, Any]:
        timing = self.timing
        return {
            "id": self.id,
            "name": self.name,
            "timing": {
                "delay_s": timing.delay_s,
                "threshold": timing.threshold,
                "drift_rate": timing.drift_rate,
            },
        }

    @staticmethod
    def read(data: Data) -> "ClusterRow":
        return ClusterRow(ClusterId(data["id"]), data["name"], Timing(**data["timing"]))


@dataclass(frozen=True, slots=True)
class Dropped:
    """An incarnation that a view leaves out, and why."""

    node: NodeName
    incarnation: Incarnation
    reason: str


@dataclass(frozen=True, slots=True)
class ViewRow:
    """The newest view, and the newest one that is known to hold (the same once it holds).

    `left` are the incarnations that were dropped and never come back; the newest last.
    """

    view: View
    held: View | None
    term: Term
    changed: bool = False
    dropped: tuple[Dropped, ...] = ()
    left: tuple[Incarnation, ...] = ()

    @property
    def holds(self) -> bool:
        return self.held is not None and self.held.number == self.view.number

    def data(self) -> dict[str, Any]:
        return {
            **view_data(self.view),
            "held": self.holds,
            "held_view": None if self.held is None else view_data(self.held),
            "term": self.term,
            "changed": self.changed,
            "dropped": [[d.node, d.incarnation, d.reason] for d in self.dropped],
            "left": list(self.left),
        }

    @staticmethod
    def read(data: Data) -> "ViewRow":
        held = data["held_view"]
        return ViewRow(
            read_view(data),
            None if held is None else read_view(held),
            Term(data["term"]),
            data["changed"],
            tuple(Dropped(*fields) for fields in data["dropped"]),
            tuple(data["left"]),
        )


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A configured node: its vote counts, up or down."""

    name: NodeName
    memory_bytes: int
    paused: bool = False
    draining: bool = False
    joined_at: float = 0.0

    def data(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "memory_bytes": self.memory_bytes,
            "paused": self.paused,
            "draining": self.draining,
            "joined_at": self.joined_at,
        }

    @staticmethod
    def read(data: Data) -> "NodeRow":
        return NodeRow(
            data["name"], data["memory_bytes"], data["paused"], data["draining"], data["joined_at"]
        )


@dataclass(frozen=True, slots=True)
class VmRow:
    """A VM, the wish for it, and who owns it.

    `live` from the transaction that gives it to `owner_incarnation` until that one has stopped it
    or a view holds without that one: so long nobody else may be given it. `waiting` says why a VM
    that ought to run has no place; `failed` why it is not restarted any more.
    """

    name: VmName
    spec: VmSpec
    owner: NodeName
    owner_incarnation: Incarnation | None = None
    epoch: Epoch = Epoch(0)
    on: bool = False
    live: bool = False
    attempt: AttemptId | None = None
    failed: str = ""
    waiting: str = ""
    restarts: int = 0
    restarted_at: float = 0.0

    def data(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "spec": spec_data(self.spec),
            "owner": self.owner,
            "owner_incarnation": self.owner_incarnation,
            "epoch": self.epoch,
            "wish": "on" if self.on else "off",
            "live": self.live,
            "attempt": self.attempt,
            "failed": self.failed,
            "waiting": self.waiting,
            "restarts": self.restarts,
            "restarted_at": self.restarted_at,
        }

    @staticmethod
    def read(data: Data) -> "VmRow":
        return VmRow(
            name=data["name"],
            spec=read_spec(data["spec"]),
            owner=data["owner"],
            owner_incarnation=data["owner_incarnation"],
            epoch=data["epoch"],
            on=data["wish"] == "on",
            live=data["live"],
            attempt=data["attempt"],
            failed=data["failed"],
            waiting=data["waiting"],
            restarts=data["restarts"],
            restarted_at=data["restarted_at"],
        )


@dataclass(frozen=True, slots=True)
class DeletedRow:
    """What is left of a VM's name: nodes have seen its epochs up to this one and refuse them."""

    name: VmName
    epoch: Epoch

    def data(self) -> dict[str, Any]:
        return {"name": self.name, "epoch": self.epoch}

    @staticmethod
    def read(data: Data) -> "DeletedRow":
        return DeletedRow(data["name"], data["epoch"])


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One try of a migration. Exactly one compare-and-set takes `decision` away from open.

    `outcome` is set with the decision, `ended_at` once both ends have cleaned up or are gone.
    """

    id: AttemptId
    vm: VmName
    source: NodeName
    source_incarnation: Incarnation | None
    target: NodeName | None
    target_incarnation: Incarnation | None
    epoch: Epoch
    policy: str
    verify: Verify
    asked_at: float
    decision: Decision = Decision.OPEN
    outcome: Outcome | None = None
    reason: str = ""
    ended_at: float | None = None
    network: NetworkName | None = None
    rounds: tuple[RoundRecord, ...] = ()
    parts: tuple[tuple[str, float], ...] = ()
    verified: bool | None = None
    waited_s: float = 0.0
    """How long the guest ran on, its pages copied, because no coordinator could be told."""

    @property
    def closed(self) -> bool:
        return self.ended_at is not None

    def data(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "vm": self.vm,
            "source": self.source,
            "source_incarnation": self.source_incarnation,
            "target": self.target,
            "target_incarnation": self.target_incarnation,
            "epoch": self.epoch,
            "policy": self.policy,
            "verify": self.verify.value,
            "asked_at": self.asked_at,
            "decision": self.decision.value,
            "outcome": None if self.outcome is None else self.outcome.value,
            "reason": self.reason,
            "ended_at": self.ended_at,
            "network": self.network,
            "rounds": [round_data(r) for r in self.rounds],
            "parts": [list(part) for part in self.parts],
            "verified": self.verified,
            "waited_s": self.waited_s,
        }

    @staticmethod
    def read(data: Data) -> "AttemptRow":
        outcome = data["outcome"]
        return AttemptRow(
            id=data["id"],
            vm=data["vm"],
            source=data["source"],
            source_incarnation=data["source_incarnation"],
            target=data["target"],
            target_incarnation=data["target_incarnation"],
            epoch=data["epoch"],
            policy=data["policy"],
            verify=Verify(data["verify"]),
            asked_at=data["asked_at"],
            decision=Decision(data["decision"]),
            outcome=None if outcome is None else Outcome(outcome),
            reason=data["reason"],
            ended_at=data["ended_at"],
            network=data["network"],
            rounds=tuple(RoundRecord(**r) for r in data["rounds"]),
            parts=tuple((name, seconds) for name, seconds in data["parts"]),
            verified=data["verified"],
            waited_s=data.get("waited_s", 0.0),
        )


@dataclass(frozen=True, slots=True)
class CounterRow:
    """The newest ids. Every transaction rewrites it, so its stamp names the newest writer."""

    events: int = 0
    attempts: int = 0

    def data(self) -> dict[str, Any]:
        return {"events": self.events, "attempts": self.attempts}

    @staticmethod
    def read(data: Data) -> "CounterRow":
        return CounterRow(data["events"], data["attempts"])
