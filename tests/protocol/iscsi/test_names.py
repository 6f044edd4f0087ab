"""Names of initiators and targets, and LUNs in headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.iscsi.errors import BadName
from protocol.iscsi.names import checked_name, lun_field, lun_number
from protocol.scsi.capacity import LUN_MAX


@pytest.mark.parametrize(
    "name",
    [
        "iqn.2001-04.com.example",
        "iqn.2001-04.com.example:storage:disk2.sys1.xyz",
        "eui.02004567A425678D",
        "naa.52004567BA64678D",
    ],
)
def test_names_of_the_standard_are_names(name: str) -> None:
    assert checked_name(name) == name.lower()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "disk",
        "eui.123",
        "iqn.com.example",
        "iqn.2001-13.com.example",
        "iqn.2001-04.x:a b",
        "iqn.2001-04.com.example:" + "x" * 223,
    ],
)
def test_others_are_none(name: str) -> None:
    with pytest.raises(BadName):
        checked_name(name)


@given(st.integers(0, LUN_MAX))
def test_a_lun_comes_back_from_its_header(lun: int) -> None:
    assert lun_number(lun_field(lun)) == lun


@given(st.integers(0, (1 << 64) - 1))
def test_any_field_is_a_lun_or_none(field: int) -> None:
    lun = lun_number(field)

    assert lun is None or 0 <= lun <= LUN_MAX
