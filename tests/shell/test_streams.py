from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shell.streams import LINE_BYTES_MAX, EventReader, Heard, StreamTooLong

STREAM = (
    b': welcome\r\n\r\nevent: event\nid: 7\ndata: {"id": 1200,\ndata: "n": 1}\n\n'
    b":keepalive\n\nevent: gap\n\nevent: state\ndata:\n\ndata: plain\r\n\r\n"
)
HEARD = [
    Heard("event", "7", '{"id": 1200,\n"n": 1}'),
    Heard("state", "7", ""),
    Heard("message", "7", "plain"),
]


@given(cuts=st.sets(st.integers(0, len(STREAM))))
def test_events_are_the_same_however_the_stream_is_sliced(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    reader = EventReader()

    heard = [event for start, end in pairwise(edges) for event in reader.feed(STREAM[start:end])]

    assert heard == HEARD


def test_an_event_whose_end_has_not_come_is_not_told() -> None:
    assert EventReader().feed(b"data: half\n") == []


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(StreamTooLong):
        EventReader().feed(b"x" * (LINE_BYTES_MAX + 1))
