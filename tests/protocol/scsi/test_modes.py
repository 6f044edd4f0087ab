"""Mode pages and UNMAP's list."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.scsi.commands import ModeSense, PageControl
from protocol.scsi.errors import BadResponse, IllegalRequest
from protocol.scsi.modes import has_write_cache, write_modes


@pytest.mark.parametrize("form", [6, 10])
@pytest.mark.parametrize("bare", [False, True])
def test_writes_may_wait_in_a_cache_and_the_unit_says_so(form: int, bare: bool) -> None:
    data = write_modes(ModeSense(8, no_block_descriptors=bare, form=form), 100, 512)

    assert has_write_cache(data, form)
    announced = data[0] + 1 if form == 6 else int.from_bytes(data[:2], "big") + 2
    assert announced == len(data)


def test_nothing_of_it_can_be_changed() -> None:
    asked = ModeSense(0x3F, control=PageControl.CHANGEABLE, no_block_descriptors=True)

    assert write_modes(asked, 100, 512)[4:].hex() == "0812" + "00" * 18 + "0a0a" + "00" * 10


def test_a_read_only_unit_shows_it() -> None:
    assert write_modes(ModeSense(8), 100, 512, read_only=True)[2] & 0x80


@pytest.mark.parametrize(
    "asked", [ModeSense(5), ModeSense(8, subpage=1), ModeSense(8, control=PageControl.SAVED)]
)
def test_what_is_not_there_is_refused(asked: ModeSense) -> None:
    with pytest.raises(IllegalRequest):
        write_modes(asked, 100, 512)


@given(st.binary(max_size=40))
def test_any_answer_is_understood_or_a_bad_response(data: bytes) -> None:
    with contextlib.suppress(BadResponse):
        assert has_write_cache(data) in (True, False)
