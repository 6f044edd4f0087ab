"""The reader believes no length, waits for no rest that is too much, and loses no message."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import FRAME_BYTES_MAX, LENGTH, encode_frame
from protocol.errors import FrameTooBig, FrameTruncated, ProtocolError, VersionMismatch
from protocol.framing import FrameReader
from protocol.messages import Message, Ping
from protocol.names import ClusterId, Term

PING = Ping(ClusterId("lab"), Term(3), 17)
FRAME = encode_frame(PING)


def test_a_frame_may_come_byte_by_byte() -> None:
    reader = FrameReader()

    assert [reader.feed(FRAME[i : i + 1]) for i in range(len(FRAME))] == [
        *([[]] * (len(FRAME) - 1)),
        [PING],
    ]


def test_a_frame_of_4_gib_is_refused_by_its_length_alone() -> None:
    with pytest.raises(FrameTooBig, match=r"4294967295 bytes, at most 1048576"):
        FrameReader().feed(b"\xff\xff\xff\xff")


def test_the_limit_itself_is_still_waited_for() -> None:
    reader = FrameReader()

    assert reader.feed(LENGTH.pack(FRAME_BYTES_MAX)) == []
    with pytest.raises(FrameTooBig):
        FrameReader().feed(LENGTH.pack(FRAME_BYTES_MAX + 1))


def test_a_smaller_limit_can_be_set() -> None:
    with pytest.raises(FrameTooBig):
        FrameReader(limit=8).feed(FRAME)


def test_messages_before_a_fault_are_given_out_first() -> None:
    reader = FrameReader()

    assert reader.feed(FRAME + FRAME + b"\xff\xff\xff\xff" + FRAME) == [PING, PING]
    with pytest.raises(FrameTooBig):
        reader.feed(b"")


def test_nothing_is_read_after_a_fault() -> None:
    reader = FrameReader()

    for _ in range(2):
        with pytest.raises(VersionMismatch):
            reader.feed(b"\0\0\0\x02\x63\x90" + FRAME)
    with pytest.raises(VersionMismatch):
        reader.end()


def test_an_end_between_frames_is_no_fault() -> None:
    reader = FrameReader()
    reader.feed(FRAME)

    reader.end()

    assert reader.fault is None


@pytest.mark.parametrize("length", [1, 4, len(FRAME) - 1])
def test_an_end_within_a_frame_is_a_truncation(length: int) -> None:
    reader = FrameReader()
    reader.feed(FRAME[:length])

    with pytest.raises(FrameTruncated):
        reader.end()


@pytest.mark.parametrize("size", [0, 1])
def test_a_frame_too_small_for_a_message_is_a_protocol_error(size: int) -> None:
    with pytest.raises(ProtocolError):
        FrameReader().feed(LENGTH.pack(size) + b"\x01" * size)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=50),
            st.just(FRAME),
            st.binary(max_size=30).map(lambda body: LENGTH.pack(len(body)) + body),
            st.binary(max_size=30).map(lambda body: LENGTH.pack(len(body) + 1) + b"\x01" + body),
        ),
        max_size=8,
    )
)
def test_garbage_gives_the_same_messages_and_fault_in_any_slicing(parts: list[bytes]) -> None:
    stream = b"".join(parts)

    whole = outcome([stream])
    assert whole == outcome(parts)
    assert whole == outcome([stream[i : i + 1] for i in range(len(stream))])


def outcome(slices: list[bytes]) -> tuple[list[Message], str]:
    """What comes out of a stream: messages and the fault's name."""
    reader, got = FrameReader(), list[Message]()
    try:
        for data in slices:
            got += reader.feed(data)
        reader.feed(b"")
        reader.end()
    except ProtocolError as exc:
        return got, type(exc).__name__
    return got, ""
