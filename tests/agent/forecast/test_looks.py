"""When a guest is looked at, and what its windows come to."""

import numpy as np
import pytest

from agent.forecast.curve import UNSTEADY
from agent.forecast.looks import Looks, moments_s, passes_s
from agent.forecast.passes import EVERYWHERE
from agent.runs import Runs, runs_from_numbers


def pages(count: int, first: int = 0) -> Runs:
    return runs_from_numbers(np.arange(first, first + count))


def test_a_long_pass_comes_early_and_short_ones_are_several() -> None:
    assert list(passes_s(1.0)) == [0.1, 1.0, 0.1, 0.1, 0.1, 1.0]
    assert list(passes_s(0.05)) == [0.05] * 4


@pytest.mark.parametrize("until_s", [0.001, 0.05, 0.1, 1.0, 7.0])
def test_moments_ascend_and_the_last_is_the_end(until_s: float) -> None:
    moments = moments_s(until_s)

    assert list(moments) == sorted(set(moments))
    assert moments[-1] == until_s


def test_a_window_is_the_mean_of_its_looks_and_its_bounds_hold_all_of_them() -> None:
    looks = Looks()
    looks.add(0.1, 0.1, pages(10))
    looks.add(0.1, 0.2, pages(40))

    (window,) = looks.windows()

    assert window.seconds == pytest.approx(0.15)
    assert window.pages.likely == 25
    assert window.pages.least == pytest.approx(100 * 0.15 * (1 - UNSTEADY))
    assert window.pages.most == pytest.approx(200 * 0.15 * (1 + UNSTEADY))


def test_the_places_are_those_of_the_longest_pass() -> None:
    looks = Looks()
    assert looks.places(100) == EVERYWHERE
    looks.add(1.0, 1.0, pages(10, first=90))
    looks.add(0.1, 0.1, pages(10))

    places = looks.places(100)

    assert min(places) >= 0.9
    assert max(places) <= 1.0
