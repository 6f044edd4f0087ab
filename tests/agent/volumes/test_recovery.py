"""A broken byte costs nothing, two broken copies are said aloud, and no bytes crash a mount."""

import random

import pytest

from agent.volumes import layout
from agent.volumes.errors import (
    Damaged,
    Deposed,
    DiskTooSmall,
    ForeignContent,
    NotMountable,
    VolumeReadOnly,
)
from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.layout import HEAD_BLOCKS, SUPERBLOCK_PLACES
from agent.volumes.recovery import mount
from agent.volumes.transaction import Transaction
from tests.agent.volumes.ground import (
    SMALL,
    Image,
    carry_out,
    cuts,
    formatted,
    mounted,
    owned,
    parts,
    shown,
)

RECORD = b"HVJR"


def lived_in() -> Image:
    """A volume with a few checkpoints behind it and records since."""
    image = formatted()
    filesystem = owned(image, 3)
    for number in range(9):
        filesystem.create(f"/file{number}", BLOCK_BYTES)
        if number % 2:
            filesystem.open(f"/file{number}", f"n{number}", True, "vm", number)
        carry_out(image, filesystem.commit())
    return image


def used_bytes(image: Image) -> list[int]:
    """Every byte of superblocks, journals and checkpoints that is not padding."""
    out = []
    for block in range(SMALL.metadata.end):
        at = block * BLOCK_BYTES
        used = len(bytes(image[at : at + BLOCK_BYTES]).rstrip(b"\0"))
        if block in SUPERBLOCK_PLACES:
            out += [*range(at, at + 160), *range(at + BLOCK_BYTES - 8, at + BLOCK_BYTES)]
        else:
            out += range(at, at + used)
    return out


@pytest.mark.slow
def test_any_one_broken_byte_is_mended_from_the_other_copy() -> None:
    image = lived_in()
    expected = shown(image, mounted(image, 4).filesystem)
    chance = random.Random(1)
    places = used_bytes(image)
    assert len(places) > 2000

    for place in places:
        kept = image[place]
        image[place] ^= chance.randrange(1, 256)
        found = mounted(image, 4)
        assert found.filesystem.read_only_because is None, place
        assert shown(image, found.filesystem) == expected, place
        image[place] = kept


def test_what_was_mended_is_whole_again_after_the_mount() -> None:
    image = lived_in()
    image[SMALL.slots[0] * BLOCK_BYTES + 60] ^= 1
    image[0] ^= 1

    found = mounted(image, 4)
    carry_out(image, found.transaction)

    assert len(found.repairs) == 2
    assert mounted(image, 5).repairs == ()


def newest_records(image: Image) -> list[tuple[int, list[int]]]:
    """Sequence of each record, and where its copies lie."""
    found: dict[int, list[int]] = {}
    for first in SMALL.journals:
        for block in range(first, first + SMALL.journal_blocks):
            at = block * BLOCK_BYTES
            if image[at : at + 4] == RECORD:
                sequence = int.from_bytes(image[at + 24 : at + 32], "big")
                found.setdefault(sequence, []).append(at)
    return sorted(found.items())


def test_a_record_with_one_broken_copy_has_two_again_after_the_mount() -> None:
    image = formatted()
    filesystem = owned(image, 3)
    filesystem.create("/a")
    carry_out(image, filesystem.commit())
    expected = shown(image, filesystem)
    first, second = newest_records(image)[-1][1]

    image[first + 50] ^= 1
    found = mounted(image, 4)
    carry_out(image, found.transaction)
    image[second + 50] ^= 1

    assert found.repairs == ("1 records of the journal had one broken copy",)
    assert shown(image, mounted(image, 5).filesystem) == expected


def test_a_record_lost_in_the_middle_makes_the_volume_read_only_with_a_sentence() -> None:
    image = formatted()
    filesystem = owned(image, 3)
    filesystem.create("/a")
    carry_out(image, filesystem.commit())
    slots = image[SMALL.slots[0] * BLOCK_BYTES : SMALL.metadata.end * BLOCK_BYTES]
    for name in "bc":
        filesystem.create(f"/{name}")
        carry_out(image, filesystem.commit())
    # As if no checkpoint had been made since the first record.
    image[SMALL.slots[0] * BLOCK_BYTES : SMALL.metadata.end * BLOCK_BYTES] = slots
    lost = newest_records(image)[-2][1]
    for at in lost:
        image[at + 50] ^= 1

    found = mounted(image, 4)

    assert not found.transaction, "a damaged volume is left as it is"
    assert "records up to" in (found.filesystem.read_only_because or "")
    assert [entry.name for entry in found.filesystem.list("/")] == ["a"]
    opened = found.filesystem.open("/a", "n1")
    found.filesystem.close(opened.grant)
    assert found.filesystem.fence("n1") == 0
    for refused in (
        lambda: found.filesystem.create("/new"),
        lambda: found.filesystem.delete("/a"),
        lambda: found.filesystem.open("/a", "n1", writable=True),
        lambda: found.filesystem.committer.set_epoch(9),
    ):
        with pytest.raises(VolumeReadOnly, match="stays read-only"):
            refused()
    assert not found.filesystem.commit()


def test_two_broken_checkpoints_are_refused() -> None:
    image = lived_in()
    for slot in SMALL.slots:
        image[slot * BLOCK_BYTES + 60] ^= 1

    with pytest.raises(Damaged, match="neither checkpoint"):
        mounted(image, 4)


