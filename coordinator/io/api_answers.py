"""What is answered over HTTP: the fields of the contract for scripts, and some more."""

from typing import Any

from pydantic import BaseModel, Field

from coordinator.io.attempt_answers import Attempt
from protocol.names import (
    GroupState,
    NodeState,
    Outcome,
    Personality,
    ResourceState,
    WitnessKind,
)


class WitnessInStatus(BaseModel):
    name: str
    kind: WitnessKind
    state: str = Field(
        description="Held, Free, Contending, Other, Unreachable, Newer or Unknown: as the nodes"
        " that are heard find it"
    )
    holder: str | None = Field(description="the node that carries its vote")


class Quorum(BaseModel):
    mode: str | None
    votes: int
    present: int
    needed: int
    has_quorum: bool
    forced: bool = Field(description="an operator has sworn that no other node runs")
    may_fail: int = Field(description="how many votes may be lost yet")
    witness: WitnessInStatus | None


class WitnessInFull(WitnessInStatus):
    path: str
    votes: int
    counted: bool


class Voter(BaseModel):
    name: str
    votes: int
    weight: int
    state: NodeState
    counted: bool = Field(description="its votes are part of `present`")
    witness: str | None = Field(description="how this node finds the witness")


class QuorumInFull(Quorum):
    witness: WitnessInFull | None
    outlook: str = Field(description="what may fail yet, in a sentence")
    personality: Personality | None
    index: int = Field(description="of the vote configuration; each change adds one")
    pending: bool = Field(description="a changed configuration is still to hold")
    nodes: list[Voter]


class Property(BaseModel):
    name: str
    value: int | str
    default: int | str | None = None
    least: int | None = Field(None, description="null where there is no range")
    most: int | None = None
    unit: str = ""
    writable: bool = True
    meaning: str = ""


class NodeInStatus(BaseModel):
    name: str
    state: NodeState
    votes: int
    vms: list[str]


class Route(BaseModel):
    node: str
    network: str
    up: bool


class Node(NodeInStatus):
    id: int
    weight: int = Field(description="NodeWeight: 0 or 1")
    stopped: bool = Field(description="an operator has stopped its cluster service")
    draining: bool
    paused: bool
    migration_rate_bytes_per_s: int = Field(description="of all its migrations; 0: no limit")
    connected: bool
    incarnation: str | None
    memory_bytes: int
    memory_free_bytes: int
    lease_s: float | None
    tracker: str | None
    addresses: dict[str, str]
    routes: list[Route]


class NetworkInStatus(BaseModel):
    name: str
    state: str
    role: int
    metric: int
    subnet: str


class Interface(BaseModel):
    node: str
    address: str
    state: str


class Network(NetworkInStatus):
    auto_metric: bool
    gateway: bool = Field(description="its subnet has a default gateway")
    csv: bool = Field(description="it carries cluster and CSV traffic now")
    migration_rate_bytes_per_s: int = Field(
        description="of all migrations of one node on it; 0: no limit"
    )
    interfaces: list[Interface]


class MigrationNetworks(BaseModel):
    order: list[str] = Field(description="as it was set; empty leaves it to the default rule")
    exclude: list[str]
    effective: list[str] = Field(description="what a migration tries, the first to try first")
    warnings: list[str] = Field(description="a sentence for each")
    warning: str = Field(description="all of them together")


class GroupInStatus(BaseModel):
    name: str
    state: GroupState
    owner: str
    epoch: int


class Resource(BaseModel):
    name: str
    type: str
    state: ResourceState
    depends_on: list[str]
    group: str
    owner: str
    settings: dict[str, int | str | list[str]] = Field(description="by their names in the field")
    possible_owners: list[str]
    restarts: int = Field(description="in the present RestartPeriod")
    reason: str = Field(description="why it failed, or waits")


class Group(GroupInStatus):
    resources: list[Resource] = Field(description="in the order in which they come online")
    settings: dict[str, int | str | list[str]] = Field(description="by their names in the field")
    preferred_owners: list[str]
    reason: str = Field(description="why it failed, or waits")
    moving_to: str | None = Field(description="where it starts once it has stopped")
    failovers: int = Field(description="in the present FailoverPeriod")
    failover_limit: int
    retry_at: float | None = Field(description="when a failed group is tried again")


class Moved(Group):
    """The group, and where it is going."""

    node: str
    how: str = Field(description="cold: it starts there anew; at rest: it was not running")


