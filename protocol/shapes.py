"""How a value of a type looks on the wire: plain lists, texts and numbers, by its type hints.

A shape is made once for each type when a program starts, so that a message costs a few function
calls and nothing is looked up. Both directions are equally strict: what a receiver would refuse,
a sender refuses to send. Dataclasses become lists of their fields in order; a union of dataclasses
begins with the name of the one it is. A field that came with version n says so:
`field(default=..., metadata={"since": n})`, and a frame of an older version goes without it.
"""

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple, NewType, NoReturn

from protocol.errors import BadFrame

INT_MAX = 2**63 - 1
INT_MIN = -(2**63)
NUMBER_MAX = 2**53
"""Of terms, views, epochs and attempts, which are types of their own: far from where an int of 64
bits ends, so that a number that follows one from the wire can always be sent.
"""

STRING_CHARS_MAX = 4096
BYTES_MAX = 64 * 1024
ITEMS_MAX = 4096
"""Of one tuple. With msgpack's own limit of nesting it bounds what a hostile frame costs."""

Turn = Callable[[Any], Any]


class Shape(NamedTuple):
    """The two ways of a type: `pack` makes plain data, `unpack` checks it and turns it back."""

    pack: Turn
    unpack: Turn


def _misfit(wanted: str, got: object) -> NoReturn:
    # Names the type and not the value, which may be long, secret or unprintable.
    raise BadFrame(f"{wanted} is wanted, not {type(got).__name__}")


def _int(value: Any) -> Any:
    if type(value) is not int:  # a bool is an int to isinstance, but not to us
        _misfit("an int", value)
    if not INT_MIN <= value <= INT_MAX:
        raise BadFrame("an int of 64 bits with a sign is wanted, not a longer one")
    return value


def _number(value: Any) -> Any:
    if not 0 <= _int(value) <= NUMBER_MAX:
        raise BadFrame(f"a number from 0 to {NUMBER_MAX} is wanted")
    return value


def _float(value: Any) -> Any:
    if type(value) is int:
        value = float(_int(value))
    elif type(value) is not float:
        _misfit("a float", value)
    if not math.isfinite(value):
        raise BadFrame("a finite float is wanted, not infinity or NaN")
    return value


def _str(value: Any) -> Any:
    if type(value) is not str:
        _misfit("a str", value)
    if len(value) > STRING_CHARS_MAX:
        raise BadFrame(f"a str has at most {STRING_CHARS_MAX} characters, not {len(value)}")
    return value


def _bytes(value: Any) -> Any:
    if type(value) is not bytes:
        _misfit("bytes", value)
    if len(value) > BYTES_MAX:
        raise BadFrame(f"a field has at most {BYTES_MAX} bytes, not {len(value)}")
    return value


def _bool(value: Any) -> Any:
    if value is not True and value is not False:
        _misfit("a bool", value)
    return value


def _none(value: Any) -> Any:
    if value is not None:
        _misfit("None", value)
    return value


_PLAIN: dict[Any, Turn] = {
    int: _int,
    float: _float,
    str: _str,
    bytes: _bytes,
    bool: _bool,
    types.NoneType: _none,
}


def _flag(kind: type[enum.Flag]) -> Shape:
    every = 0
    for member in kind:
        every |= member.value

    def pack(value: Any) -> Any:
        return value.value if type(value) is kind else _misfit(kind.__name__, value)

    def unpack(plain: Any) -> Any:
        if type(plain) is not int or plain & ~every:
            raise BadFrame(f"a sum of flags of {kind.__name__} is wanted")
        return kind(plain)

    return Shape(pack, unpack)


def _enum(kind: type[enum.Enum]) -> Shape:
    by_value = {(type(member.value), member.value): member for member in kind}

    def pack(value: Any) -> Any:
        return value.value if type(value) is kind else _misfit(kind.__name__, value)

    def unpack(plain: Any) -> Any:
        member = by_value.get((type(plain), plain)) if type(plain) in (str, int) else None
        if member is None:
            raise BadFrame(f"a value of {kind.__name__} is wanted")
        return member

    return Shape(pack, unpack)


def _optional(inner: Shape) -> Shape:
    def pack(value: Any) -> Any:
        return None if value is None else inner.pack(value)

    def unpack(plain: Any) -> Any:
        return None if plain is None else inner.unpack(plain)

    return Shape(pack, unpack)


def _sequence(item: Shape) -> Shape:
    def turn(values: Any, kind: Any, one: Turn) -> list[Any]:
        if type(values) is not kind:
            _misfit(f"a {kind.__name__}", values)
        if len(values) > ITEMS_MAX:
            raise BadFrame(f"a tuple has at most {ITEMS_MAX} items, not {len(values)}")
        return [one(value) for value in values]

    return Shape(
        lambda value: turn(value, tuple, item.pack),
        lambda plain: tuple(turn(plain, list, item.unpack)),
    )


