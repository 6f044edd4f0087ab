"""What is answered over HTTP: the fields of the contract for scripts, and some more."""

from typing import Any

from pydantic import BaseModel, Field

from protocol.names import GroupState, NodeState, Outcome, ResourceState, Verify


class Quorum(BaseModel):
    mode: str | None
    votes: int
    present: int
    needed: int
    has_quorum: bool


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
    draining: bool
    paused: bool
    connected: bool
    incarnation: str | None
    memory_bytes: int
    memory_free_bytes: int
    lease_s: float | None
    tracker: str | None
    addresses: dict[str, str]
    routes: list[Route]


class Network(BaseModel):
    name: str
    state: str
    role: int
    metric: int
    subnet: str


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


class Group(GroupInStatus):
    resources: list[Resource]


class Status(BaseModel):
    cluster: str | None
    cluster_id: str | None
    leader: str | None = Field(description="null while this coordinator decides nothing")
    waiting: str = Field(description="why nothing is decided now; empty when it is")
    term: int
    quorum: Quorum
    nodes: list[NodeInStatus]
    networks: list[Network]
    groups: list[GroupInStatus]
    volumes: list[Any]
    available: list[str] = Field(description="connected nodes that belong to no cluster")
    view: dict[str, Any] | None


class Vm(BaseModel):
    name: str
    state: ResourceState
    node: str
    epoch: int
    memory_bytes: int
    workload: str
    fill: str
    seed: int
    steps: int = Field(description="what the guest has done so far")
    dirty_bytes_per_s: float
    running: bool
    holds: list[str]
    wish: str
    attempt: int | None
    reason: str = Field(description="why it failed, or waits")


class Round(BaseModel):
    round: int
    pages: int
    zero_pages: int
    wire_bytes: int
    seconds: float
    dirty_pages_at_end: int


class Live(BaseModel):
    step: str
    round: int | None
    pages_sent: int
    pages_total: int
    seconds: float


class Attempt(BaseModel):
    attempt: int
    vm: str
    source: str
    target: str | None
    network: str | None
    outcome: Outcome | None
    reason: str
    total_s: float | None
    blackout_s: float | None
    blackout: dict[str, float]
    rounds: list[Round]
    wire_bytes: int
    goodput_bytes_per_s: float
    verified: bool | None
    waited_s: float = Field(description="how long a copied guest ran on for want of a coordinator")
    predicted: Any
    policy: str
    verify: Verify
    decision: str
    state: str
    asked_at: float
    ended_at: float | None
    live: Live | None = Field(description="how far it is; null once it is over")


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