class VolumeInStatus(BaseModel):
    name: str
    state: str = Field(description="direct, redirected, maintenance or offline")
    owner: str | None
    path: str = Field(description="the same on all nodes")


class VolumeOnNode(BaseModel):
    node: str
    access: str = Field(description="direct, redirected, queued, maintenance or offline")
    reason: str


class Volume(VolumeInStatus):
    disk: str
    disk_id: str
    epoch: int
    size_bytes: int
    free_bytes: int | None
    redirected: bool = Field(description="an operator has turned on redirected access")
    maintenance: bool
    vms: list[str] = Field(description="that have files there")
    being_removed: list[str] = Field(description="deleted VMs whose files have still to go")
    nodes: list[VolumeOnNode]
    moving_to: str | None
    reason: str = Field(description="why it is not online, or was not")


class DiskPaths(BaseModel):
    node: str
    up: int
    of: int
    registered: bool


class Disk(BaseModel):
    name: str = Field(description="of its resource; empty for one that is not clustered")
    id: str = Field(description="of the LUN")
    clustered: bool
    state: str
    role: str
    owner: str | None
    epoch: int
    size_bytes: int
    volume: str
    maintenance: bool
    content: str = Field(description="blank, ours, foreign, damaged or unknown")
    paths: list[DiskPaths]
    registered: list[str] = Field(description="lives that were granted the disk")
    to_be_fenced: list[str] = Field(description="lives whose keys must go before anything moves")
    moving_to: str | None
    reason: str = Field(description="why it is not online, or was not")


class Named(BaseModel):
    """What it was done to."""

    disk: str = ""
    volume: str = ""


class Checked(BaseModel):
    volume: str
    epoch: int
    files: int
    sound: bool
    findings: list[str] = Field(description="a sentence for each")


class VmDisk(BaseModel):
    volume: str
    path: str
    size_bytes: int


class Waiting(BaseModel):
    group: str
    reason: str


class Status(BaseModel):
    cluster: str | None
    cluster_id: str | None
    leader: str | None = Field(description="null while this coordinator decides nothing")
    waiting: str = Field(description="why nothing is decided now; empty when it is")
    term: int
    quorum: Quorum
    nodes: list[NodeInStatus]
    networks: list[NetworkInStatus]
    groups: list[GroupInStatus]
    volumes: list[VolumeInStatus]
    waits: list[Waiting] = Field(description="groups that ought to run and have no place")
    leader_api: str | None = Field(description="where the leader is asked, if it is another one")
    followers: list[str] = Field(description="coordinators that are known to stand by")
    available: list[str] = Field(description="connected nodes that belong to no cluster")
    view: dict[str, Any] | None


class StorageMove(BaseModel):
    move: int
    to: str
    state: str = Field(
        description="Copying, Switched, Aborted, or Closed once the node lives by it"
    )
    outcome: Outcome | None = Field(description="completed, failed or cancelled; null: undecided")
    reason: str
    copied_bytes: int
    total_bytes: int
    seconds: float


class StorageMoveAsked(BaseModel):
    vm: str
    move: int


class Vm(BaseModel):
    name: str
    state: ResourceState
    node: str
    epoch: int
    memory_bytes: int
    workload: str
    disks: list[VmDisk] = Field(description="its virtual disks on shared volumes")
    home: str = Field(description="the volume of its configuration; empty: on none")
    shared_storage: bool = Field(description="it can start on another node with its files")
    fill: str
    seed: int
    steps: int = Field(description="what the guest has done so far")
    dirty_bytes_per_s: float
    running: bool
    holds: list[str]
    wish: str
    attempt: int | None
    reason: str = Field(description="why it failed, or waits")
    storage_move: StorageMove | None = Field(None, description="the newest move of its files")


class LogEvent(BaseModel):
    index: int
    at: float
    id: int
    level: str
    node: str | None
    group: str | None
    text: str
    term: int
    epoch: int | None
    incarnation: str | None
    vm: str | None
    attempt: int | None


class Asked(BaseModel):
    attempt: int


class NodeNamed(BaseModel):
    node: str


class VmNamed(BaseModel):
    vm: str


class Problem(BaseModel):
    code: str
    message: str = Field(description="one sentence: what is wrong, and what would be right")


class Error(BaseModel):
    error: Problem
    record: Attempt | None = Field(None, description="of a migration that was refused")
