"""What a unit says of itself, both ways."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.scsi.errors import BadResponse
from protocol.scsi.inquiry import (
    PAGES,
    BlockLimits,
    Designators,
    SerialNumber,
    StandardInquiry,
    SupportedPages,
    characteristics,
    provisioning,
)


def test_standard_data_name_the_maker() -> None:
    told = StandardInquiry("ACME", "ROCKET", "7")

    assert StandardInquiry.read(told.write()) == told


def test_a_number_without_a_unit_says_so() -> None:
    data = StandardInquiry(present=False).write()

    assert data[0] == 0x7F
    assert not StandardInquiry.read(data).present


def test_the_unit_is_known_by_its_naa_id() -> None:
    told = Designators("3abcdef012345678", 2, "iqn.2026-11.lab:san,t,0x0002")

    assert Designators.read(told.write()) == told
    assert told.write()[4:8].hex() == "01030008"


def test_a_disk_without_an_id_is_no_disk_for_a_cluster() -> None:
    with pytest.raises(BadResponse, match="NAA"):
        Designators.read(bytes([0, 0x83, 0, 0]))


def test_limits_serial_and_pages_survive() -> None:
    limits = BlockLimits(1, 2, 3, 4, 5, 6)

    assert BlockLimits.read(limits.write()) == limits
    assert SerialNumber.read(SerialNumber("3abc").write()).serial == "3abc"
    assert SupportedPages.read(SupportedPages().write()).pages == PAGES


def test_the_disk_does_not_rotate_and_gives_blocks_back() -> None:
    assert characteristics()[4:6] == b"\0\1"
    assert provisioning()[5] & 0xC0 == 0xC0


@given(st.binary(max_size=80))
def test_any_answer_is_understood_or_a_bad_response(data: bytes) -> None:
    for kind in (StandardInquiry, SupportedPages, SerialNumber, Designators, BlockLimits):
        with contextlib.suppress(BadResponse):
            assert isinstance(kind.read(data), kind)
