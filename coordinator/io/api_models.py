"""What operators may send over HTTP: what each field accepts."""

import math
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
)

from protocol.names import Fill, Personality, Priority, QuorumMode, Verify, WitnessKind, Workload
from protocol.travel import Compress, Marking
from protocol.workload import parse_rate, parse_seconds, parse_size, parse_workload

NAME_CHARS_MAX = 64
POLICY_CHARS_MAX = 256
"""Of a policy's name and all its numbers."""

TEXT_CHARS_MAX = 100
PATH_CHARS_MAX = 1024
MODES = ", ".join(mode.value for mode in QuorumMode)
KINDS = " or ".join(kind.value for kind in WitnessKind)
NODES_MAX = 64
PAGE_OF_EVENTS = 200
PAGE_OF_ATTEMPTS = 100
PAGE_MAX = 1000
DISKS_MAX = 16


def _size(value: object) -> object:
    return parse_size(_short(value)) if isinstance(value, str) else value


def _rate(value: object) -> object:
    return parse_rate(_short(value)) if isinstance(value, str) else value


def _seconds(value: object) -> object:
    return parse_seconds(_short(value)) if isinstance(value, str) else value


def _workload(value: object) -> Workload:
    if not isinstance(value, str):
        raise ValueError("it is no text")
    return parse_workload(_short(value))


def _moment(value: object) -> object:
    """Seconds as they are; a time without a zone is UTC. A plus sign may have become a space."""
    if not isinstance(value, str):
        return value
    try:
        seconds = float(_short(value))
    except ValueError:
        date, zone = value[:11], value[11:].replace(" ", "+")
        at = datetime.fromisoformat(date + zone)
        seconds = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(seconds):
        raise ValueError("it is no moment")
    return seconds


def _ids(value: object) -> object:
    if not isinstance(value, str):
        return value
    words = _short(value).split(",")
    if not all(word.isascii() and word.isdigit() for word in words):
        raise ValueError("it is no number")
    return tuple(map(int, words))


def _short(text: str) -> str:
    """What is off is said again in the refusal, which shall stay a sentence."""
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError(f"it is longer than {TEXT_CHARS_MAX} characters")
    return text


Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX)]
PolicyName = Annotated[str, Field(min_length=1, max_length=POLICY_CHARS_MAX)]
Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1}], "examples": ["1GiB"]}
    ),
]
Bytes = Annotated[
    int,
    BeforeValidator(_size),
    Field(ge=0, lt=2**63),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}], "examples": ["64MiB"]}
    ),
]
Rate = Annotated[
    int,
    BeforeValidator(_rate),
    Field(ge=0, lt=2**63),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}], "examples": ["118MB/s"]}
    ),
]
Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(ge=0),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "number", "minimum": 0}], "examples": ["20ms"]}
    ),
]
WorkloadText = Annotated[
    Workload,
    PlainValidator(_workload),
    WithJsonSchema({"type": "string", "examples": ["hotspot:rate=50MB/s,set=64MiB", "idle"]}),
]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Moment = Annotated[
    float,
    BeforeValidator(_moment),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}]}),
]
MOMENT = "seconds since 1970, or a time such as 2026-03-01T12:00:00Z"
EventIds = Annotated[
    tuple[int, ...],
    BeforeValidator(_ids),
    WithJsonSchema({"type": "string", "examples": ["1135", "1069,1205"]}),
]
Limit = Annotated[int, Field(ge=1, le=PAGE_MAX, description=f"1 to {PAGE_MAX}")]
Index = Annotated[int, Field(ge=0, lt=10**12, description="0, or the index of an event")]


class Body(BaseModel):
    """A JSON object; unknown fields and values of another type are mistakes, not silences."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Query(BaseModel):
    """Parameters behind the question mark; they come as text."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WitnessBody(Body):
    name: Name = Field("Witness", description="what to call it, 1 to 64 characters")
    kind: WitnessKind = Field(description=KINDS)
    path: Annotated[str, Field(min_length=1, max_length=PATH_CHARS_MAX)] = Field(
        description="the folder that every node reaches by this name, such as /srv/witness; or a"
        " disk of the SAN, such as Cluster Disk 2"
    )


