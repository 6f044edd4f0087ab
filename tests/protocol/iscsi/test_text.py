"""Text of logins: what is read, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.iscsi.errors import BadText
from protocol.iscsi.text import (
    TEXT_BYTES_MAX,
    TextCollector,
    read_number,
    read_once,
    read_text,
    write_text,
)


def test_pairs_come_back_in_their_order() -> None:
    pairs = [("TargetName", "iqn.2001-04.x:y"), ("TargetAddress", "[::1]:3260,1"), ("A", "")]

    assert read_text(write_text(pairs)) == pairs


@given(st.binary(max_size=200))
def test_any_bytes_are_pairs_or_a_typed_error(data: bytes) -> None:
    try:
        pairs = read_text(data)
    except BadText:
        return
    assert read_text(write_text(pairs)) == pairs


@pytest.mark.parametrize(
    "data",
    [
        b"no equals\0",
        b"=value\0",
        b"lower=1\0",
        b"Key\xff=1\0",
        b"K" * 64 + b"=1\0",
        b"Key=" + b"x" * 8193 + b"\0",
        b"A=1\0" * 257,
        bytes(TEXT_BYTES_MAX + 1),
    ],
    ids=["equals", "key", "lower", "utf8", "long-key", "long-value", "many", "long"],
)
def test_bad_text_is_refused(data: bytes) -> None:
    with pytest.raises(BadText):
        read_text(data)


def test_a_key_twice_is_refused_where_it_may_come_once() -> None:
    with pytest.raises(BadText, match="twice"):
        read_once([("A", "1"), ("A", "1")])


@pytest.mark.parametrize("text", ["", "-1", "0x", "1e3", "9" * 21, "5", "2048"])
def test_a_number_out_of_bounds_or_no_number_is_refused(text: str) -> None:
    with pytest.raises(BadText):
        read_number("Key", text, 6, 1024)


def test_numbers_may_be_hexadecimal() -> None:
    assert read_number("Key", "0x10", 0, 100) == 16


def test_a_text_in_parts_is_one_text() -> None:
    collector = TextCollector()

    assert collector.add(b"Ke", more=True) is None
    assert collector.add(b"y=1\0", more=False) == [("Key", "1")]


def test_a_text_that_never_ends_is_refused() -> None:
    collector = TextCollector()
    with pytest.raises(BadText, match="parts"):
        for _ in range(20):
            collector.add(bytes(8192), more=True)
