"""What a disk holds, told of disks with all sizes of blocks; and how it is formatted."""

from collections.abc import Sequence

import pytest

from agent.io.disks.content import content_of, format_disk
from agent.io.disks.mount import Mount
from agent.volumes.errors import ForeignContent, MediumError, NotMountable
from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.layout import HEAD_BLOCKS
from protocol.disks import DiskContent
from protocol.names import Epoch

DISK_BYTES = 16 << 20


class Memory:
    """A disk in memory; `is_broken` makes it unreadable."""

    def __init__(self, block_bytes: int, size_bytes: int = DISK_BYTES) -> None:
        self.block_bytes = block_bytes
        self.blocks = size_bytes // block_bytes
        self.content = bytearray(self.blocks * block_bytes)
        self.is_broken = False

    async def read_into(self, lba: int, target: memoryview) -> None:
        if self.is_broken:
            raise MediumError("it cannot be read")
        assert len(target) % self.block_bytes == 0
        at = lba * self.block_bytes
        target[:] = self.content[at : at + len(target)]

    async def write(
        self, lba: int, buffers: Sequence[bytes | memoryview], fua: bool = False
    ) -> None:
        content = b"".join(buffers)
        assert len(content) % self.block_bytes == 0
        at = lba * self.block_bytes
        self.content[at : at + len(content)] = content

    async def flush(self) -> None:
        pass


@pytest.mark.parametrize("block_bytes", [512, 1024, 4096])
async def test_a_disk_with_blocks_that_fit_is_formatted_and_mounted(block_bytes: int) -> None:
    disk = Memory(block_bytes)
    assert (await content_of(disk)).kind is DiskContent.BLANK

    await format_disk(disk, "mine", Epoch(1), force=False)
    found = await content_of(disk)
    assert (found.kind, found.label, found.epoch) == (DiskContent.OURS, "mine", 1)
    mount, _ = await Mount.begin(disk, Epoch(2), lambda reason: None)
    await mount.change(lambda fs: fs.make_folder("/vm1"))
    await mount.end()
    assert (await content_of(disk)).epoch == 2


@pytest.mark.parametrize("block_bytes", [513, 520, 8192])
async def test_a_disk_with_odd_blocks_carries_no_volume_and_is_left_alone(block_bytes: int) -> None:
    disk = Memory(block_bytes)
    before = bytes(disk.content)

    found = await content_of(disk)
    assert found.kind is DiskContent.FOREIGN
    assert f"blocks of {block_bytes} bytes" in found.reason
    with pytest.raises(NotMountable, match=f"blocks of {block_bytes} bytes"):
        await format_disk(disk, "mine", Epoch(1), force=True)
    assert disk.content == before


async def test_a_disk_that_is_too_small_is_not_formatted_even_by_force() -> None:
    disk = Memory(512, 8 << 20)
    with pytest.raises(NotMountable, match="16"):
        await format_disk(disk, "mine", Epoch(1), force=True)
    assert not any(disk.content)


async def test_a_disk_without_room_for_superblocks_is_refused_and_not_failed() -> None:
    disk = Memory(512, HEAD_BLOCKS * BLOCK_BYTES)
    assert "too small" in (await content_of(disk)).reason
    with pytest.raises(NotMountable, match="too small"):
        await format_disk(disk, "mine", Epoch(1), force=True)


async def test_what_a_stranger_wrote_is_overwritten_only_by_force() -> None:
    disk = Memory(512)
    disk.content[1080:1082] = b"\x53\xef"
    assert (await content_of(disk)).kind is DiskContent.FOREIGN
    before = bytes(disk.content)

    with pytest.raises(ForeignContent):
        await format_disk(disk, "mine", Epoch(1), force=False)
    assert disk.content == before
    await format_disk(disk, "mine", Epoch(1), force=True)
    assert (await content_of(disk)).is_ours


async def test_asked_twice_it_formats_once() -> None:
    disk = Memory(512)
    await format_disk(disk, "mine", Epoch(1), force=False)
    before = bytes(disk.content)
    await format_disk(disk, "mine", Epoch(1), force=False)
    assert disk.content == before


async def test_what_cannot_be_read_is_unknown_and_says_why() -> None:
    disk = Memory(512)
    disk.is_broken = True
    found = await content_of(disk)
    assert (found.kind, found.reason) == (DiskContent.UNKNOWN, "it cannot be read")
