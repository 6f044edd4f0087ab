"""Any value of a type, from its hints, so that a new message or field is tested without a word."""

import dataclasses
import enum
import types
import typing
from typing import Any, NewType

from hypothesis import strategies as st

from protocol.shapes import INT_MAX, INT_MIN, NUMBER_MAX

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(INT_MIN, INT_MAX),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    bytes: st.binary(max_size=40),
    bool: st.booleans(),
    types.NoneType: st.none(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """A strategy for every type that protocol/shapes.py knows."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    if isinstance(hint, NewType):
        if hint.__supertype__ is int:
            return st.integers(0, NUMBER_MAX)
        return values(hint.__supertype__)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        return st.builds(hint, **{f.name: values(hints[f.name]) for f in dataclasses.fields(hint)})
    if isinstance(hint, type) and issubclass(hint, enum.Flag):
        return st.sets(st.sampled_from(hint)).map(lambda flags: _sum(hint, flags))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    match typing.get_origin(hint), typing.get_args(hint):
        case origin, (item, last) if origin is tuple and last is Ellipsis:
            return st.lists(values(item), max_size=4).map(tuple)
        case origin, items if origin is tuple:
            return st.tuples(*(values(item) for item in items))
        case ((types.UnionType | typing.Union), members):
            return st.one_of(*(values(member) for member in members))
    raise TypeError(f"no strategy for {hint}")


def _sum(kind: Any, flags: set[Any]) -> Any:
    total = kind(0)
    for flag in flags:
        total |= flag
    return total
