import pytest

from agent.volumes.errors import (
    BadName,
    BadRange,
    BatchFull,
    FileExists,
    FileInUse,
    FolderNotEmpty,
    NoSuchFile,
    VolumeError,
    WrongKind,
)
from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.filesystem import Filesystem
from agent.volumes.formatting import laid_out
from agent.volumes.layout import planned
from agent.volumes.recovery import mount
from tests.agent.volumes.ground import Image, carry_out, formatted, owned, shown


@pytest.fixture
def image() -> Image:
    return formatted()


@pytest.fixture
def filesystem(image: Image) -> Filesystem:
    filesystem = owned(image, 1)
    filesystem.make_folder("/VM1")
    filesystem.create("/VM1/Disk.vhd", 3 * BLOCK_BYTES + 512)
    filesystem.create("/note", 10)
    carry_out(image, filesystem.commit())
    return filesystem


def test_names_keep_their_case_and_are_found_in_any(filesystem: Filesystem) -> None:
    assert filesystem.stat("/vm1/DISK.VHD").name == "Disk.vhd"
    assert filesystem.exists("/vm1")
    assert not filesystem.exists("/note/below")

    filesystem.rename("/vm1/disk.vhd", "/vm1/DISK.VHD")

    assert [entry.name for entry in filesystem.list("/vm1")] == ["DISK.VHD"]


def test_a_new_file_has_all_its_blocks_and_none_of_them_written(filesystem: Filesystem) -> None:
    opened = filesystem.open("/vm1/disk.vhd", "n1")

    assert opened.size_bytes == 3 * BLOCK_BYTES + 512
    assert [(extent.blocks, extent.written) for extent in opened.extents] == [(4, False)]


def test_a_file_of_10_gib_costs_one_block_of_journal_in_each_mirror() -> None:
    big = planned(3 << 20, b"u" * 16, "Big", 1)
    metadata = bytearray(big.metadata.end * BLOCK_BYTES)
    carry_out(metadata, laid_out(big))
    area = bytes(metadata[big.metadata.start * BLOCK_BYTES :])
    filesystem = mount(bytes(metadata[: 16 * BLOCK_BYTES]), area, 1, big.blocks).filesystem

    filesystem.create("/disk.vhd", 10 << 30)
    transaction = filesystem.commit()

    written = [step for stage in transaction.stages for step in stage]
    assert [len(step.content) for step in written] == [BLOCK_BYTES, BLOCK_BYTES]


REFUSALS = [
    (lambda fs: fs.create("/note"), FileExists),
    (lambda fs: fs.create("/NOTE"), FileExists),
    (lambda fs: fs.make_folder("/vm1"), FileExists),
    (lambda fs: fs.make_folder("/"), FileExists),
    (lambda fs: fs.create("/no/file"), NoSuchFile),
    (lambda fs: fs.create("/note/file"), WrongKind),
    (lambda fs: fs.create("/x", -1), BadRange),
    (lambda fs: fs.create("x"), BadName),
    (lambda fs: fs.create("/../x"), BadName),
    (lambda fs: fs.create("/" + "n" * 256), BadName),
    (lambda fs: fs.delete("/"), WrongKind),
    (lambda fs: fs.delete("/vm1"), FolderNotEmpty),
    (lambda fs: fs.delete("/nothing"), NoSuchFile),
    (lambda fs: fs.rename("/", "/x"), WrongKind),
    (lambda fs: fs.rename("/vm1", "/vm1/below"), BadRange),
    (lambda fs: fs.rename("/note", "/vm1/disk.vhd"), FileExists),
    (lambda fs: fs.rename("/vm1", "/note", replace=True), FileExists),
    (lambda fs: fs.grow("/note", 9), BadRange),
    (lambda fs: fs.grow("/vm1", 9), WrongKind),
    (lambda fs: fs.truncate("/note", 11), BadRange),
    (lambda fs: fs.truncate("/vm1/disk.vhd", 5), BadRange),
    (lambda fs: fs.list("/note"), WrongKind),
    (lambda fs: fs.stat("/nothing"), NoSuchFile),
]


@pytest.mark.parametrize(("asked", "kind"), REFUSALS)
def test_what_is_refused_changes_nothing(
    asked: object, kind: type[VolumeError], filesystem: Filesystem, image: Image
) -> None:
    before = shown(image, filesystem)

    with pytest.raises(kind) as refused:
        asked(filesystem)  # type: ignore[operator]

    assert refused.value.definite
    assert shown(image, filesystem) == before
    assert not filesystem.commit()


def test_an_open_file_is_deleted_only_if_asked_twice(filesystem: Filesystem) -> None:
    filesystem.open("/note", "n1")

    with pytest.raises(FileInUse, match="open at n1"):
        filesystem.delete("/note")

    filesystem.delete("/note", even_open=True)
    assert not filesystem.exists("/note")


def test_an_open_file_is_not_replaced(filesystem: Filesystem) -> None:
    filesystem.open("/note", "n1")

    with pytest.raises(FileInUse):
        filesystem.rename("/vm1/disk.vhd", "/note", replace=True)


def test_growing_continues_where_the_file_ends_if_that_is_free(filesystem: Filesystem) -> None:
    opened = filesystem.open("/note", "n1")

    filesystem.grow("/note", 5 * BLOCK_BYTES)

    (extent,) = filesystem.look(opened.grant).extents
    assert extent.blocks == 5


def test_blocks_freed_are_given_to_nobody_before_the_journal_says_so(
    filesystem: Filesystem, image: Image
) -> None:
    free = filesystem.free_bytes

    filesystem.delete("/vm1/disk.vhd")

    assert filesystem.free_bytes == free
    carry_out(image, filesystem.commit())
    assert filesystem.free_bytes == free + 4 * BLOCK_BYTES


def test_many_operations_are_one_record(filesystem: Filesystem) -> None:
    for number in range(20):
        filesystem.open("/note", f"n{number}")

    stage, *_ = filesystem.commit().stages

    assert len(stage) == 2
    assert not filesystem.commit(), "nothing is left"


def test_a_full_batch_asks_for_a_commit_and_loses_nothing(
    filesystem: Filesystem, image: Image
) -> None:
    with pytest.raises(BatchFull):
        for number in range(1000):
            filesystem.close(filesystem.open("/note", f"node{number}" * 20).grant)
    assert filesystem.is_batch_full
    before = filesystem.metadata.next_grant

    carry_out(image, filesystem.commit())

    assert not filesystem.is_batch_full
    assert owned(image, 2).metadata.next_grant == before > 20


def test_an_epoch_is_in_both_superblocks_one_behind_the_other(filesystem: Filesystem) -> None:
    transaction = filesystem.committer.set_epoch(5)

    assert [len(stage) for stage in transaction.stages] == [1, 1]
    assert filesystem.committer.superblock.epoch == 5


def test_a_volume_tells_how_much_of_it_is_free(filesystem: Filesystem) -> None:
    assert filesystem.size_bytes == filesystem.free_bytes + 5 * BLOCK_BYTES