def test_two_broken_superblocks_are_refused() -> None:
    image = lived_in()
    head, area, blocks = parts(image)
    broken = bytearray(head)
    for place in SUPERBLOCK_PLACES:
        broken[place * BLOCK_BYTES + 100] ^= 1

    with pytest.raises(Damaged, match="neither superblock"):
        mount(bytes(broken), area, 4, blocks)


@pytest.mark.parametrize(("byte", "said"), [(0, "nothing"), (7, "something else")])
def test_a_disk_without_a_volume_is_refused(byte: int, said: str) -> None:
    with pytest.raises(ForeignContent, match=said):
        mount(bytes([byte]) * HEAD_BLOCKS * BLOCK_BYTES, b"", 4, 1000)


def test_a_disk_that_has_shrunk_is_refused() -> None:
    head, area, blocks = parts(lived_in())

    with pytest.raises(DiskTooSmall, match="give the disk its size back"):
        mount(head, area, 4, blocks - 1)


def test_a_volume_of_another_version_is_refused() -> None:
    image = formatted()
    other = bytearray(SMALL.to_bytes())
    other[11] = 9
    other[-4:] = layout._CHECKSUM.pack(layout.crc32c(bytes(other[:-4])))
    for place in SUPERBLOCK_PLACES:
        image[place * BLOCK_BYTES : (place + 1) * BLOCK_BYTES] = other

    with pytest.raises(Damaged, match="version 9"):
        mounted(image, 4)


def test_an_owner_of_an_older_epoch_is_refused() -> None:
    image = lived_in()

    with pytest.raises(Deposed, match="mounted under epoch 3, and 2 is older"):
        mounted(image, 2)


def test_an_epoch_counts_as_soon_as_one_superblock_has_it() -> None:
    image = lived_in()
    first, *_ = owned(bytearray(image), 4).committer.set_epoch(7).stages
    for step in first:
        carry_out(image, type(mounted(image, 7).transaction)(((step,),)))

    with pytest.raises(Deposed):
        mounted(image, 6)


def test_a_journal_of_a_newer_owner_is_refused_though_the_superblocks_are_old() -> None:
    image = lived_in()
    old = image[: HEAD_BLOCKS * BLOCK_BYTES]
    filesystem = owned(image, 8)
    filesystem.create("/new")
    carry_out(image, filesystem.commit())
    image[: HEAD_BLOCKS * BLOCK_BYTES] = old

    with pytest.raises(Deposed, match="epoch 8"):
        mounted(image, 7)


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_never_crashes_a_mount(seed: int) -> None:
    chance = random.Random(seed)
    image = lived_in()
    places = used_bytes(image)
    for _ in range(chance.choice([2, 5, 50, 500])):
        image[chance.choice(places)] = chance.randrange(256)
    head = bytes(image[: HEAD_BLOCKS * BLOCK_BYTES])
    start, end = SMALL.metadata.start * BLOCK_BYTES, SMALL.metadata.end * BLOCK_BYTES

    try:
        found = mount(head, bytes(image[start:end]), 4, SMALL.blocks)
    except NotMountable:
        return  # refused, with a sentence
    because = found.filesystem.read_only_because
    assert bool(found.transaction) == (because is None)


def test_metadata_that_was_read_short_is_refused() -> None:
    head, area, blocks = parts(lived_in())

    with pytest.raises(Damaged, match="bytes where"):
        mount(head, area[:-1], 4, blocks)


@pytest.mark.parametrize("block", [*SUPERBLOCK_PLACES, *SMALL.slots])
def test_a_crash_while_a_broken_copy_is_mended_leaves_the_other_one(block: int) -> None:
    image = lived_in()
    expected = shown(image, mounted(image, 4).filesystem)
    image[block * BLOCK_BYTES + 50] ^= 1
    transaction = mounted(image, 4).transaction

    for part in cuts(image, transaction, every=31):
        assert shown(part, mounted(part, 9).filesystem) == expected


@pytest.mark.parametrize("slot", [0, 1])
def test_the_ring_reaches_back_far_enough_after_every_mount(slot: int) -> None:
    """Each life ends before its checkpoint, and every mount must do without one slot."""
    image = formatted()
    for epoch in range(1, 30):
        found = mounted(image, epoch)
        carry_out(image, found.transaction)
        filesystem = found.filesystem
        filesystem.create(f"/{epoch}")
        records = filesystem.commit().stages[:1]
        carry_out(image, Transaction(records))

        hurt = bytearray(image)
        hurt[(SMALL.slots[slot]) * BLOCK_BYTES + 50] ^= 1
        assert shown(hurt, mounted(hurt, 99).filesystem) == shown(image, filesystem)
        if epoch % 12 == 0:
            image = hurt


@pytest.mark.parametrize("slot", [0, 1])
def test_the_same_checkpoint_may_break_in_every_life(slot: int) -> None:
    """The one that is left grows no older than the ring, though the other is the newest each time
    and breaks before it is its turn.
    """
    image = formatted()
    expected = shown(image, mounted(image, 1).filesystem)
    a_quarter = SMALL.journal_blocks // 4
    for epoch in range(2, 14):
        found = mounted(image, epoch)
        assert shown(image, found.filesystem) == expected, epoch
        carry_out(image, found.transaction)
        filesystem = found.filesystem
        for number in range(max(1, a_quarter - 1)):
            filesystem.create(f"/{epoch}-{number}")
            carry_out(image, filesystem.commit())
        expected = shown(image, filesystem)
        image[SMALL.slots[slot] * BLOCK_BYTES + 50] ^= 1
