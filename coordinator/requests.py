"""What operators ask of the cluster, and what they are answered.

The API translates HTTP to these and back.
"""

from dataclasses import dataclass, field
from typing import Any

from coordinator.forecast_requests import EstimateDrain as EstimateDrain
from coordinator.forecast_requests import EstimateRequest
from coordinator.forecast_requests import EstimateVm as EstimateVm
from protocol.disks import DiskId
from protocol.names import (
    AttemptId,
    NetworkName,
    NodeName,
    Personality,
    Priority,
    QuorumMode,
    Timing,
    Verify,
    VmName,
    VmSpec,
    Witness,
)


@dataclass(frozen=True, slots=True)
class FormCluster:
    """Make one cluster of nodes that belong to none (New-Cluster)."""

    name: str
    nodes: tuple[NodeName, ...]
    timing: Timing = field(default_factory=Timing)
    mode: QuorumMode | None = None
    """None: the mode that fits the number of nodes and the witness, as the field chooses it."""

    witness: Witness | None = None
    personality: Personality = Personality.R2008


@dataclass(frozen=True, slots=True)
class JoinNode:
    """Let a node that belongs to no cluster join this one (Add-ClusterNode)."""

    node: NodeName


@dataclass(frozen=True, slots=True)
class CreateVm:
    """Add a VM with its group and two resources; `node` None leaves the choice to placement.

    Unless it is to be `local` its files go to a shared volume, where there is one: the one that is
    named, else the one with the most room. `disk`: of Available Storage, which is to belong to the
    group and carry the VM's files.
    """

    vm: VmName
    spec: VmSpec
    node: NodeName | None
    start: bool
    local: bool = False
    disk: str = ""


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
    """Move a running VM to `target` (None: placement chooses), if need be when others have ended.

    `travel`: choices of protocol.travel.Travel by name; others are the cluster's defaults.
    """

    vm: VmName
    target: NodeName | None
    policy: str
    verify: Verify
    travel: tuple[tuple[str, Any], ...] = ()
    priority: Priority | None = None


@dataclass(frozen=True, slots=True)
class CancelAttempt:
    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class PauseNode:
    """Take a node out of placement (Suspend-ClusterNode); `drain` also moves its VMs away."""

    node: NodeName
    drain: bool


@dataclass(frozen=True, slots=True)
class ResumeNode:
    node: NodeName


@dataclass(frozen=True, slots=True)
class SetProperty:
    """A common property of the cluster, by its name in the field: `(Get-Cluster).X = value`."""

    name: str
    value: int | str


@dataclass(frozen=True, slots=True)
class SetProperties:
    """Several of them at once: all are set, or none."""

    settings: tuple[tuple[str, int | str], ...]


@dataclass(frozen=True, slots=True)
class SetQuorum:
    """Change mode and witness while the cluster runs (Set-ClusterQuorum)."""

    mode: QuorumMode
    witness: Witness | None


@dataclass(frozen=True, slots=True)
class SetWeight:
    """NodeWeight: 0 takes the node's vote away, 1 gives it back."""

    node: NodeName
    weight: int


@dataclass(frozen=True, slots=True)
class LimitNode:
    """How fast all migrations of a node may be together; 0 for no limit."""

    node: NodeName
    migration_rate_bytes_per_s: int


@dataclass(frozen=True, slots=True)
class ForceQuorum:
    """Run without a quorum on `nodes` (Start-ClusterNode -FixQuorum).

    `oath`: the operator swears that no other node of the cluster runs anything.
    """

    nodes: tuple[NodeName, ...]
    oath: bool


@dataclass(frozen=True, slots=True)
class EvictNode:
    """Remove a node and its vote for good (Remove-ClusterNode)."""

    node: NodeName


@dataclass(frozen=True, slots=True)
class StopNode:
    """Stop the cluster service of a node (Stop-ClusterNode): its groups move, then it is Down."""

    node: NodeName


@dataclass(frozen=True, slots=True)
class StartNode:
    """Start it again (Start-ClusterNode): it joins when it can."""

    node: NodeName


