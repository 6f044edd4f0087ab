"""The topology file: what a lab is made of, checked before anything is started."""

import importlib.resources
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from lab.errors import TopologyError
from lab.marked_yaml import MarkedYaml, Place, did_you_mean, dotted, read_yaml
from lab.topology_checks import check
from lab.topology_parts import Coordinator, Counted, Part, Quorum, WitnessPart
from lab.topology_san import Chap, Lun, San, networks_of_san
from protocol import names
from protocol.workload import format_size, format_workload, parse_size, parse_workload

METRIC_MAX = 0x0FFFFFFF


def check_name(name: str) -> str:
    """Return `name` if a lab, node, network or VM may be called so; ValueError says what may."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
        raise ValueError(
            f"{name!r} is no name: use 1 to 32 of a-z, 0-9 and -, with no - at either end"
        )
    return name


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is no size: write it like 1GiB, 512MiB or 4096 (bytes)")
    return parse_size(str(value))


def _memory(size_bytes: int) -> int:
    if size_bytes <= 0 or size_bytes % names.PAGE_BYTES:
        raise ValueError(
            f"{size_bytes} bytes is no memory size: "
            f"choose a multiple of {names.PAGE_BYTES} above 0, such as 1GiB"
        )
    return size_bytes


def _seconds(value: object) -> float:
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?) ?(ms|s)", str(value))
    if match is None:
        raise ValueError(f"{value!r} is no time: write it like 1000ms or 1s")
    seconds = float(match[1]) * (0.001 if match[2] == "ms" else 1.0)
    if not 0.02 <= seconds <= 60:
        raise ValueError(f"{value} is out of range: choose 20ms to 60s")
    return seconds


def _subnet(value: object) -> IPv4Network:
    try:
        network = IPv4Network(str(value), strict=False)
    except ValueError as exc:
        raise ValueError(f"{value!r} is no subnet: write it like 10.0.1.0/24") from exc
    if "/" not in str(value) or str(network) != str(value):
        raise ValueError(f"{value!r} is not the name of a subnet: {network} is")
    return network


def _workload(value: object) -> str:
    return format_workload(parse_workload(value if isinstance(value, str) else str(value)))


def _empty_if_null(value: object) -> object:
    return {} if value is None else value


_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(B|[kKMGT]B|[KMGT]iB)?$"},
        {"type": "integer", "minimum": 1},
    ],
    "examples": ["1GiB", "512MiB", 4294967296],
}
_TIME_SCHEMA = {"type": "string", "pattern": r"^[0-9.]+ ?(ms|s)$", "examples": ["1000ms"]}
_SUBNET_SCHEMA = {"type": "string", "examples": ["10.0.1.0/24"]}
_WORKLOAD_SCHEMA = {"type": "string", "examples": ["idle", "hotspot:rate=50MB/s,set=64MiB"]}

Name = Annotated[str, AfterValidator(check_name)]
Memory = Annotated[
    int, BeforeValidator(_size), AfterValidator(_memory), WithJsonSchema(_SIZE_SCHEMA)
]
Seconds = Annotated[float, BeforeValidator(_seconds), WithJsonSchema(_TIME_SCHEMA)]
Subnet = Annotated[IPv4Network, BeforeValidator(_subnet), WithJsonSchema(_SUBNET_SCHEMA)]
WorkloadText = Annotated[str, BeforeValidator(_workload), WithJsonSchema(_WORKLOAD_SCHEMA)]
Role = Literal["None", "Cluster", "ClusterAndClient"]


class Timing(Part):
    """The clocks that the cluster lives by."""

    delay: Seconds = Field(default=1.0, description="Between two heartbeats (SameSubnetDelay).")
    threshold: int = Field(
        default=5, ge=2, le=120, description="Missed beats that make a route down."
    )


class Network(Part):
    """One IP subnet, joined by one NIC of each node that names it."""

    subnet: Subnet
    role: Role | None = Field(
        default=None,
        description="Who may use it; left out: ClusterAndClient with a gateway, else Cluster.",
    )
    metric: int | None = Field(
        default=None,
        ge=1,
        le=METRIC_MAX,
        description="Lowest: CSV; second lowest: live migration; left out: automatic.",
    )
    gateway: bool = Field(default=False, description="Whether it has a default gateway.")


class Node(Part):
    """A node: its memory for VMs, and its NICs."""

    memory: Memory = Field(default=4 * 2**30, description="What its VMs may take together.")
    kept: Memory | None = Field(
        default=None, description="Beside that: what it may keep of VMs that left; out: nothing."
    )
    networks: tuple[Name, ...] | None = Field(default=None, description="Left out: all networks.")


class Vm(Part):
    """A VM that is created once the cluster has formed."""

    memory: Memory
    node: Name | None = Field(default=None, description="Left out: the cluster places it.")
    workload: WorkloadText = Field(default="idle", description="What its guest does.")
    fill: Literal["random", "files", "zero"] = Field(
        default="random", description="What its memory holds at first."
    )

    @property
    def guest(self) -> names.Workload:
        return parse_workload(self.workload)


OfNode = Annotated[Node, BeforeValidator(_empty_if_null, json_schema_input_type=Node | None)]
OfCoordinator = Annotated[
    Coordinator, BeforeValidator(_empty_if_null, json_schema_input_type=Coordinator | None)
]
ONE_COORDINATOR = "coordinator"


class Topology(Part):
    """All that a lab is made of. Made by `parse_topology`, which also checks how its parts fit."""

    name: Name = Field(description="What the lab and its cluster are called.")
    timing: Timing = Timing()
    networks: Mapping[Name, Network]
    nodes: Mapping[Name, OfNode]
    quorum: Quorum = Quorum()
    personality: Literal["2008r2", "2012r2"] = Field(
        default="2008r2", description="Static votes, or dynamic quorum."
    )
    properties: Mapping[str, int | str] = Field(
        default_factory=dict, description="Cluster properties by the names of the field."
    )
    store: Literal["sqlite", "etcd"] = Field(
        default="sqlite", description="Where the coordinators keep what they decide."
    )
    coordinator: Coordinator = Coordinator()
    coordinators: Annotated[Mapping[Name, OfCoordinator], Counted] = Field(
        default_factory=dict, description="Several, of which one leads: how many, or by name."
    )
    san: San | None = Field(default=None, description="Shared disks behind a real iSCSI target.")
    vms: Mapping[Name, Vm] = Field(default_factory=dict)
    policies: tuple[str, ...] = Field(
        default=(), description="Python files with migration policies, beside this file."
    )

    @property
    def clocks(self) -> names.Timing:
        return names.Timing(delay_s=self.timing.delay, threshold=self.timing.threshold)

    def networks_of(self, node: str) -> tuple[str, ...]:
        """The networks that `node` has NICs on, in the file's order of networks."""
        return self._ordered(self.nodes[node].networks)

    @property
    def all_coordinators(self) -> Mapping[str, Coordinator]:
        return self.coordinators or {ONE_COORDINATOR: self.coordinator}

    def networks_of_coordinator(self, name: str) -> tuple[str, ...]:
        return self._ordered(self.all_coordinators[name].networks)

    @property
    def networks_of_san(self) -> tuple[str, ...]:
        """The networks on which the san has a portal."""
        return networks_of_san(self)

    def _ordered(self, chosen: Sequence[str] | None) -> tuple[str, ...]:
        return tuple(name for name in self.networks if chosen is None or name in chosen)

    def role(self, network: str) -> Role:
        """The role as given, or as a cluster of 2008 R2 sets it: clients come in by the gateway."""
        given = self.networks[network]
        return given.role or ("ClusterAndClient" if given.gateway else "Cluster")

    def metrics(self) -> dict[str, int]:
        """Each metric; automatic ones count by 100 from 1000, with a gateway from 10000."""
        metrics, automatic = {}, {False: 1000, True: 10000}
        for name, network in self.networks.items():
            if network.metric is not None:
                metrics[name] = network.metric
                continue
            metrics[name] = automatic[network.gateway]
            automatic[network.gateway] += 100
        return metrics

    def called(self, name: str) -> "Topology":
        """The same lab under another name; TopologyError if it may not be called so."""
        try:
            return self.model_copy(update={"name": check_name(name)})
        except ValueError as exc:
            raise TopologyError(str(exc)) from exc