def _fixed(items: tuple[Shape, ...]) -> Shape:
    def turn(values: Any, kind: Any, turns: list[Turn]) -> list[Any]:
        if type(values) is not kind or len(values) != len(turns):
            _misfit(f"a {kind.__name__} of {len(turns)}", values)
        return [one(value) for one, value in zip(turns, values, strict=True)]

    packs, unpacks = [item.pack for item in items], [item.unpack for item in items]
    return Shape(
        lambda value: turn(value, tuple, packs),
        lambda plain: tuple(turn(plain, list, unpacks)),
    )


class Shapes:
    """The shapes of all types as one protocol version has them."""

    def __init__(self, version: int) -> None:
        self.version = version
        self._made: dict[Any, Shape] = {}

    def of(self, hint: Any) -> Shape:
        """The shape of `hint`; one that cannot travel is a `TypeError`: our bug, seen at import."""
        if hint not in self._made:
            self._made[hint] = self._make(hint)
        return self._made[hint]

    def tagged(self, kinds: tuple[type, ...]) -> tuple[dict[type, Turn], dict[str, Turn]]:
        """For a choice among dataclasses: how to pack by type, and how to unpack by name."""
        assert len({kind.__name__ for kind in kinds}) == len(kinds), "two dataclasses share a name"
        made = {kind: self._fields(kind, tag=True) for kind in kinds}
        return (
            {kind: shape.pack for kind, shape in made.items()},
            {kind.__name__: shape.unpack for kind, shape in made.items()},
        )

    def _make(self, hint: Any) -> Shape:
        if turn := _PLAIN.get(hint):
            return Shape(turn, turn)
        if isinstance(hint, NewType):
            if hint.__supertype__ is int:
                return Shape(_number, _number)
            return self.of(hint.__supertype__)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return self._fields(hint, tag=False)
        if isinstance(hint, type) and issubclass(hint, enum.Flag):
            return _flag(hint)
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return _enum(hint)
        match typing.get_origin(hint), typing.get_args(hint):
            case origin, (item, last) if origin is tuple and last is Ellipsis:
                return _sequence(self.of(item))
            case origin, items if origin is tuple:
                return _fixed(tuple(self.of(item) for item in items))
            case ((types.UnionType | typing.Union), members):
                return self._union(members)
        raise TypeError(f"{hint} cannot go over the wire: see protocol/shapes.py for what can")

    def _union(self, members: tuple[Any, ...]) -> Shape:
        kinds = tuple(member for member in members if member is not types.NoneType)
        if len(kinds) == 1:
            return _optional(self.of(kinds[0]))
        if not all(dataclasses.is_dataclass(kind) for kind in kinds):
            raise TypeError(f"{members}: only dataclasses can be told apart in a union")
        packs, unpacks = self.tagged(kinds)

        def pack(value: Any) -> Any:
            if turn := packs.get(type(value)):
                return turn(value)
            return _misfit(" or ".join(unpacks), value)

        def unpack(plain: Any) -> Any:
            name = plain[0] if type(plain) is list and plain else None
            if type(name) is str and (turn := unpacks.get(name)):
                return turn(plain)
            raise BadFrame(f"one of {', '.join(unpacks)} is wanted")

        shape = Shape(pack, unpack)
        return shape if len(kinds) == len(members) else _optional(shape)

    def _fields(self, kind: Any, tag: bool) -> Shape:
        hints = typing.get_type_hints(kind)
        names = [
            field.name
            for field in dataclasses.fields(kind)
            if field.metadata.get("since", 0) <= self.version
        ]
        for field in dataclasses.fields(kind):
            has_default = field.default is not dataclasses.MISSING
            assert field.name in names or has_default, f"a later {field.name} needs a default"
        packs = [(name, self.of(hints[name]).pack) for name in names]
        unpacks = [(name, self.of(hints[name]).unpack) for name in names]
        head = [kind.__name__] if tag else []
        skip, length = len(head), len(head) + len(names)

        def pack(value: Any) -> Any:
            if type(value) is not kind:
                _misfit(kind.__name__, value)
            plain: list[Any] = head.copy()
            try:
                for name, turn in packs:
                    plain.append(turn(getattr(value, name)))
            except BadFrame as exc:
                raise BadFrame(f"{kind.__name__}.{names[len(plain) - skip]}: {exc}") from None
            return plain

        def unpack(plain: Any) -> Any:
            if type(plain) is not list or len(plain) != length:
                raise BadFrame(f"{kind.__name__} has {len(names)} fields, this has others")
            values: dict[str, Any] = {}
            try:
                for name, turn in unpacks:
                    values[name] = turn(plain[len(values) + skip])
            except BadFrame as exc:
                raise BadFrame(f"{kind.__name__}.{names[len(values)]}: {exc}") from None
            try:
                return kind(**values)
            except ValueError as exc:  # the type's own rules, checked at birth
                raise BadFrame(f"{kind.__name__}: {exc}") from None

        return Shape(pack, unpack)
