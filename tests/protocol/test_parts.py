"""Parts make the content they were cut from, in their order, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.parts import CONTENT_BYTES_MAX, PART_BYTES, PARTS_MAX, Assembly, cut
from protocol.shapes import BYTES_MAX


def put(pieces: tuple[bytes, ...], it: Assembly[str], name: str = "x") -> list[bytes | None]:
    return [it.add(name, part, len(pieces), piece) for part, piece in enumerate(pieces)]


@pytest.mark.parametrize("size", [1, PART_BYTES, PART_BYTES + 1, CONTENT_BYTES_MAX])
def test_what_was_cut_is_whole_again_with_the_last_part(size: int) -> None:
    content = bytes(n % 251 for n in range(1000)) * (size // 1000 + 1)
    pieces = cut(content[:size])

    *before, whole = put(pieces, Assembly())

    assert whole == content[:size]
    assert before == [None] * len(before)
    assert all(len(piece) <= BYTES_MAX for piece in pieces)
    assert len(pieces) <= PARTS_MAX


def test_more_than_goes_into_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        cut(b"x" * (CONTENT_BYTES_MAX + 1))


PIECES = cut(b"a" * PART_BYTES + b"b" * PART_BYTES + b"c")


@given(order=st.lists(st.integers(0, 2), max_size=12))
def test_parts_that_are_lost_doubled_or_late_never_make_another_content(order: list[int]) -> None:
    it: Assembly[str] = Assembly()
    for at, part in enumerate(order):
        whole = it.add("x", part, 3, PIECES[part])
        assert whole is None or (order[at - 2 : at + 1] == [0, 1, 2] and whole == b"".join(PIECES))


def test_parts_of_two_contents_do_not_mix() -> None:
    it: Assembly[str] = Assembly()
    it.add("x", 0, 2, b"1")

    assert it.add("y", 1, 2, b"2") is None
    assert it.add("x", 1, 2, b"2") is None, "it was given up"
    assert put((b"1", b"2"), it)[-1] == b"12"


@pytest.mark.parametrize(
    ("part", "parts", "piece"),
    [(0, 0, b"x"), (0, -1, b"x"), (0, PARTS_MAX + 1, b"x"), (-1, 1, b"x"), (0, 1, b""),
     (0, 1, b"x" * (PART_BYTES + 1)), (2**62, 2**62 + 1, b"x")],
)  # fmt: skip
def test_hostile_numbers_and_sizes_make_nothing(part: int, parts: int, piece: bytes) -> None:
    assert Assembly[str]().add("x", part, parts, piece) is None