def parse_topology(text: str, source: str = "topology") -> Topology:
    """Read a topology; TopologyError names line and remedy of the first thing that is off."""
    document = read_yaml(text, source)
    if not isinstance(document.data, dict):
        raise document.error((), "a topology is a mapping with the keys name, networks and nodes")
    try:
        topology = Topology.model_validate(document.data)
    except pydantic.ValidationError as exc:
        found = [_problem(error, document) for error in exc.errors(include_url=False)]
    else:
        found = list(check(topology))
    if found:
        raise document.error(*min(found, key=lambda problem: document.line(problem[0])))
    return topology


def load_topology(path: Path) -> Topology:
    """Read the topology file at `path`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text in UTF-8"
        raise TopologyError(f"cannot read the topology {path}: {reason}") from exc
    topology = parse_topology(text, str(path))
    found = [str((path.parent / policy).resolve()) for policy in topology.policies]
    for policy in found:
        if not Path(policy).is_file():
            raise TopologyError(f"{path}: policies: there is no file {policy}")
    return topology.model_copy(update={"policies": tuple(found)})


def builtins() -> tuple[str, ...]:
    """The names of the topologies that come with hvlab."""
    folder = importlib.resources.files("lab") / "topologies"
    files = sorted(file.name for file in folder.iterdir())
    return tuple(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))


def builtin(name: str) -> Topology:
    """The topology of that name that comes with hvlab."""
    if name not in builtins():
        raise TopologyError(
            f"there is no topology {name!r}: give a file, or one of {', '.join(builtins())}"
        )
    file = importlib.resources.files("lab") / "topologies" / f"{name}.yaml"
    return parse_topology(file.read_text(encoding="utf-8"), f"{name}.yaml")


def find_topology(name_or_path: str) -> Topology:
    """What `hvlab up` was given: a file if it looks like one or exists, else a built-in name."""
    path = Path(name_or_path)
    looks_like_file = path.suffix in (".yaml", ".yml") or "/" in name_or_path
    return load_topology(path) if looks_like_file or path.is_file() else builtin(name_or_path)


def dump_topology(topology: Topology) -> str:
    """The text that `parse_topology` reads back as the same topology."""
    data = topology.model_dump(mode="json", exclude_defaults=True)
    if "delay" in data.get("timing", {}):
        data["timing"]["delay"] = f"{topology.timing.delay:.6f}s"
    for part in (*data["nodes"].values(), *data.get("vms", {}).values()):
        for size in {"memory", "kept"} & part.keys():
            part[size] = format_size(part[size])
    for lun in data.get("san", {}).get("luns", ()):
        lun["size"] = format_size(lun["size"])
    return yaml.safe_dump(data, sort_keys=False)


def topology_schema() -> dict[str, Any]:
    """The JSON schema of the file, for editors; what it cannot say, `parse_topology` checks."""
    schema = Topology.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


_PARTS: dict[Place, type[Part]] = {
    (): Topology,
    ("timing",): Timing,
    ("coordinator",): Coordinator,
    ("coordinators", "*"): Coordinator,
    ("quorum",): Quorum,
    ("quorum", "*"): WitnessPart,
    ("networks", "*"): Network,
    ("nodes", "*"): Node,
    ("vms", "*"): Vm,
    ("san",): San,
    ("san", "chap"): Chap,
    ("san", "luns", "*"): Lun,
}


def _keys_at(place: Place) -> list[str]:
    pattern = place if place in _PARTS else (*place[:-1], "*")
    return list(_PARTS[pattern].model_fields)


def _problem(error: Any, document: MarkedYaml) -> tuple[Place, str]:
    """Where pydantic found something off, and the sentence for it."""
    place: Place = tuple(part for part in error["loc"] if part != "[key]")
    around, last = place[:-1], str(place[-1]) if place else ""
    where = dotted(place)
    match error["type"]:
        case "extra_forbidden":
            hint = did_you_mean(last, _keys_at(around))
            within = f" in {dotted(around)}" if around else ""
            return place, f"unknown key {last!r}{within}: {hint}"
        case "missing":
            return around, f"{dotted(around) or 'the file'} lacks the key {last!r}: add it"
        case "value_error":
            return place, f"{where}: {error['ctx']['error']}"
        case "literal_error":
            hint = did_you_mean(str(error["input"]), re.findall("'([^']+)'", error["msg"]))
            near = f": {hint}" if hint.startswith("did you mean") else ""
            return place, f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}{near}"
        case "model_type" | "dict_type" | "mapping_type":
            return place, f"{where} must hold keys with values, such as those in docs/topology.md"
        case _:
            return place, f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}"
