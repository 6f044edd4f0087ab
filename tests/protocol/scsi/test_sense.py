"""Sense data in both formats."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.scsi import sense
from protocol.scsi.errors import BadResponse
from protocol.scsi.sense import Sense, SenseKey, descriptor, fixed, read_sense

SENSES = st.builds(
    Sense,
    st.sampled_from(SenseKey),
    st.integers(0, 255),
    st.integers(0, 255),
    st.none() | st.integers(0, (1 << 32) - 1),
    st.none(),
    st.just(True),
    st.booleans(),
)


@given(SENSES)
def test_sense_survives_either_format(told: Sense) -> None:
    assert read_sense(fixed(told)) == told
    assert read_sense(descriptor(told)) == told


@given(st.integers(0, 0xFFFF), st.booleans())
def test_the_field_at_fault_survives_either_format(field: int, in_cdb: bool) -> None:
    told = Sense(SenseKey.ILLEGAL_REQUEST, 0x24, 0, field=field, in_cdb=in_cdb)

    assert read_sense(fixed(told)) == told
    assert read_sense(descriptor(told)) == told


@given(st.binary(max_size=64))
def test_any_bytes_are_sense_or_a_bad_response(data: bytes) -> None:
    with contextlib.suppress(BadResponse):
        assert isinstance(read_sense(data), Sense)


def test_the_fixed_format_is_that_of_the_standard() -> None:
    data = fixed(sense.REGISTRATIONS_PREEMPTED)

    assert data.hex() == "70000600000000" + "0a" + "00000000" + "2a05" + "00000000"


def test_a_block_beyond_32_bits_is_told_in_descriptors_only() -> None:
    told = sense.UNREADABLE.at(1 << 40)

    assert read_sense(descriptor(told)).information == 1 << 40
    assert read_sense(fixed(told)).information is None


@pytest.mark.parametrize("code", [0x2A03, 0x2A04, 0x2A05, 0x2900, 0x2707, 0x2100])
def test_known_sense_has_a_name(code: int) -> None:
    told = Sense(SenseKey.UNIT_ATTENTION, code >> 8, code & 0xFF)

    assert sense.NAMES[code] in told.name


def test_unknown_sense_shows_its_code() -> None:
    assert "(f1f2h)" in Sense(SenseKey.NO_SENSE, 0xF1, 0xF2).name
