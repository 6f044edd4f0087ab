"""What operators may send to change how the cluster votes, connects and behaves."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, RootModel

from coordinator.io.api_models import (
    MODES,
    NODES_MAX,
    PATH_CHARS_MAX,
    Body,
    Name,
    Rate,
    WitnessBody,
)
from protocol.names import QuorumMode

SETTINGS_MAX = 64
METRIC_MAX = 0x0FFFFFFF

Setting = (
    Annotated[int, Field(ge=-(2**63), lt=2**63)] | Annotated[str, Field(max_length=PATH_CHARS_MAX)]
)
Settings = Setting | Annotated[list[Name], Field(max_length=NODES_MAX)]


class QuorumBody(Body):
    mode: QuorumMode = Field(description=MODES)
    witness: WitnessBody | None = Field(
        None, description="a witness: {name, kind, path}; without it the mode must need none"
    )


class ForceBody(Body):
    nodes: Annotated[list[Name], Field(min_length=1, max_length=NODES_MAX)] = Field(
        description="a list of the names of 1 to 64 configured nodes: those that shall run"
    )
    oath: bool = Field(
        description="true swears that no other node of the cluster runs anything; false does not"
    )


class WeightBody(Body):
    weight: int = Field(ge=0, le=1, description="the node's vote: 0 or 1")


class NetworkBody(Body):
    role: Literal[0, 1, 3] | None = Field(
        None, description="0 (not for the cluster), 1 (for the cluster) or 3 (clients, too)"
    )
    metric: int | None = Field(
        None, ge=1, le=METRIC_MAX, description=f"1 to {METRIC_MAX}; it makes auto_metric false"
    )
    auto_metric: bool | None = Field(
        None, description="true hands the metric back to the cluster; false keeps the one it has"
    )
    migration_rate: Rate | None = Field(
        None,
        description="what all migrations of one node send on it, such as 118MB/s; 0 for no limit",
    )


class LimitBody(Body):
    rate: Rate = Field(description="such as 118MB/s; 0 for no limit")


Names = Annotated[list[Name], Field(max_length=NODES_MAX)]


class MigrationNetworksBody(Body):
    order: Names = Field([], description="a list of networks, the first to try first")
    exclude: Names = Field([], description="a list of networks that migrations must not use")


class MoveBody(Body):
    to: Name | None = Field(
        None, description="the name of another node that is Up; without it placement chooses"
    )


class PropertiesBody(RootModel[dict[Name, Setting]]):
    """Properties by their names in the field, such as {"SameSubnetDelay": 500}."""

    model_config = ConfigDict(strict=True, frozen=True)
    root: Annotated[dict[Name, Setting], Field(min_length=1, max_length=SETTINGS_MAX)]


class SettingsBody(Body):
    settings: Annotated[dict[Name, Settings], Field(min_length=1, max_length=SETTINGS_MAX)] = Field(
        description='settings by their names in the field, such as {"FailoverThreshold": 2}'
    )


class AddDiskBody(Body):
    disk: Annotated[str, Field(min_length=1, max_length=PATH_CHARS_MAX)] = Field(
        description="the id of a disk that all nodes see"
    )


class OwnerBody(Body):
    to: Name | None = Field(
        None, description="the name of another node that is Up; without it the best one"
    )


class SwitchBody(Body):
    on: bool = Field(description="true turns it on, false off")


class OathBody(Body):
    oath: bool = Field(
        False, description="true swears that the nodes are off whose keys nobody can remove"
    )


class AddVolumeBody(Body):
    disk: Name = Field(description="a disk of Available Storage, by its name or its id")
    force: bool = Field(False, description="true formats it whatever it holds")


class RenameBody(Body):
    name: Name = Field(description="the new name of the volume's folder, such as Data")
