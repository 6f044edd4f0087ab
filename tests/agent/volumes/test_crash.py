"""The owner may die at every byte that it writes: what was answered is there, and nothing half."""

from collections.abc import Callable, Iterator

import pytest

from agent.volumes.errors import VolumeFull
from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.filesystem import Filesystem
from agent.volumes.transaction import Transaction, Write
from tests.agent.volumes.ground import (
    Image,
    assert_sound,
    carry_out,
    cuts,
    formatted,
    mounted,
    owned,
    sectors_lost,
    shown,
)

Step = Callable[[Filesystem, Image], None]


def write_direct(filesystem: Filesystem, image: Image, grant: int, letter: bytes) -> None:
    """A client fills the first two blocks and says so afterwards."""
    for extent in filesystem.look(grant).extents[:1]:
        start = extent.start * BLOCK_BYTES
        image[start : start + 2 * BLOCK_BYTES] = letter * (2 * BLOCK_BYTES)
    filesystem.mark_written(grant, 0, 2 * BLOCK_BYTES)


def together(filesystem: Filesystem, image: Image) -> None:
    """Several operations in one record."""
    filesystem.make_folder("/Many")
    filesystem.create("/Many/a", 5000)
    filesystem.create("/Many/b")
    filesystem.rename("/Many/b", "/Many/c")


STORY: list[Step] = [
    lambda fs, _: fs.make_folder("/VM1") and None,
    lambda fs, _: fs.create("/vm1/disk.vhd", 6 * BLOCK_BYTES + 512) and None,
    lambda fs, _: fs.open("/vm1/disk.vhd", "n1", True, "vm1", 3) and None,
    lambda fs, image: write_direct(fs, image, 1, b"A"),
    together,
    lambda fs, _: fs.convert(1, 5 * BLOCK_BYTES, 100) and None,
    lambda fs, _: fs.delete("/vm1/disk.vhd", even_open=True),
    lambda fs, _: fs.create("/vm1/disk.vhd", 20 * BLOCK_BYTES) and None,
    lambda fs, _: fs.close(1),
    lambda fs, _: fs.open("/vm1/disk.vhd", "n2", True, "vm1", 4) and None,
    lambda fs, image: write_direct(fs, image, 2, b"B"),
    lambda fs, _: fs.grow("/vm1/disk.vhd", 30 * BLOCK_BYTES),
    lambda fs, _: fs.truncate("/vm1/disk.vhd", 4 * BLOCK_BYTES),
    lambda fs, _: fs.rename("/Many/a", "/Many/c", replace=True),
    lambda fs, _: fs.fence("n2") and None,
    lambda fs, _: fs.delete("/Many/C"),
    lambda fs, _: fs.delete("/many"),
]


def told(story: list[Step] = STORY) -> Iterator[tuple[Image, Image, Transaction]]:
    """For each step: the disk before it, the disk after it, and the transaction between."""
    image = formatted()
    filesystem = owned(image, 1)
    for step in story:
        step(filesystem, image)
        before = bytearray(image)  # with what a client wrote itself
        transaction = filesystem.commit()
        assert transaction
        carry_out(image, transaction)
        assert_sound(filesystem)
        yield before, bytearray(image), transaction


def view(image: Image, epoch: int = 9) -> object:
    found = mounted(image, epoch).filesystem
    assert found.read_only_because is None
    assert_sound(found)
    return shown(image, found)


@pytest.mark.slow
def test_a_crash_at_every_byte_leaves_the_state_before_or_after_and_nothing_half() -> None:
    tried = 0
    for before, after, transaction in told():
        allowed = [view(before), view(after)]
        for image in cuts(before, transaction):
            assert view(image) in allowed
            tried += 1
        assert view(image) == allowed[1], "the last one is what was answered"
    assert tried > 5000


@pytest.mark.slow
def test_lost_sectors_in_any_mixture_leave_the_state_before_or_after() -> None:
    for before, after, transaction in told():
        allowed = [view(before), view(after)]
        for seed in range(40):
            assert view(sectors_lost(before, transaction, seed)) in allowed


@pytest.mark.slow
def test_a_crash_during_a_mount_loses_nothing_either() -> None:
    for before, after, transaction in list(told())[1::4]:
        for image in list(cuts(before, transaction, every=401)):
            expected = view(image)
            second = mounted(image, 2).transaction
            for again in cuts(image, second, every=809):
                assert view(again) == expected
        carry_out(before, transaction)
        assert view(before) == view(after)


