import pytest

from agent.volumes.errors import BadName, Deposed, DiskTooSmall, ForeignContent
from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.formatting import format_volume
from agent.volumes.layout import DISK_BLOCKS_MIN, HEAD_BLOCKS
from tests.agent.volumes.ground import carry_out, formatted, mounted, owned, parts

EMPTY = bytes(HEAD_BLOCKS * BLOCK_BYTES)
UUID = b"fedcba9876543210"


def test_a_formatted_disk_mounts_and_is_empty() -> None:
    image = bytearray(DISK_BLOCKS_MIN * BLOCK_BYTES)
    carry_out(image, format_volume(EMPTY, DISK_BLOCKS_MIN, UUID, "Volume1", 3))

    filesystem = mounted(image, 3).filesystem

    assert filesystem.list("/") == ()
    assert filesystem.free_bytes > 14 << 20


def test_a_disk_that_is_too_small_is_refused_with_the_minimum() -> None:
    with pytest.raises(DiskTooSmall, match="at least 16777216"):
        format_volume(EMPTY, DISK_BLOCKS_MIN - 1, UUID, "Volume1", 3)


def test_foreign_content_is_never_overwritten_unasked() -> None:
    foreign = b"\0" * 5000 + b"x" + EMPTY[5001:]

    with pytest.raises(ForeignContent, match="with force"):
        format_volume(foreign, DISK_BLOCKS_MIN, UUID, "Volume1", 3)
    assert format_volume(foreign, DISK_BLOCKS_MIN, UUID, "Volume1", 3, force=True)


def test_a_volume_is_never_formatted_unasked_and_never_taken_from_a_newer_owner() -> None:
    image = formatted()
    owned(image, 7)
    head, _, _ = parts(image)

    with pytest.raises(ForeignContent, match="'Volume1' already"):
        format_volume(head, DISK_BLOCKS_MIN, UUID, "Volume2", 8)
    with pytest.raises(Deposed):
        format_volume(head, DISK_BLOCKS_MIN, UUID, "Volume2", 6, force=True)


def test_records_of_the_volume_before_are_not_taken_for_ours() -> None:
    image = bytearray(DISK_BLOCKS_MIN * BLOCK_BYTES)
    carry_out(image, format_volume(EMPTY, DISK_BLOCKS_MIN, UUID, "Old", 1))
    filesystem = owned(image, 1)
    for name in "abc":
        filesystem.create(f"/{name}")
        carry_out(image, filesystem.commit())
    head, _, _ = parts(image)

    new = b"another uuid 016"
    carry_out(image, format_volume(head, DISK_BLOCKS_MIN, new, "New", 2, force=True))

    found = mounted(image, 2)
    assert found.filesystem.list("/") == ()
    assert found.repairs == ()


def test_a_label_that_does_not_fit_is_refused() -> None:
    with pytest.raises(BadName, match="at most 64"):
        format_volume(EMPTY, DISK_BLOCKS_MIN, UUID, "ä" * 33, 1)
