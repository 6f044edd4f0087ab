"""The codec says what it was sent and refuses everything else with a ProtocolError."""

import enum
import math
import tracemalloc
from dataclasses import dataclass, field
from typing import Any, NewType

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import codec, shapes
from protocol.codec import (
    FRAME_BYTES_MAX,
    MESSAGES,
    OLDEST_VERSION,
    PROTOCOL_VERSION,
    Registry,
    decode,
    encode,
    encode_frame,
)
from protocol.errors import (
    BadFrame,
    FrameTooBig,
    FrameTruncated,
    ProtocolError,
    UnknownMessage,
    VersionMismatch,
)
from protocol.messages import Ping
from protocol.names import ClusterId, Term
from protocol.shapes import NUMBER_MAX
from tests.protocol.building import values

PING = Ping(ClusterId("lab"), Term(3), 17)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Lamp(enum.Flag):
    LEFT = enum.auto()
    RIGHT = enum.auto()


Metres = NewType("Metres", int)


@dataclass(frozen=True, slots=True)
class Leaf:
    length: Metres


@dataclass(frozen=True, slots=True)
class Root:
    """Has a rule of its own, checked at birth."""

    depth: int

    def __post_init__(self) -> None:
        if self.depth < 0:
            raise ValueError("a root does not grow upwards")


@dataclass(frozen=True, slots=True)
class Fruit:
    ripe: bool


@dataclass(frozen=True, slots=True)
class Tree:
    """A field of every type that may travel."""

    count: int = 1
    height: float = 2.5
    name: str = "oak"
    seal: bytes = b"\x00\xff"
    tall: bool = True
    colour: Colour = Colour.RED
    lamps: Lamp = Lamp.LEFT
    leaf: Leaf = Leaf(Metres(3))
    leaves: tuple[Leaf, ...] = (Leaf(Metres(1)), Leaf(Metres(2)))
    pair: tuple[str, int] = ("x", 1)
    note: str | None = None
    best: Leaf | Fruit = Fruit(True)
    rest: Leaf | Fruit | None = None


TREES = Registry((Tree, Leaf, Root), version=1, oldest=1)


def wire(*fields: Any, name: str = "Tree", version: int = 1) -> bytes:
    body: bytes = msgpack.packb([name, *fields])
    return version.to_bytes(1, "big") + body


def tree_with(**changed: Any) -> bytes:
    """A tree's bytes with some fields replaced by plain data of one's choice."""
    plain: list[Any] = msgpack.unpackb(TREES.encode(Tree())[1:])
    names = list(Tree.__dataclass_fields__)
    for name, value in changed.items():
        plain[1 + names.index(name)] = value
    return wire(*plain[1:])


def test_the_bytes_are_version_name_and_fields() -> None:
    assert encode(PING) == b"\x01\x94\xa4Ping\xa3lab\x03\x11"
    assert encode_frame(PING) == b"\x00\x00\x00\x0d" + encode(PING)


@settings(max_examples=50, deadline=None)
@given(values(Tree))
def test_every_type_of_field_comes_back(tree: Tree) -> None:
    assert TREES.decode(TREES.encode(tree)) == tree


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"count": True}, r"Tree\.count: an int is wanted, not bool"),
        ({"count": 1.0}, r"Tree\.count: an int is wanted, not float"),
        ({"count": 2**63}, r"Tree\.count: an int of 64 bits"),
        ({"height": True}, r"Tree\.height: a float is wanted"),
        ({"height": math.nan}, "finite"),
        ({"height": math.inf}, "finite"),
        ({"name": b"oak"}, r"Tree\.name: a str is wanted, not bytes"),
        ({"name": "x" * (shapes.STRING_CHARS_MAX + 1)}, "characters"),
        ({"seal": "oak"}, "bytes is wanted"),
        ({"tall": 1}, "a bool is wanted"),
        ({"colour": "green"}, "a value of Colour"),
        ({"colour": ["red"]}, "a value of Colour"),
        ({"lamps": 4}, "flags of Lamp"),
        ({"lamps": -1}, "flags of Lamp"),
        ({"lamps": True}, "flags of Lamp"),
        ({"leaf": None}, "Leaf has 1 fields"),
        ({"leaf": [1, 2]}, "Leaf has 1 fields"),
        ({"leaves": [[1], ["2"]]}, r"Tree\.leaves: Leaf\.length: an int"),
        ({"leaves": 3}, "a list is wanted"),
        ({"pair": ["x"]}, "a list of 2"),
        ({"pair": ["x", 1, 1]}, "a list of 2"),
        ({"note": 3}, "a str is wanted"),
        ({"best": ["Nut", 1]}, "one of Leaf, Fruit"),
        ({"best": None}, "one of Leaf, Fruit"),
        ({"best": [["Leaf"], 1]}, "one of Leaf, Fruit"),
        ({"best": []}, "one of Leaf, Fruit"),
        ({"rest": ["Leaf"]}, "Leaf has 1 fields"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadFrame, match=sentence):
        TREES.decode(tree_with(**changed))