def test_a_volume_goes_on_after_a_crash_as_if_the_lost_record_had_never_been() -> None:
    for before, _, transaction in told():
        for image in list(cuts(before, transaction, every=311)):
            filesystem = owned(image, 5)
            filesystem.make_folder("/after")
            carry_out(image, filesystem.commit())
            filesystem.create("/after/x", BLOCK_BYTES)
            carry_out(image, filesystem.commit())

            again = mounted(image, 6)

            assert again.repairs == ()
            assert shown(image, again.filesystem) == shown(image, filesystem)


def test_a_long_life_goes_round_the_ring_and_every_state_is_found_again() -> None:
    image = formatted()
    filesystem = owned(image, 1)
    for number in range(120):
        if number % 3 == 2:
            if filesystem.exists(f"/f{number - 1}"):
                filesystem.delete(f"/f{number - 1}")
        else:
            filesystem.create(f"/f{number}", BLOCK_BYTES * (number % 2))
        carry_out(image, filesystem.commit())
        if number % 40 == 39:
            for name in [entry.name for entry in filesystem.list("/")]:
                filesystem.delete(f"/{name}")
            carry_out(image, filesystem.commit())
        assert view(image) == shown(image, filesystem)


def test_a_full_volume_refuses_and_changes_nothing() -> None:
    image = formatted()
    filesystem = owned(image, 1)
    filesystem.create("/all", filesystem.free_bytes)
    carry_out(image, filesystem.commit())
    before = shown(image, filesystem)

    for refused in (
        lambda: filesystem.create("/one", 1),
        lambda: filesystem.grow("/all", filesystem.size_bytes + 1),
    ):
        with pytest.raises(VolumeFull, match="free on the volume"):
            refused()

    assert not filesystem.commit()
    assert shown(image, filesystem) == before
    filesystem.delete("/all")
    carry_out(image, filesystem.commit())
    assert filesystem.free_bytes == filesystem.size_bytes


def test_full_metadata_refuses_new_files_and_still_lets_old_ones_go() -> None:
    image = formatted()
    filesystem = owned(image, 1)
    made = []
    with pytest.raises(VolumeFull, match="metadata is full"):
        for number in range(1000):
            filesystem.create(f"/{number}-{'x' * 200}")
            made.append(number)
            carry_out(image, filesystem.commit())

    assert len(made) > 10
    assert view(image) == shown(image, filesystem)
    for number in made:
        filesystem.delete(f"/{number}-{'x' * 200}")
        carry_out(image, filesystem.commit())
    assert filesystem.list("/") == ()


# ---- the crash test itself finds what it is for


def broken(transaction: Transaction) -> Transaction:
    """Without barriers: all in one stage."""
    return Transaction((tuple(step for stage in transaction.stages for step in stage),))


def test_a_missing_barrier_before_the_record_would_be_found() -> None:
    """Zeros that a record speaks of and that a crash lost."""
    image = formatted()
    filesystem = owned(image, 1)
    start = filesystem.create("/old", 3 * BLOCK_BYTES) and filesystem.open("/old", "n", True)
    at = start.extents[0].start * BLOCK_BYTES
    image[at : at + BLOCK_BYTES] = b"s" * BLOCK_BYTES
    filesystem.close(start.grant)
    filesystem.delete("/old")
    carry_out(image, filesystem.commit())
    filesystem.create("/new", 3 * BLOCK_BYTES)
    grant = filesystem.open("/new", "n", True).grant
    carry_out(image, filesystem.commit())
    filesystem.convert(grant, 0, 1)
    transaction = filesystem.commit()

    def leaks(transaction: Transaction) -> bool:
        return any(b"ss" in str(view(part)).encode() for part in cuts(image, transaction, 999))

    assert not leaks(transaction)
    assert leaks(broken(transaction))


def test_a_single_mirror_would_be_found() -> None:
    """With one copy of each record, a broken byte takes an answered operation with it."""
    *_, (_, after, transaction) = told(STORY[:1])
    records = [
        step
        for step in transaction.stages[-1]
        if isinstance(step, Write) and step.content.startswith(b"HVJR")
    ]
    expected = view(after)
    assert len(records) == 2

    for record in records:
        after[record.block * BLOCK_BYTES + 50] ^= 1
        if record is records[0]:
            assert view(after) == expected
    assert view(after) != expected
