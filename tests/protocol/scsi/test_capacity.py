"""Sizes and numbers of units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.scsi.capacity import Capacity, read_lun, read_luns, write_lun, write_luns
from protocol.scsi.errors import BadResponse


@given(st.integers(1, 1 << 63), st.sampled_from([512, 4096]), st.booleans())
def test_a_capacity_survives(blocks: int, block_bytes: int, thin: bool) -> None:
    capacity = Capacity(blocks, block_bytes, thin, 3)

    assert Capacity.read16(capacity.write16()) == capacity
    assert len(capacity.write16()) == 32


def test_a_large_unit_asks_for_the_long_form() -> None:
    assert Capacity(1 << 40, 512).write10()[:4] == b"\xff" * 4
    assert Capacity.read10(Capacity(100, 512).write10()).blocks == 100


def test_odd_block_sizes_are_refused() -> None:
    with pytest.raises(BadResponse, match="power of two"):
        Capacity.read10(bytes(7) + b"\x07")


@given(st.lists(st.integers(0, 16383), max_size=9).map(tuple))
def test_numbers_of_units_survive(luns: tuple[int, ...]) -> None:
    assert read_luns(write_luns(luns)) == luns


def test_a_number_is_written_in_the_shortest_addressing_that_holds_it() -> None:
    assert write_lun(3).hex() == "0003000000000000"
    assert write_lun(300).hex() == "412c000000000000"


@pytest.mark.parametrize(
    "another", ["c101000000000000", "8001000000000000", "0103000000000000", "0003000100000000"]
)
def test_a_number_of_another_kind_is_none_of_ours(another: str) -> None:
    """Well-known, logical unit, a bus of its own, a second level."""
    assert read_lun(bytes.fromhex(another)) is None
    listed = bytes.fromhex("00000010" + "00000000" + another + "0002000000000000")
    assert read_luns(listed) == (2,)
