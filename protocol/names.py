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
VolumeName = NewType("VolumeName", str)
"""The folder of a shared volume under the root that all nodes have, such as `Volume1`."""

Incarnation = NewType("Incarnation", str)
"""One life of one agent: never used twice, not even by the same node."""

NO_VOLUME = VolumeName("")

AttemptId = NewType("AttemptId", int)
Epoch = NewType("Epoch", int)
Term = NewType("Term", int)
ViewNumber = NewType("ViewNumber", int)

PAGE_BYTES = 4096

POLICIES = ("2008r2", "downtime", "clark", "auto-converge", "ramp", "post-copy")
"""How a migration may decide about its rounds; the first is the default. Numbers may follow the
name after a colon; the name of a node's own plug-in has a dot in it.
"""


class NodeState(enum.Enum):
    """What the cluster makes of a node, as the cluster's administrator reads it."""

    UP = "Up"
    DOWN = "Down"
    JOINING = "Joining"
    PAUSED = "Paused"


class QuorumMode(enum.Enum):
    """Whose votes decide whether the cluster may run: the four modes of 2008 R2."""

    NODE_MAJORITY = "NodeMajority"
    NODE_AND_DISK = "NodeAndDiskMajority"
    NODE_AND_SHARE = "NodeAndFileShareMajority"
    DISK_ONLY = "DiskOnly"


class WitnessKind(enum.Enum):
    """A disk witness keeps a copy of the cluster database, a file share witness only its index."""

    DISK = "Disk"
    SHARE = "FileShare"


class WitnessState(enum.Enum):
    """How a node finds the witness of its vote configuration."""

    UNKNOWN = "it has not been looked at yet"
    UNREACHABLE = "it cannot be read or written"
    FREE = "nobody holds it"
    OTHER = "another node holds it"
    CONTENDING = "this node waits for the promises of its last holder to run out"
    HELD = "this node holds it, and carries its vote"
    NEWER = "it knows a newer vote configuration or view than this node lives by"


class Personality(enum.Enum):
    """Whose rules of quorum the cluster follows."""

    R2008 = "2008r2"
    R2012 = "2012r2"


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


class Priority(enum.Enum):
    """Which of the migrations that wait begins first."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        return list(Priority).index(self)


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
    PULL = "S14"


@dataclass(frozen=True, slots=True)
class Workload:
    """What a guest does: `name` at `rate_bytes_per_s` dirtied over a working set of `set_bytes`.

    A rate, set or block of 0 means the workload's own default; `idle` ignores all. Guests with a
    disk write it in blocks of `block_bytes`.
    """

    name: str
    rate_bytes_per_s: int = 0
    set_bytes: int = 0
    block_bytes: int = 0


@dataclass(frozen=True, slots=True)
class VmDisk:
    """A virtual disk: the file `path` on `volume`, which holds `size_bytes` for the guest."""

    volume: VolumeName
    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class VmSpec:
    """All that makes a VM; `seed` determines what its memory is filled with and what its guest
    writes. `home`: the volume of its configuration; empty for one that is not on shared storage.
    """

    memory_bytes: int
    workload: Workload
    fill: Fill
    seed: int
    disks: tuple[VmDisk, ...] = ()
    home: VolumeName = NO_VOLUME

    @property
    def pages(self) -> int:
        return self.memory_bytes // PAGE_BYTES

    @property
    def volumes(self) -> tuple[VolumeName, ...]:
        """All volumes that it needs, each once."""
        named = (self.home, *(disk.volume for disk in self.disks))
        return tuple(dict.fromkeys(volume for volume in named if volume))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node's agent is reached: one address for each network, the same ports on all of
    them.
    """

    addresses: tuple[tuple[NetworkName, str], ...]
    heartbeat_port: int
    migration_port: int
    csv_port: int = 0
    """Where it serves the volumes that it owns; 0: it serves none."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node in a view, in one of its lives."""

    node: NodeName
    incarnation: Incarnation
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Witness:
    """A voter that is no node: the folder `path`, which every node reaches by the same name.

    Its vote is carried by the node that holds it (docs/protocol.md, the witness).
    """

    name: str
    kind: WitnessKind
    path: str


@dataclass(frozen=True, slots=True)
class VoteConfig:
    """Who has how many votes.

    Configured nodes count whether they are up or down (2008 R2 is static); in disk-only mode no
    node has any. A witness that is configured counts `witness_votes`, which is 1 but where a
    dynamic witness has been taken out of the sum.
    """

    index: int
    votes: tuple[tuple[NodeName, int], ...]
    mode: QuorumMode = QuorumMode.NODE_MAJORITY
    witness: Witness | None = None
    witness_votes: int = 0
    forced: bool = False
    """An operator has sworn that no other node runs: only these votes count until more return."""

    @property
    def total(self) -> int:
        return sum(votes for _, votes in self.votes) + self.witness_votes

    @property
    def needed(self) -> int:
        """The least number of votes that is more than half of all."""
        return self.total // 2 + 1


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

    grace_s: float = 30.0
    """How long the guests of a node without a lease stay paused before they are turned off."""

    arbitration_max_s: float = 20.0
    """How long a node tries to take the witness (QuorumArbitrationTimeMax)."""

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

    @property
    def witness_hold_s(self) -> float:
        """How long the witness stays its holder's after the last renewal was begun.

        One promise, and two renewals that may fail in between.
        """
        return self.support_s + 2 * self.delay_s
