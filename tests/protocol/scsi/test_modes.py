"""Mode pages."""

import pytest

from protocol.scsi.commands import ModeSense, PageControl
from protocol.scsi.errors import IllegalRequest
from protocol.scsi.modes import CACHING, WRITE_CACHE, write_modes


@pytest.mark.parametrize("form", [6, 10])
@pytest.mark.parametrize("bare", [False, True])
def test_writes_may_wait_in_a_cache_and_the_unit_says_so(form: int, bare: bool) -> None:
    data = write_modes(ModeSense(8, no_block_descriptors=bare, form=form), 100, 512)

    blocks = data[3] if form == 6 else int.from_bytes(data[6:8], "big")
    page = data[(4 if form == 6 else 8) + blocks :]
    assert page[0] == CACHING
    assert page[2] & WRITE_CACHE
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
