"""The rows of the store as values, and the plain data that they are kept as."""

from dataclasses import asdict, dataclass
from typing import Any

from coordinator.store.move_rows import StorageMove
from coordinator.store.plain import (
    Data,
    known,
    read_spec,
    read_travel,
    read_view,
    round_data,
    spec_data,
    travel_data,
    view_data,
)
from coordinator.store.prediction_row import Prediction
from protocol.disks import DiskId
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
    Personality,
    Priority,
    Term,
    Timing,
    Verify,
    View,
    VmName,
    VmSpec,
)
from protocol.travel import AS_USUAL, Travel

CLUSTER = "cluster"
VIEW = "view"
COUNTER = "counter"


def node_key(node: NodeName) -> str:
    return f"node/{node}"


def vm_key(vm: VmName) -> str:
    return f"vm/{vm}"


def deleted_key(vm: VmName) -> str:
    return f"deleted/{vm}"


def evicted_key(node: NodeName) -> str:
    return f"evicted/{node}"


def attempt_key(attempt: AttemptId) -> str:
    return f"attempt/{attempt:09d}"


def event_key(index: int) -> str:
    return f"event/{index:012d}"


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """`properties` are those that were set, by their names in the field; others have defaults.

    `longest_s`: the longest that promises could last by any clocks that this cluster had. A node
    that was not connected since may still live by those.
    """

    id: ClusterId
    name: str
    timing: Timing
    personality: Personality = Personality.R2008
    properties: tuple[tuple[str, int | str], ...] = ()
    longest_s: float = 0.0

    def data(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "timing": asdict(self.timing),
            "personality": self.personality.value,
            "properties": dict(self.properties),
            "longest_s": self.longest_s,
        }

    @staticmethod
    def read(data: Data) -> "ClusterRow":
        return ClusterRow(
            ClusterId(data["id"]),
            data["name"],
            Timing(**data["timing"]),
            Personality(data.get("personality", Personality.R2008.value)),
            tuple(sorted(data.get("properties", {}).items())),
            data.get("longest_s", 0.0),
        )


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
    cold_at: float | None = None
    """When the cluster last started cold: a view came to hold by lives alone of which none had been
    in the one before.
    """

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
            "cold_at": self.cold_at,
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
            data.get("cold_at"),
        )


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A configured node: its vote counts, up or down.

    `id` is given when it joins and kept until it is evicted; `weight` is its NodeWeight, 0 or 1;
    `stopped`: an operator has stopped its cluster service, so it is Down until it is started.
    """

    name: NodeName
    memory_bytes: int
    paused: bool = False
    draining: bool = False
    joined_at: float = 0.0
    id: int = 0
    weight: int = 1
    stopped: bool = False
    migration_rate_bytes_per_s: int = 0
    """Of all migrations that it takes part in; 0 for no limit."""

    def data(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def read(data: Data) -> "NodeRow":
        return NodeRow(**known(NodeRow, data))


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
    move: StorageMove | None = None
    """The newest move of its files; kept when it is over."""

    @property
    def storage_moves(self) -> bool:
        return self.move is not None and not self.move.is_closed

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
            "move": None if self.move is None else self.move.data(),
        }

    @staticmethod
    def read(data: Data) -> "VmRow":
        move = data.get("move")
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
            move=None if move is None else StorageMove.read(move),
        )


@dataclass(frozen=True, slots=True)
class DeletedRow:
    """What is left of a VM: nodes have seen its epochs up to this one and refuse them, and on these
    disks its files have still to be removed.
    """

    name: VmName
    epoch: Epoch
    files: tuple[DiskId, ...] = ()

    def data(self) -> dict[str, Any]:
        return {"name": self.name, "epoch": self.epoch, "files": list(self.files)}

    @staticmethod
    def read(data: Data) -> "DeletedRow":
        return DeletedRow(data["name"], data["epoch"], tuple(data.get("files", ())))


@dataclass(frozen=True, slots=True)
class EvictedRow:
    """A node that was evicted, `at` this wall-clock time; it goes when the node joins again."""

    node: NodeName
    at: float

    def data(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def read(data: Data) -> "EvictedRow":
        return EvictedRow(data["node"], data["at"])


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

    travel: Travel = AS_USUAL
    rates: tuple[tuple[NetworkName, int], ...] = ()
    """The limits of networks, in bytes per second, as they were when it began."""

    priority: Priority | None = None
    """With one it could wait, and did for `queued_s`."""

    queued_s: float = 0.0
    predicted: Prediction | None = None

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
            "travel": travel_data(self.travel),
            "rates": [list(pair) for pair in self.rates],
            "priority": None if self.priority is None else self.priority.value,
            "queued_s": self.queued_s,
            "predicted": self.predicted and self.predicted.data(),
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
            travel=read_travel(data.get("travel")),
            rates=tuple((network, rate) for network, rate in data.get("rates", ())),
            priority=Priority(data["priority"]) if data.get("priority") else None,
            queued_s=data.get("queued_s", 0.0),
            predicted=Prediction.read(data.get("predicted")),
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
