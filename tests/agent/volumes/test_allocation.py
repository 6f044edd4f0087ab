import random

import pytest

from agent.volumes.allocation import FreeSpace
from agent.volumes.errors import Damaged, VolumeFull
from agent.volumes.extents import Extent, total_blocks

WHOLE = Extent(10, 100)


def blocks(extents: tuple[Extent, ...]) -> set[int]:
    return {block for extent in extents for block in range(extent.start, extent.end)}


def test_any_taking_and_giving_agrees_with_a_set_of_blocks() -> None:
    chance = random.Random(7)
    free, obvious = FreeSpace(WHOLE), set(range(10, 110))
    held: list[tuple[Extent, ...]] = []
    for _ in range(3000):
        if held and chance.random() < 0.5:
            back = held.pop(chance.randrange(len(held)))
            free.give(back)
            obvious |= blocks(back)
        else:
            wanted = chance.randrange(1, 30)
            if wanted > len(obvious):
                with pytest.raises(VolumeFull):
                    free.choose(wanted)
                continue
            taken = free.choose(wanted, chance.choice([None, 10, 50]))
            free.take(taken)
            assert total_blocks(taken) == wanted
            assert blocks(taken) <= obvious
            obvious -= blocks(taken)
            held.append(taken)
        assert blocks(free.extents()) == obvious
        assert free.blocks == len(obvious)
        again = FreeSpace(WHOLE, [extent for extents in held for extent in extents])
        assert again.extents() == free.extents()


def test_a_file_grows_in_place_if_the_blocks_behind_it_are_free() -> None:
    free = FreeSpace(WHOLE, [Extent(10, 5), Extent(30, 5)])

    assert free.choose(5, after=15) == (Extent(15, 5),)
    assert free.choose(50, after=15) == (Extent(35, 50),)


def test_what_is_not_free_cannot_be_taken() -> None:
    free = FreeSpace(WHOLE, [Extent(20, 5)])

    for wrong in (Extent(20, 1), Extent(18, 4), Extent(5, 6), Extent(109, 2)):
        with pytest.raises(Damaged, match="not free"):
            free.take([wrong])


def test_blocks_given_back_twice_are_our_bug() -> None:
    with pytest.raises(AssertionError, match="twice"):
        FreeSpace(WHOLE).give([Extent(20, 1)])


def test_extents_outside_of_the_disk_make_nothing_free() -> None:
    assert FreeSpace(Extent(10, 10), [Extent(12, 2), Extent(40, 2), Extent(60, 2)]).blocks == 8
