"""Every message survives the wire and any slicing. New ones are found through the registry."""

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import MESSAGES, decode, encode, encode_frame
from protocol.framing import FrameReader
from protocol.messages import Message
from tests.protocol.building import values

each_kind = pytest.mark.parametrize("kind", MESSAGES.kinds, ids=lambda kind: str(kind.__name__))


@each_kind
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_message_comes_back_as_it_was_sent(kind: type, data: st.DataObject) -> None:
    message = data.draw(values(kind))

    back = decode(encode(message))

    assert back == message
    assert type(back) is kind
    assert same_types(back, message)


@settings(max_examples=50, deadline=None)
@given(
    messages=st.lists(st.one_of([values(kind) for kind in MESSAGES.kinds]), max_size=5),
    cuts=st.lists(st.floats(0, 1), max_size=20),
)
def test_messages_survive_any_slicing_of_the_stream(
    messages: list[Message], cuts: list[float]
) -> None:
    stream = b"".join(encode_frame(message) for message in messages)
    edges = [0, *sorted(int(cut * len(stream)) for cut in cuts), len(stream)]

    reader, got = FrameReader(), list[Message]()
    for start, end in pairwise(edges):
        got += reader.feed(stream[start:end])
    reader.end()

    assert got == messages


@each_kind
def test_a_message_cannot_be_changed(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)


def same_types(left: Any, right: Any) -> bool:
    """Equality that tells 1 from True and 1.0, which == does not."""
    if dataclasses.is_dataclass(left):
        names = [field.name for field in dataclasses.fields(left)]
        return all(same_types(getattr(left, name), getattr(right, name)) for name in names)
    if isinstance(left, tuple):
        return all(same_types(one, other) for one, other in zip(left, right, strict=True))
    return type(left) is type(right)
