import pytest

from agent.volumes.errors import BadRange
from agent.volumes.extents import BLOCK_BYTES, Extent, Run, merged, part, runs, with_written

FILE = (Extent(100, 3), Extent(50, 2, True), Extent(103, 4))


def flags(extents: tuple[Extent, ...]) -> list[tuple[int, bool]]:
    return [
        (block, extent.written) for extent in extents for block in range(extent.start, extent.end)
    ]


def test_every_part_and_every_first_write_agree_with_lists_of_blocks() -> None:
    obvious = flags(FILE)
    for first in range(10):
        for count in range(11):
            assert flags(part(FILE, first, count)) == obvious[first : first + count]
            after = [
                (block, written or first <= at < first + count)
                for at, (block, written) in enumerate(obvious)
            ]
            assert flags(with_written(FILE, first, count)) == after


def test_neighbours_of_one_kind_become_one() -> None:
    split = (Extent(1, 2), Extent(3, 1), Extent(4, 1, True), Extent(9, 0))

    assert merged(split) == (Extent(1, 3), Extent(4, 1, True))


def test_a_request_is_cut_where_the_disk_or_the_writing_changes() -> None:
    found = runs(FILE, 2 * BLOCK_BYTES + 100, 2 * BLOCK_BYTES)

    assert found == (
        Run(102 * BLOCK_BYTES + 100, BLOCK_BYTES - 100, False),
        Run(50 * BLOCK_BYTES, BLOCK_BYTES + 100, True),
    )
    assert runs(FILE, 0, 0) == ()


def test_past_the_last_block_there_is_nothing() -> None:
    with pytest.raises(BadRange, match="was asked for"):
        runs(FILE, 8 * BLOCK_BYTES, BLOCK_BYTES + 1)
    with pytest.raises(BadRange, match="make no range"):
        runs(FILE, -1, 1)