def test_what_breaks_its_own_rules_is_not_born() -> None:
    with pytest.raises(BadFrame, match="Root: a root does not grow upwards"):
        TREES.decode(wire(-1, name="Root"))


def test_an_int_is_taken_for_a_float() -> None:
    height = TREES.decode(tree_with(height=3)).height

    assert height == 3.0
    assert type(height) is float


@pytest.mark.parametrize("fields", [(), (1,), ("lab", 3), ("lab", 3, 17, 4)])
def test_missing_and_extra_fields_are_refused(fields: tuple[Any, ...]) -> None:
    with pytest.raises(BadFrame, match="Ping has 3 fields"):
        decode(wire(*fields, name="Ping"))


@pytest.mark.parametrize("name", ["Pong2", "Timing", "", "x" * 1000])
def test_an_unknown_name_is_an_unknown_message(name: str) -> None:
    with pytest.raises(UnknownMessage):
        decode(wire(name=name))


@pytest.mark.parametrize("plain", [None, 1, "Ping", [], [1], [None], [["Ping"]], [b"Ping"]])
def test_a_body_that_is_not_a_named_list_is_refused(plain: Any) -> None:
    with pytest.raises(BadFrame):
        decode(b"\x01" + msgpack.packb(plain))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",  # never used in msgpack
        b"\xdd\xff\xff\xff\xff",  # a list of 4 billion
        b"\xdb\xff\xff\xff\xff",  # a text of 4 GiB
        b"\xc6\xff\xff\xff\xff",  # bytes of 4 GiB
        b"\xdf\xff\xff\xff\xff",  # a map of 4 billion
        b"\x81\x01\x02",  # a map at all
        b"\xd4\x00\x00",  # an extension
        b"\xd6\xff\x00\x00\x00\x00",  # a timestamp
        b"\x91" * 2000,  # deeper than any message
        b"\x91\xa1\xff",  # no UTF-8
        encode(PING)[1:] + b"\x00",  # more than the message
        encode(PING)[1:-1],  # less than the message
    ],
)
def test_a_body_that_is_not_our_msgpack_is_refused(body: bytes) -> None:
    with pytest.raises(BadFrame):
        decode(b"\x01" + body)