@dataclass(frozen=True, slots=True)
class SetNetwork:
    """Change what is not None. A metric makes AutoMetric false; `auto_metric` takes it back."""

    network: NetworkName
    role: int | None = None
    metric: int | None = None
    auto_metric: bool | None = None
    migration_rate_bytes_per_s: int | None = None


@dataclass(frozen=True, slots=True)
class SetMigrationNetworks:
    """For all VMs: which networks live migration tries, in which order, and which it must not use.

    An empty order leaves it to the default rule.
    """

    order: tuple[NetworkName, ...]
    exclude: tuple[NetworkName, ...]


@dataclass(frozen=True, slots=True)
class SetGroup:
    """Settings of a group by their names in the field, such as ("FailoverThreshold", 2)."""

    group: VmName
    settings: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class SetResource:
    """Settings of one resource by their names in the field, such as ("RestartAction", 1)."""

    resource: str
    settings: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class MoveGroup:
    """Take the group offline here and online there (Move-ClusterGroup); None: the best node."""

    group: VmName
    node: NodeName | None


@dataclass(frozen=True, slots=True)
class FailResource:
    """Let one resource fail once, so that its policy applies (Test-ClusterResourceFailure)."""

    resource: str


@dataclass(frozen=True, slots=True)
class AddClusterDisk:
    """Make a disk that all nodes see a resource of Available Storage (Add-ClusterDisk)."""

    disk: DiskId


@dataclass(frozen=True, slots=True)
class RemoveClusterDisk:
    """Take it out of the cluster again. Disks are named by their resource or their id."""

    disk: str


@dataclass(frozen=True, slots=True)
class MoveClusterDisk:
    """Give it another owner (None: the best); `is_volume` for Move-ClusterSharedVolume."""

    disk: str
    node: NodeName | None
    is_volume: bool = False


@dataclass(frozen=True, slots=True)
class MaintainDisk:
    """Turn its maintenance mode on or off; `is_volume` if only a shared volume is meant."""

    disk: str
    on: bool
    is_volume: bool = False


@dataclass(frozen=True, slots=True)
class ForceDisk:
    """Let it be given away although keys of nodes that left are on it.

    `oath`: the operator swears that these nodes are off.
    """

    disk: str
    oath: bool


@dataclass(frozen=True, slots=True)
class AddSharedVolume:
    """From Available Storage (Add-ClusterSharedVolume); `force` formats over what is there."""

    disk: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class RemoveSharedVolume:
    """Back to Available Storage (Remove-ClusterSharedVolume)."""

    volume: str


@dataclass(frozen=True, slots=True)
class RenameSharedVolume:
    """Another name for its folder."""

    volume: str
    name: str


@dataclass(frozen=True, slots=True)
class RedirectVolume:
    """Turn redirected access on or off."""

    volume: str
    on: bool


@dataclass(frozen=True, slots=True)
class CheckSharedVolume:
    """Have the owner check the file system; answered once it has."""

    volume: str


@dataclass(frozen=True, slots=True)
class MoveVmStorage:
    """Move the files of a running VM to another volume (Move-VMStorage)."""

    vm: VmName
    volume: str


@dataclass(frozen=True, slots=True)
class CancelStorageMove:
    vm: VmName


StorageRequest = (
    MoveVmStorage
    | CancelStorageMove
    | AddClusterDisk
    | RemoveClusterDisk
    | MoveClusterDisk
    | MaintainDisk
    | ForceDisk
    | AddSharedVolume
    | RemoveSharedVolume
    | RenameSharedVolume
    | RedirectVolume
    | CheckSharedVolume
)
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
    | SetProperty
    | SetProperties
    | SetQuorum
    | SetWeight
    | LimitNode
    | ForceQuorum
    | EvictNode
    | StopNode
    | StartNode
    | SetNetwork
    | SetMigrationNetworks
    | SetGroup
    | SetResource
    | MoveGroup
    | FailResource
    | StorageRequest
    | EstimateRequest
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """It is written in the store. `body` is plain data for the asker, such as {"attempt": 3}."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Declined:
    """It was not done, nor half done; `status` is the HTTP status that fits (4xx, 503)."""

    status: int
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may or may not have been done: look before asking again."""

    sentence: str


Response = Accepted | Declined | Unknown
