import pytest

from agent.volumes import changes
from agent.volumes.errors import (
    BadRange,
    FileInUse,
    NoSuchFile,
    NoSuchGrant,
    StaleEpoch,
)
from agent.volumes.extents import BLOCK_BYTES, Extent
from agent.volumes.filesystem import Filesystem
from agent.volumes.transaction import Write, Zero
from tests.agent.volumes.ground import Image, carry_out, formatted, owned

SIZE = 8 * BLOCK_BYTES


@pytest.fixture
def image() -> Image:
    return formatted()


@pytest.fixture
def filesystem(image: Image) -> Filesystem:
    filesystem = owned(image, 1)
    filesystem.create("/disk", SIZE)
    carry_out(image, filesystem.commit())
    return filesystem


def test_an_older_epoch_of_a_vm_cannot_open_its_file_any_more(
    filesystem: Filesystem, image: Image
) -> None:
    filesystem.open("/disk", "n2", True, "vm1", 5)
    carry_out(image, filesystem.commit())

    for where in (filesystem, owned(image, 2)):
        with pytest.raises(StaleEpoch, match="under epoch 5; 4 is older"):
            where.open("/disk", "n1", True, "vm1", 4)
        with pytest.raises(StaleEpoch):
            where.open("/disk", "n1", False, "vm1", 4)


def test_the_epoch_is_remembered_after_other_vms_and_closings(
    filesystem: Filesystem, image: Image
) -> None:
    filesystem.close(filesystem.open("/disk", "n2", True, "vm1", 5).grant)
    filesystem.close(filesystem.open("/disk", "n2", True, "vm2", 1).grant)
    carry_out(image, filesystem.commit())

    with pytest.raises(StaleEpoch):
        owned(image, 2).open("/disk", "n1", True, "vm1", 4)


def test_a_grant_of_an_older_epoch_may_only_close(filesystem: Filesystem) -> None:
    source = filesystem.open("/disk", "n1", True, "vm1", 1).grant
    filesystem.open("/disk", "n2", True, "vm1", 2)

    for refused in (
        lambda: filesystem.convert(source, 0, 1),
        lambda: filesystem.mark_written(source, 0, SIZE),
        lambda: filesystem.look(source),
    ):
        with pytest.raises(StaleEpoch, match="may only close"):
            refused()
    filesystem.close(source)


def test_two_vms_cannot_write_to_one_file(filesystem: Filesystem) -> None:
    filesystem.open("/disk", "n1", True, "vm1", 1)

    with pytest.raises(FileInUse, match="n1 by vm1"):
        filesystem.open("/disk", "n2", True, "vm2", 1)
    with pytest.raises(FileInUse):
        filesystem.open("/disk", "n2", True)
    assert filesystem.open("/disk", "n2", False).extents


def test_deleted_blocks_stay_in_quarantine_until_every_holder_returned_or_was_fenced(
    filesystem: Filesystem, image: Image
) -> None:
    first = filesystem.open("/disk", "n1", True, "vm1", 1).grant
    filesystem.open("/disk", "n2", True, "vm1", 1)
    free = filesystem.free_bytes
    filesystem.delete("/disk", even_open=True)
    carry_out(image, filesystem.commit())
    assert filesystem.free_bytes == free

    filesystem = owned(image, 2)
    filesystem.close(first)
    carry_out(image, filesystem.commit())
    assert filesystem.free_bytes == free, "n2 may still write there"

    assert filesystem.fence("n2") == 1
    carry_out(image, filesystem.commit())
    assert filesystem.free_bytes == free + SIZE
    assert filesystem.holders() == {}


def test_cut_blocks_are_in_quarantine_too(filesystem: Filesystem, image: Image) -> None:
    grant = filesystem.open("/disk", "n1", True).grant
    free = filesystem.free_bytes
    filesystem.truncate("/disk", BLOCK_BYTES)
    carry_out(image, filesystem.commit())
    assert filesystem.free_bytes == free

    filesystem.close(grant)
    carry_out(image, filesystem.commit())

    assert filesystem.free_bytes == free + SIZE - BLOCK_BYTES


def test_preparing_zeroes_before_the_journal_calls_it_written(filesystem: Filesystem) -> None:
    opened = filesystem.open("/disk", "n1", True)

    (after,) = filesystem.convert(opened.grant, 5000, 10)
    zeros, record, *_ = filesystem.commit().stages

    assert after.written
    assert zeros == (Zero(opened.extents[0]),)
    assert all(isinstance(step, Write) for step in record)
    assert filesystem.convert(opened.grant, 0, SIZE) == (after,), "once is enough"
    assert not filesystem.commit()


def test_what_a_holder_says_it_wrote_is_written_and_no_block_more(filesystem: Filesystem) -> None:
    opened = filesystem.open("/disk", "n1", True)
    start = opened.extents[0].start

    after = filesystem.mark_written(opened.grant, BLOCK_BYTES, 2 * BLOCK_BYTES)

    assert after == (
        Extent(start, 1, False),
        Extent(start + 1, 2, True),
        Extent(start + 3, 5, False),
    )
    with pytest.raises(BadRange, match="whole blocks"):
        filesystem.mark_written(opened.grant, 1, BLOCK_BYTES)


def test_ranges_past_the_end_are_refused(filesystem: Filesystem) -> None:
    grant = filesystem.open("/disk", "n1", True).grant

    for offset, length in ((SIZE, 1), (-1, 1), (0, SIZE + 1), (0, -1)):
        with pytest.raises(BadRange, match="not inside"):
            filesystem.convert(grant, offset, length)


def test_a_reader_cannot_prepare_writes(filesystem: Filesystem) -> None:
    with pytest.raises(FileInUse, match="for reading only"):
        filesystem.convert(filesystem.open("/disk", "n1").grant, 0, 1)


def test_a_grant_that_is_gone_says_open_again(filesystem: Filesystem) -> None:
    grant = filesystem.open("/disk", "n1", True).grant
    filesystem.fence("n1")

    with pytest.raises(NoSuchGrant, match="open the file again"):
        filesystem.close(grant)


def test_a_file_deleted_while_open_can_only_be_closed(filesystem: Filesystem) -> None:
    grant = filesystem.open("/disk", "n1", True).grant
    filesystem.delete("/disk", even_open=True)

    with pytest.raises(NoSuchFile, match="close it"):
        filesystem.look(grant)
    filesystem.close(grant)


def test_an_epoch_never_falls_whatever_a_journal_says() -> None:
    filesystem = owned(formatted(), 1)
    filesystem.create("/a", BLOCK_BYTES)
    opened = filesystem.open("/a", "n1", vm="vm1", epoch=5)

    filesystem.metadata.apply(changes.Granted(99, opened.file, "n2", False, "vm1", 3))

    assert dict(filesystem.stat("/a").epochs) == {"vm1": 5}
