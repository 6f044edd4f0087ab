"""The record of reservations: what is read is what was written, and a damaged one is refused."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.scsi.persistent import Kind
from san.nexus import Nexus
from san.reservation_record import BadRecord, ReservationRecord, read_record, write_record

A = Nexus("iqn.2026-11.lab:n1", "00023d000001")
WHOLE = ReservationRecord(4, True, ((A, 7),), A, Kind.WRITE_REGISTRANTS)


def test_a_record_survives() -> None:
    for record in (WHOLE, ReservationRecord(), ReservationRecord(2, True, ((A, 1),))):
        assert read_record(write_record(record)) == record


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"holder": None},
        {"holder": ["other", "0", 1]},
        {"registrations": []},
        {"registrations": [["x", "y", 1, 0]]},
        {"kind": 2},
        {"number": None},
        {"holder": 5},
    ],
    ids=repr,
)
def test_a_record_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadRecord):
        read_record(write_record(WHOLE) | change)


@given(
    st.dictionaries(
        st.sampled_from(["format", "number", "persists", "registrations", "holder", "kind"]),
        st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=4),
    )
)
def test_any_plain_data_are_a_record_or_refused(plain: dict[str, Any]) -> None:
    with contextlib.suppress(BadRecord):
        assert isinstance(read_record(plain | {"format": 1}), ReservationRecord)
