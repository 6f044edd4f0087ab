"""The parts of a topology that say how its cluster decides: votes, properties, coordinators."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from coordinator.membership.properties import PROPERTIES
from lab.marked_yaml import did_you_mean
from protocol.names import QuorumMode, WitnessKind

COORDINATORS_MAX = 7
MODES = tuple(mode.value for mode in QuorumMode)
WITNESS_OF = {
    QuorumMode.NODE_AND_DISK.value: "disk",
    QuorumMode.NODE_AND_SHARE.value: "share",
    QuorumMode.DISK_ONLY.value: "disk",
}
"""Which kind of witness a mode needs; one that is not here has none."""


class Part(BaseModel):
    """A mapping of the file: immutable, and every key is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _mode(value: object) -> object:
    if value not in MODES:
        raise ValueError(f"{value!r} is no quorum mode: {did_you_mean(str(value), MODES)}")
    return value


def _plain(name: str) -> str:
    if not 1 <= len(name) <= 64 or not name.isprintable() or "/" in name or name.startswith("."):
        raise ValueError(
            f"{name!r} is no name of a witness: use 1 to 64 characters, without / and no dot first"
        )
    return name


Mode = Annotated[
    Literal["NodeMajority", "NodeAndDiskMajority", "NodeAndFileShareMajority", "DiskOnly"],
    BeforeValidator(_mode),
]
WitnessName = Annotated[str, AfterValidator(_plain)]


class WitnessPart(Part):
    """A LUN of the san, or a folder of the lab's own, outside of all nodes' folders: one of the two
    kinds.
    """

    disk: WitnessName | None = Field(
        default=None,
        description="Keeps a copy of the cluster database. The san's LUN of this name, if any.",
    )
    share: WitnessName | None = Field(default=None, description="Keeps only its index.")

    @property
    def kind(self) -> WitnessKind:
        return WitnessKind.SHARE if self.disk is None else WitnessKind.DISK

    @property
    def name(self) -> str:
        return self.disk or self.share or ""


class Quorum(Part):
    """Whose votes decide whether the cluster may run."""

    mode: Mode | None = Field(default=None, description="Left out: what fits nodes and witness.")
    witness: WitnessPart | None = None


class Coordinator(Part):
    """Where a coordinator is reached."""

    networks: tuple[str, ...] | None = Field(default=None, description="Left out: all networks.")


def _counted(value: object) -> object:
    """A number stands for so many coordinators on all networks, called c1, c2 and so on."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if not 1 <= value <= COORDINATORS_MAX:
        raise ValueError(f"there are {value} coordinators: a lab has 1 to {COORDINATORS_MAX}")
    return {f"c{number}": {} for number in range(1, value + 1)}


Counted = BeforeValidator(_counted, json_schema_input_type=int | dict[str, Coordinator | None])


def why_no_property(name: str, value: Any, personality: str) -> str:
    """Why a property cannot be set so; empty if it can."""
    entry = PROPERTIES.get(name)
    if entry is None:
        return f"there is no property {name!r}: {did_you_mean(name, PROPERTIES)}"
    if not entry.writable:
        return f"{name} cannot be set: it says {entry.meaning}"
    if entry.personality.value == "2012r2" and personality != "2012r2":
        return f"{name} is a property of 2012 R2: set personality: 2012r2, or leave it out"
    if entry.words and str(value).lower() not in entry.words:
        return f"{name} is {value!r}: {did_you_mean(str(value), entry.words)}"
    size = len(value) if entry.is_text and isinstance(value, str) else value
    least, most = entry.least or 0, entry.most or 0
    if isinstance(size, bool) or not isinstance(size, int) or not least <= size <= most:
        unit = f" {entry.unit}" if entry.unit else " characters" if entry.is_text else ""
        return f"{name} is {value!r}: it is {least} to {most}{unit}"
    return ""
