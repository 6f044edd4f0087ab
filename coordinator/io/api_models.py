"""What operators may send over HTTP: what each field accepts, each mistake in one sentence."""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
)

from protocol.names import Fill, Verify, Workload
from protocol.workload import parse_size, parse_workload

NAME_CHARS_MAX = 64
TEXT_CHARS_MAX = 100
NODES_MAX = 64
PAGE_OF_EVENTS = 200
PAGE_OF_ATTEMPTS = 100
PAGE_MAX = 1000


def _size(value: object) -> object:
    return parse_size(_short(value)) if isinstance(value, str) else value


def _workload(value: object) -> Workload:
    if not isinstance(value, str):
        raise ValueError("it is no text")
    return parse_workload(_short(value))


def _short(text: str) -> str:
    """What is off is said again in the refusal, which shall stay a sentence."""
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError(f"it is longer than {TEXT_CHARS_MAX} characters")
    return text


Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX)]
Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1}], "examples": ["1GiB"]}
    ),
]
WorkloadText = Annotated[
    Workload,
    PlainValidator(_workload),
    WithJsonSchema({"type": "string", "examples": ["hotspot:rate=50MB/s,set=64MiB", "idle"]}),
]
Limit = Annotated[int, Field(ge=1, le=PAGE_MAX, description=f"1 to {PAGE_MAX}")]
Index = Annotated[int, Field(ge=0, lt=10**12, description="0, or the index of an event")]


class Body(BaseModel):
    """A JSON object; unknown fields and values of another type are mistakes, not silences."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Query(BaseModel):
    """Parameters behind the question mark; they come as text."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


class JoinBody(Body):
    node: Name = Field(description="the name of a node that belongs to no cluster")


class PauseBody(Body):
    drain: bool = Field(
        False, description="true or false; true also moves its VMs away, one after the other"
    )


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
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="0 to 2^63-1; without it one is drawn at random"
    )


class MigrateBody(Body):
    to: Name | None = Field(
        None, description="the name of another node that is Up; without it placement chooses"
    )
    policy: Name = Field("2008r2", description="the name of a policy, such as 2008r2")
    verify: Verify = Field(Verify.OFF, description="off, sampled or full")


class LogQuery(Query):
    after: Index | None = Field(
        None, description="the index of an event; without it the newest events are told"
    )
    limit: Limit = PAGE_OF_EVENTS


class FeedQuery(Query):
    after: Index | None = Field(
        None, description="the index of the last event that is known; without it only new ones come"
    )


class AttemptsQuery(Query):
    vm: Name | None = Field(None, description="the name of a VM")
    limit: Limit = PAGE_OF_ATTEMPTS


def sentence_of(error: ValidationError, model: type[BaseModel]) -> str:
    """The first mistake: which field, what is wrong with it, and what would be right."""
    first = error.errors(include_url=False)[0]
    where, kind = first["loc"], first["type"]
    if kind == "json_invalid":
        return f"The body is not JSON: {first['ctx']['error']}."
    if not where:
        return f"The body must be a JSON object with {_known(model)}."
    name = str(where[0])
    shown = name if name.isprintable() and len(name) <= NAME_CHARS_MAX else repr(name)[:80]
    if kind == "extra_forbidden":
        return f"There is no field {shown!r} here: there is {_known(model)}."
    right = model.model_fields[name].description or "as the API's documentation says"
    if kind == "missing":
        return f"The field {name!r} is missing: it is {right}."
    if kind == "value_error":
        return f"The field {name!r} is wrong: {first['ctx']['error']}; it is {right}."
    item = f", item {where[1]}," if len(where) > 1 and isinstance(where[1], int) else ""
    return f"The field {name!r}{item} is wrong ({_lower(first['msg'])}): it is {right}."


def _known(model: type[BaseModel]) -> str:
    names = list(model.model_fields)
    return "no field at all" if not names else ", ".join(names)


def _lower(words: Any) -> str:
    text = str(words)
    return text[:1].lower() + text[1:]
