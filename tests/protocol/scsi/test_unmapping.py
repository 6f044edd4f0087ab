"""UNMAP's list of ranges."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.scsi.errors import IllegalRequest
from protocol.scsi.unmapping import Ranges, read_ranges, write_ranges

RANGE = st.tuples(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 32) - 1))


@given(st.lists(RANGE, max_size=8).map(tuple))
def test_ranges_survive(ranges: Ranges) -> None:
    assert read_ranges(write_ranges(ranges)) == ranges


@given(st.binary(max_size=64))
def test_any_list_is_understood_or_illegal(data: bytes) -> None:
    with contextlib.suppress(IllegalRequest):
        assert isinstance(read_ranges(data), tuple)


def test_a_list_without_its_head_is_refused() -> None:
    with pytest.raises(IllegalRequest):
        read_ranges(bytes(7))
