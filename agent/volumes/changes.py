"""What the journal says: each change of the metadata as its result, not as the wish that led to it.

A change names the blocks that were chosen, so replaying it asks nobody's choice again. One
operation is one change, and one change is whole or not there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import msgpack  # type: ignore[import-untyped]

from agent.volumes.errors import Damaged
from agent.volumes.extents import Extent


@dataclass(frozen=True, slots=True)
class FolderMade:
    file: int
    parent: int
    name: str


@dataclass(frozen=True, slots=True)
class FileMade:
    file: int
    parent: int
    name: str
    size_bytes: int
    extents: tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class Deleted:
    """Its blocks are free once no grant to it is left."""

    file: int


@dataclass(frozen=True, slots=True)
class Moved:
    """`replaced` is the file that had the name before, or 0."""

    file: int
    parent: int
    name: str
    replaced: int


@dataclass(frozen=True, slots=True)
class Grown:
    """`extents` are added at the end."""

    file: int
    size_bytes: int
    extents: tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class Truncated:
    file: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BecameWritten:
    """Blocks of the file, counted from its beginning."""

    file: int
    first: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Granted:
    """`vm` is empty where no VM stands behind the opening."""

    grant: int
    file: int
    holder: str
    writable: bool
    vm: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Returned:
    grant: int


@dataclass(frozen=True, slots=True)
class Fenced:
    """`holder` can write no more, so all that it held is returned."""

    holder: str


@dataclass(frozen=True, slots=True)
class LeaksMended:
    """Quarantine that waits for no grant is over."""


Change = (
    FolderMade
    | FileMade
    | Deleted
    | Moved
    | Grown
    | Truncated
    | BecameWritten
    | Granted
    | Returned
    | Fenced
    | LeaksMended
)

KINDS: tuple[type[Any], ...] = (
    *(FolderMade, FileMade, Deleted, Moved, Grown, Truncated, BecameWritten),
    *(Granted, Returned, Fenced, LeaksMended),
)
"""A kind's place is its number on the disk: add at the end, never reorder."""

NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
FIELDS = {kind: tuple((field.name, field.type) for field in fields(kind)) for kind in KINDS}

T = TypeVar("T", int, str, bool)


def flat(extents: Sequence[Extent]) -> list[int]:
    """Extents as plain numbers."""
    return [
        number
        for extent in extents
        for number in (extent.start, extent.blocks, int(extent.written))
    ]


def unflat(numbers: Any) -> tuple[Extent, ...]:
    if not isinstance(numbers, list) or len(numbers) % 3:
        raise Damaged("a list of extents in the metadata is not made of threes")
    for number in numbers:
        counted(number)
    return tuple(
        Extent(start, blocks, bool(written))
        for start, blocks, written in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
    )


def counted(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise Damaged(f"the metadata has {value!r} where a count belongs")
    return value


def written_as(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise Damaged(f"the metadata has {value!r} where a {kind.__name__} belongs")
    return value


def encode(change: Change) -> bytes:
    values: list[Any] = [NUMBERS[type(change)]]
    for name, _ in FIELDS[type(change)]:
        value = getattr(change, name)
        values.append(flat(value) if isinstance(value, tuple) else value)
    packed: bytes = msgpack.packb(values)
    return packed


def decode(payload: bytes) -> list[Change]:
    """All changes of a record, in their order."""
    unpacker = msgpack.Unpacker(strict_map_key=False)
    unpacker.feed(payload)
    try:
        return [_change(values) for values in unpacker]
    except (ValueError, msgpack.UnpackException) as exc:
        raise Damaged("a record of the journal is whole but makes no sense") from exc


def _change(values: Any) -> Change:
    if not isinstance(values, list) or not values or counted(values[0]) >= len(KINDS):
        raise Damaged("the journal has a change of a kind that this version does not know")
    kind = KINDS[values[0]]
    names = FIELDS[kind]
    if len(values) != len(names) + 1:
        raise Damaged(f"the journal has a {kind.__name__} with {len(values) - 1} fields")
    out: dict[str, Any] = {}
    for (name, type_), value in zip(names, values[1:], strict=True):
        if type_ is int:
            out[name] = counted(value)
        elif type_ is str:
            out[name] = written_as(value, str)
        elif type_ is bool:
            out[name] = written_as(value, bool)
        else:
            out[name] = unflat(value)
    change: Change = kind(**out)
    return change
