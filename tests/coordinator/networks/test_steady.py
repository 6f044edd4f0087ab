from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as some

from coordinator.networks.steady import Change, Steady


def test_a_change_is_told_once_and_only_after_it_has_lasted() -> None:
    steady: Steady[str, str] = Steady("up")

    assert steady.look({"lan": "down"}, 5.0, 10.0) == []
    assert steady.look({"lan": "down"}, 5.0, 14.9) == []
    assert steady.look({"lan": "down"}, 5.0, 15.0) == [Change("lan", "up", "down", 10.0)]
    assert steady.look({"lan": "down"}, 5.0, 99.0) == []


def test_what_goes_back_before_is_never_told() -> None:
    steady: Steady[str, str] = Steady("up")

    for second in range(100):
        assert steady.look({"lan": "down" if second % 4 else "up"}, 5.0, float(second)) == []


def test_a_change_of_the_change_begins_to_last_anew() -> None:
    steady: Steady[str, str] = Steady("up")
    steady.look({"lan": "down"}, 5.0, 0.0)

    assert steady.look({"lan": "torn"}, 5.0, 5.0) == []
    assert steady.look({"lan": "torn"}, 5.0, 10.0) == [Change("lan", "up", "torn", 5.0)]


def test_what_is_gone_is_forgotten() -> None:
    steady: Steady[str, str] = Steady("up")
    steady.look({"lan": "down"}, 0.0, 0.0)
    steady.look({}, 0.0, 1.0)

    assert steady.look({"lan": "up"}, 0.0, 2.0) == []


def test_after_a_pause_nothing_has_lasted_yet() -> None:
    steady: Steady[str, str] = Steady("up")
    steady.look({"lan": "down"}, 5.0, 0.0)
    steady.begin()

    assert steady.look({"lan": "down"}, 5.0, 100.0) == []


@given(some.lists(some.sampled_from("abc")), some.integers(1, 5))
def test_never_more_than_one_change_in_the_time_that_one_must_last(
    states: list[str], lasting: int
) -> None:
    steady: Steady[str, str] = Steady("a")
    told = [
        now
        for now, state in enumerate(states)
        if steady.look({"lan": state}, float(lasting), float(now))
    ]

    assert all(later - earlier > lasting for earlier, later in pairwise(told))
