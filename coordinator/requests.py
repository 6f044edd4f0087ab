"""What operators ask of the cluster, and what they are answered.

The API translates HTTP to these and back.
"""

from dataclasses import dataclass, field
from typing import Any

from protocol.names import AttemptId, NodeName, Timing, Verify, VmName, VmSpec


@dataclass(frozen=True, slots=True)
class FormCluster:
    """Make one cluster of nodes that belong to none (New-Cluster)."""

    name: str
    nodes: tuple[NodeName, ...]
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True, slots=True)
class JoinNode:
    """Let a node that belongs to no cluster join this one (Add-ClusterNode)."""

    node: NodeName


@dataclass(frozen=True, slots=True)
class CreateVm:
    """Add a VM with its group and two resources; `node` None leaves the choice to placement."""

    vm: VmName
    spec: VmSpec
    node: NodeName | None
    start: bool


@dataclass(frozen=True, slots=True)
class DeleteVm:
    vm: VmName


@dataclass(frozen=True, slots=True)
class StartVm:
    vm: VmName


@dataclass(frozen=True, slots=True)
class StopVm:
    vm: VmName


@dataclass(frozen=True, slots=True)
class MigrateVm:
    """Move a running VM to `target` (None: placement chooses)."""

    vm: VmName
    target: NodeName | None
    policy: str
    verify: Verify


@dataclass(frozen=True, slots=True)
class CancelAttempt:
    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class PauseNode:
    """Take a node out of placement (Suspend-ClusterNode); `drain` also moves its VMs away, one
    after the other.
    """

    node: NodeName
    drain: bool


@dataclass(frozen=True, slots=True)
class ResumeNode:
    node: NodeName


Request = (
    FormCluster
    | JoinNode
    | CreateVm
    | DeleteVm
    | StartVm
    | StopVm
    | MigrateVm
    | CancelAttempt
    | PauseNode
    | ResumeNode
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """It is written in the store. `body` is plain data for the asker (for a migration:
    {"attempt": id}).
    """

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Declined:
    """It was not done, and nothing of it is half done.

    `status` is the HTTP status that fits (4xx, 503).
    """

    status: int
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may or may not have been done: look before asking again."""

    sentence: str


Response = Accepted | Declined | Unknown