def test_a_hostile_frame_costs_little_memory() -> None:
    nested = b"\x01" + b"\xdc\x10\x00" * ((FRAME_BYTES_MAX - 1) // 3)  # lists of 4096 lists of...
    tracemalloc.start()
    try:
        with pytest.raises(BadFrame):
            decode(nested)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 40 * 1024 * 1024


def test_a_tuple_longer_than_its_limit_is_refused_both_ways() -> None:
    leaves = (Leaf(Metres(1)),) * shapes.ITEMS_MAX
    assert TREES.decode(TREES.encode(Tree(leaves=leaves))) == Tree(leaves=leaves)

    with pytest.raises(BadFrame, match="at most 4096 items"):
        TREES.encode(Tree(leaves=(*leaves, Leaf(Metres(1)))))
    with pytest.raises(BadFrame):
        TREES.decode(tree_with(leaves=[[1]] * (shapes.ITEMS_MAX + 1)))


def test_no_bytes_at_all_are_a_truncation() -> None:
    with pytest.raises(FrameTruncated):
        decode(b"")


@pytest.mark.parametrize("version", [0, PROTOCOL_VERSION + 1, 255])
def test_a_version_that_is_not_spoken_is_refused_with_both_named(version: int) -> None:
    spoken = f"version {version}, this side {OLDEST_VERSION} to {PROTOCOL_VERSION}"

    with pytest.raises(VersionMismatch, match=spoken):
        decode(wire("lab", 3, 17, name="Ping", version=version))


def test_the_version_before_is_spoken_both_ways() -> None:
    @dataclass(frozen=True, slots=True)
    class Nest:
        eggs: int
        cuckoo: bool = field(default=False, metadata={"since": 3})

    nests = Registry((Nest,), version=3, oldest=2)

    assert nests.decode(b"\x02" + msgpack.packb(["Nest", 4])) == Nest(4, cuckoo=False)
    assert nests.decode(b"\x03" + msgpack.packb(["Nest", 4, True])) == Nest(4, cuckoo=True)
    assert nests.encode(Nest(4, cuckoo=True), version=2) == b"\x02" + msgpack.packb(["Nest", 4])
    for mixed in (b"\x02" + msgpack.packb(["Nest", 4, True]), b"\x03" + msgpack.packb(["Nest", 4])):
        with pytest.raises(BadFrame):
            nests.decode(mixed)
    with pytest.raises(VersionMismatch):
        nests.decode(b"\x01" + msgpack.packb(["Nest", 4]))


def test_one_version_back_is_spoken_and_no_more() -> None:
    assert OLDEST_VERSION in (PROTOCOL_VERSION, PROTOCOL_VERSION - 1)
    assert MESSAGES.oldest == OLDEST_VERSION


@pytest.mark.parametrize(
    "message",
    [
        Ping(ClusterId("lab"), Term(True), 17),
        Ping(ClusterId("lab"), Term(2**63), 17),
        Ping(ClusterId("\ud800"), Term(3), 17),
        Ping(ClusterId("x" * 5000), Term(3), 17),
    ],
)
def test_a_sender_refuses_what_a_receiver_would(message: Ping) -> None:
    with pytest.raises(BadFrame, match="Ping"):
        encode(message)


def test_only_messages_are_sent() -> None:
    with pytest.raises(UnknownMessage, match="Leaf is not a message"):
        MESSAGES.encode(Leaf(Metres(1)))


def test_a_message_larger_than_a_frame_is_refused_by_its_sender() -> None:
    @dataclass(frozen=True, slots=True)
    class Bag:
        stones: tuple[bytes, ...]

    bags = Registry((Bag,), version=1, oldest=1)
    stone = bytes(shapes.BYTES_MAX)

    with pytest.raises(FrameTooBig, match="split it"):
        bags.encode(Bag((stone,) * 16))
    assert bags.decode(bags.encode(Bag((stone,) * 15))) == Bag((stone,) * 15)


def test_a_datagram_larger_than_a_frame_is_refused() -> None:
    with pytest.raises(FrameTooBig):
        decode(b"\x01" + bytes(FRAME_BYTES_MAX))


@pytest.mark.parametrize("hint", [dict[str, int], list[int], int | str, object, Any])
def test_a_type_that_cannot_travel_is_found_at_the_start(hint: Any) -> None:
    with pytest.raises(TypeError):
        shapes.Shapes(1).of(hint)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_never_ends_in_another_exception(body: bytes) -> None:
    for data in (body, b"\x01" + body):
        with pytest.raises(ProtocolError):
            decode(data)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=10),
    st.binary(max_size=10),
)
plain_data = scalars | st.lists(scalars | st.lists(scalars, max_size=6), max_size=6)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(MESSAGES.kinds), st.lists(plain_data, max_size=16))
def test_well_named_nonsense_never_ends_in_another_exception(kind: type, fields: list[Any]) -> None:
    try:
        message = decode(wire(*fields, name=kind.__name__))
    except ProtocolError:
        return
    assert type(message) is kind


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_flipped_byte_gives_a_message_or_a_protocol_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(MESSAGES.kinds))
    good = bytearray(encode(data.draw(values(kind))))
    good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))

    try:
        message = decode(bytes(good))
    except ProtocolError:
        return
    assert codec.decode(encode(message)) == message


@pytest.mark.parametrize("number", [-1, NUMBER_MAX + 1])
def test_a_number_of_authority_is_bounded_far_from_the_end_of_ints(number: int) -> None:
    plain = msgpack.packb(["Ping", "lab", number, 17])

    with pytest.raises(BadFrame, match=r"Ping\.term: a number from 0 to"):
        decode(b"\x01" + plain)
    with pytest.raises(BadFrame):
        encode(Ping(ClusterId("lab"), Term(number), 17))
    assert encode(Ping(ClusterId("lab"), Term(NUMBER_MAX), 2**63 - 1))
