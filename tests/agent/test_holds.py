import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from agent.holds import ALL_HOLDS, held, may_run, released
from protocol.names import Hold

SETTERS = tuple(ALL_HOLDS)
EVERY_SET = [Hold(bits) for bits in range(ALL_HOLDS.value + 1)]


def test_a_guest_runs_exactly_while_nothing_holds_it_and_its_lease_lasts() -> None:
    for holds, now_s in itertools.product(EVERY_SET, (9.0, 10.0, 11.0)):
        assert may_run(holds, 10.0, now_s) == (holds == Hold.NONE and now_s == 9.0)


def test_a_lease_that_is_not_a_number_or_was_never_given_stops_the_guest() -> None:
    assert not may_run(Hold.NONE, math.nan, 1.0)
    assert not may_run(Hold.NONE, 0.0, 1.0)


def test_a_hold_is_released_only_by_what_set_it() -> None:
    for holds, by in itertools.product(EVERY_SET, SETTERS):
        assert by in held(holds, by)
        assert by not in released(holds, by)
        for other in set(SETTERS) - {by}:
            assert (other in held(holds, by)) == (other in holds)
            assert (other in released(holds, by)) == (other in holds)


@given(st.lists(st.tuples(st.sampled_from(SETTERS), st.booleans())))
def test_the_holds_are_the_obvious_set_of_names(moves: list[tuple[Hold, bool]]) -> None:
    holds = Hold.NONE
    obvious: set[str | None] = set()
    for by, sets in moves:
        holds = held(holds, by) if sets else released(holds, by)
        obvious = obvious | {by.name} if sets else obvious - {by.name}

    assert {hold.name for hold in holds} == obvious
    assert may_run(holds, 10.0, 9.0) == (not obvious)
