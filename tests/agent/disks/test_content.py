import pytest

from agent.disks.content import content_in, why_unfit
from agent.disks.witness_area import sealed
from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.layout import HEAD_BLOCKS, SUPERBLOCK_PLACES
from protocol.disks import DiskContent
from tests.agent.volumes.ground import BLOCKS, formatted

HEAD_BYTES = HEAD_BLOCKS * BLOCK_BYTES
NOTHING = bytes(HEAD_BYTES)
NO_TAIL = bytes(BLOCK_BYTES)


def volume() -> bytearray:
    return bytearray(formatted()[:HEAD_BYTES])


def test_a_volume_of_ours_is_known_by_either_superblock() -> None:
    for place in SUPERBLOCK_PLACES:
        head = volume()
        head[place * BLOCK_BYTES : (place + 1) * BLOCK_BYTES] = NO_TAIL
        found = content_in(bytes(head), NO_TAIL, BLOCKS)
        assert found.is_ours
        assert found.label == "Volume1"


def test_a_volume_without_a_whole_superblock_or_without_its_end_is_damaged() -> None:
    head = volume()
    for place in SUPERBLOCK_PLACES:
        head[place * BLOCK_BYTES + 100] ^= 1
    found = content_in(bytes(head), NO_TAIL, BLOCKS)
    assert (found.kind, "neither superblock" in found.reason) == (DiskContent.DAMAGED, True)

    found = content_in(bytes(volume()), NO_TAIL, BLOCKS - 1)
    assert (found.kind, "give the disk its size" in found.reason) == (DiskContent.DAMAGED, True)


def test_only_a_disk_that_is_empty_at_both_ends_is_blank() -> None:
    assert content_in(NOTHING, NO_TAIL, BLOCKS).kind is DiskContent.BLANK

    backup = bytes(BLOCK_BYTES - 512) + b"EFI PART".ljust(512, b"\0")
    assert content_in(NOTHING, backup, BLOCKS).kind is DiskContent.FOREIGN


def test_a_witness_is_neither_blank_nor_a_strangers() -> None:
    head = sealed(0, b"a record").ljust(HEAD_BYTES, b"\0")
    assert content_in(head, NO_TAIL, BLOCKS).kind is DiskContent.WITNESS


@pytest.mark.parametrize(
    ("block_bytes", "blocks", "why"),
    [
        (512, HEAD_BLOCKS + 1, ""),
        (4096, HEAD_BLOCKS + 1, ""),
        (520, BLOCKS, "blocks of 520 bytes"),
        (8192, BLOCKS, "blocks of 8192 bytes"),
        (512, HEAD_BLOCKS, "too small"),
    ],
)
def test_a_disk_that_can_carry_no_volume_is_told_why(
    block_bytes: int, blocks: int, why: str
) -> None:
    found = why_unfit(block_bytes, blocks)
    assert bool(found) == bool(why)
    assert why in found