class FormBody(Body):
    name: Name = Field(description="the cluster's name, 1 to 64 characters")
    nodes: Annotated[list[Name], Field(min_length=1, max_length=NODES_MAX)] = Field(
        description="a list of the names of 1 to 64 nodes that belong to no cluster"
    )
    delay_s: float | None = Field(
        None, gt=0, le=60, description="seconds between heartbeats, above 0 and at most 60"
    )
    threshold: int | None = Field(
        None, ge=1, le=120, description="missed heartbeats that make a route down, 1 to 120"
    )
    mode: QuorumMode | None = Field(
        None, description=f"{MODES}; without it the one that fits the nodes and the witness"
    )
    witness: WitnessBody | None = Field(None, description="a witness: {name, kind, path}")
    personality: Personality = Field(
        Personality.R2008, description="2008r2 (static votes) or 2012r2 (dynamic quorum)"
    )


class JoinBody(Body):
    node: Name = Field(description="the name of a node that belongs to no cluster")


class PauseBody(Body):
    drain: bool = Field(False, description="true or false; true also moves its VMs away")


class CreateBody(Body):
    name: Name = Field(
        description="1 to 64 letters, digits, hyphens, underscores and dots, such as sql01"
    )
    memory: Size = Field(
        description="a multiple of 4096 bytes, such as 1GiB or 512MiB or a number of bytes"
    )
    node: Name | None = Field(
        None, description="the name of a node that is Up; without it placement chooses"
    )
    workload: WorkloadText = Field(
        Workload("idle"),
        description="a workload's name and settings, such as hotspot:rate=50MB/s,set=64MiB or idle",
        json_schema_extra={"default": "idle"},
    )
    fill: Fill = Field(Fill.RANDOM, description="random, files or zero")
    start: bool = Field(True, description="true or false")
    volume: Name | None = Field(
        None,
        description="the name of a shared volume for its files, such as Volume1; without it the one"
        " with the most room, if there is any",
    )
    local: bool = Field(
        False, description="true or false; true keeps the VM off shared storage, on its one node"
    )
    disk_resource: Name | None = Field(
        None,
        description="a disk of Available Storage for its files, such as Cluster Disk 2; it moves"
        " with the VM",
    )
    disks: Annotated[list[Size], Field(max_length=DISKS_MAX)] = Field(
        [], description="a list of sizes of virtual disks on that volume, such as [1GiB]"
    )
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="0 to 2^63-1; without it one is drawn at random"
    )


class MigrateBody(Body):
    to: Name | None = Field(
        None, description="the name of another node that is Up; without it placement chooses"
    )
    policy: PolicyName = Field(
        "2008r2", description="the name of a policy, such as 2008r2, or NAME:number=VALUE,..."
    )
    verify: Verify = Field(Verify.OFF, description="off, sampled or full")
    streams: Count | None = Field(
        None,
        description="how many connections carry pages, 1 to 16; here and below what is left"
        " out is the cluster's default",
    )
    compress: Compress | None = Field(None, description="off, auto or zstd")
    level: Count | None = Field(None, description="of zstd, 1 to 19")
    delta: Bytes | None = Field(
        None,
        description="how much memory the source may spend on remembering what it sent, such"
        " as 64MiB; 0 for none",
    )
    kept: bool | None = Field(
        None, description="true or false; true does not send what the target still has"
    )
    checksum: bool | None = Field(None, description="true or false: a checksum on every batch")
    stripe: bool | None = Field(
        None, description="true or false; true spreads streams over as many networks as answer"
    )
    marking: Marking | None = Field(None, description="round, sent or peek")
    rate: Rate | None = Field(
        None,
        description="the most that all its streams together send, such as 118MB/s; 0 for no limit",
    )
    downtime: Seconds | None = Field(None, description="the pause to aim at, such as 20ms")
    priority: Priority | None = Field(
        None,
        description="high, medium or low: it waits where it would be refused because others"
        " are under way",
    )


class MoveStorageBody(Body):
    to: Name = Field(description="the name of another shared volume, such as Volume2")


class LogQuery(Query):
    after: Index | None = Field(
        None, description="the index of an event; without it the newest events are told"
    )
    limit: Limit = PAGE_OF_EVENTS
    since: Moment | None = Field(None, description=f"{MOMENT}; events from before are left out")
    until: Moment | None = Field(None, description=f"{MOMENT}; events from behind are left out")
    level: Literal["info", "warning", "error", "critical"] | None = Field(
        None, description="info, warning, error or critical: the least grave that is told"
    )
    node: Name | None = Field(None, description="the name of a node")
    id: EventIds | None = Field(
        None, description="the id of an event, or several with commas between them"
    )
    group: Name | None = Field(None, description="the name of a group")


class FeedQuery(Query):
    after: Index | None = Field(
        None, description="the index of the last event that is known; without it only new ones come"
    )


class AttemptsQuery(Query):
    vm: Name | None = Field(None, description="the name of a VM")
    limit: Limit = PAGE_OF_ATTEMPTS
