"""Numbers that go round."""

import pytest

from protocol.iscsi.serial import after, distance, is_within

TOP = 0xFFFF_FFFF


def test_numbers_go_round() -> None:
    assert after(TOP) == 0
    assert distance(TOP, 1) == 2
    assert distance(1, TOP) == -2


@pytest.mark.parametrize(
    ("number", "first", "last", "inside"),
    [(5, 5, 5, True), (6, 5, 5, False), (4, 5, 5, False), (0, TOP, 3, True), (5, 6, 5, False)],
)
def test_a_window_may_go_round_and_may_be_empty(
    number: int, first: int, last: int, inside: bool
) -> None:
    assert is_within(number, first, last) == inside
