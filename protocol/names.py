"""The words that programs share. One word for one thing: see docs/architecture.md for the
glossary.
"""

import enum
from dataclasses import dataclass
from typing import NewType

ClusterId = NewType("ClusterId", str)
NodeName = NewType("NodeName", str)
VmName = NewType("VmName", str)
NetworkName = NewType("NetworkName", str)

Incarnation = NewType("Incarnation", str)
"""One life of one agent: never used twice, not even by the same node."""

AttemptId = NewType("AttemptId", int)
Epoch = NewType("Epoch", int)
Term = NewType("Term", int)
ViewNumber = NewType("ViewNumber", int)

PAGE_BYTES = 4096

POLICIES = ("2008r2",)
"""How a migration may decide when to stop its rounds; the first is the default."""


class NodeState(enum.Enum):
    """What the cluster makes of a node, as the cluster's administrator reads it."""

    UP = "Up"
    DOWN = "Down"
    JOINING = "Joining"
    PAUSED = "Paused"


class ResourceState(enum.Enum):
    """The state of one resource of a group."""

    ONLINE = "Online"
    OFFLINE = "Offline"
    FAILED = "Failed"
    ONLINE_PENDING = "OnlinePending"
    OFFLINE_PENDING = "OfflinePending"


class GroupState(enum.Enum):
    """The state of a group, which follows from the states of its resources."""

    ONLINE = "Online"
    OFFLINE = "Offline"
    FAILED = "Failed"
    PARTIAL_ONLINE = "PartialOnline"
    PENDING = "Pending"


class Hold(enum.Flag):
    """Why a guest may not run. It runs only while it has none; each is released only by what set
    it.
    """

    NONE = 0
    OPERATOR = enum.auto()
    LEASE = enum.auto()
    ATTEMPT = enum.auto()
    FAULT = enum.auto()


class Fill(enum.Enum):
    """What a new VM's memory holds before its guest's first step."""

    RANDOM = "random"
    FILES = "files"
    ZERO = "zero"


class Verify(enum.Enum):
    """How much of the memory is compared at the switch of a migration."""

    OFF = "off"
    SAMPLED = "sampled"
    FULL = "full"


class Outcome(enum.Enum):
    """How an attempt ended, for the people who asked for it."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


class Decision(enum.Enum):
    """The attempt's row in the store: open until exactly one compare-and-set wins."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


class Step(enum.Enum):
    """The steps of a migration, by the names that events, faults, traces and docs use."""

    REQUEST = "S1"
    ADMISSION = "S2"
    RESERVE = "S3"
    CONNECT = "S4"
    FIRST_ROUND = "S5"
    ROUND = "S6"
    STOP_DECISION = "S7"
    PAUSE = "S8"
    LAST_PAGES = "S9"
    STORAGE = "S10"
    COMMIT = "S11"
    RESUME = "S12"
    ANNOUNCE = "S13"


@dataclass(frozen=True, slots=True)
class Workload:
    """What a guest does: `name` at `rate_bytes_per_s` dirtied over a working set of `set_bytes`.

    A rate or set of 0 means the workload's own default; `idle` ignores both.
    """

    name: str
    rate_bytes_per_s: int = 0
    set_bytes: int = 0


@dataclass(frozen=True, slots=True)
class VmSpec:
    """All that makes a VM; `seed` determines what its memory is filled with and what its guest
    writes.
    """

    memory_bytes: int
    workload: Workload
    fill: Fill
    seed: int

    @property
    def pages(self) -> int:
        return self.memory_bytes // PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node's agent is reached: one address for each network, the same ports on all of
    them.
    """

    addresses: tuple[tuple[NetworkName, str], ...]
    heartbeat_port: int
    migration_port: int


@dataclass(frozen=True, slots=True)
class Member:
    """A node in a view, in one of its lives."""

    node: NodeName
    incarnation: Incarnation
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class VoteConfig:
    """Who has how many votes.

    Configured nodes count whether they are up or down (2008 R2 is static).
    """

    index: int
    votes: tuple[tuple[NodeName, int], ...]
    mode: str = "NodeMajority"

    @property
    def needed(self) -> int:
        """The least number of votes that is more than half of all."""
        return sum(votes for _, votes in self.votes) // 2 + 1


@dataclass(frozen=True, slots=True)
class View:
    """The numbered membership: who is in, in which life, and under which vote configuration."""

    number: ViewNumber
    members: tuple[Member, ...]
    votes: VoteConfig

    def incarnation_of(self, node: NodeName) -> Incarnation | None:
        return next((m.incarnation for m in self.members if m.node == node), None)


@dataclass(frozen=True, slots=True)
class Timing:
    """The clocks that a cluster lives by. All agents of a cluster use the same values."""

    delay_s: float = 1.0
    """Between two heartbeats to one peer on one network (SameSubnetDelay)."""

    threshold: int = 5
    """Missed heartbeats that make a route down (SameSubnetThreshold)."""

    drift_rate: float = 0.005
    """How far a clock's rate may be off; promises are waited out with this allowance."""

    @property
    def support_s(self) -> float:
        """How long one promise of support lasts (L)."""
        return self.delay_s * self.threshold

    @property
    def outlast_s(self) -> float:
        """How long one waits on one's own clock to be sure that a promise of L ran out on any
        other.
        """
        return self.support_s * (1 + self.drift_rate) / (1 - self.drift_rate)
