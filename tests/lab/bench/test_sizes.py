import pytest
import typer

from lab.bench.__main__ import size_of
from lab.bench.migrations import Move, as_data


@pytest.mark.parametrize(("text", "size"), [("1GiB", 1 << 30), ("512MiB", 1 << 29)])
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "1GB", "-1MiB", "0MiB", "4KiB", "lots"])
def test_a_size_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        size_of(text)


def test_what_was_measured_is_told_with_its_spread() -> None:
    moves = [Move(ratio, 2e9, 1e9, 0.003, {"pause": 0.001}, 1.0) for ratio in (0.8, 1.2, 1.0)]

    assert as_data(moves)["ratio"] == {"median": 1.0, "min": 0.8, "max": 1.2}
