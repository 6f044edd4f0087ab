import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.forecast.curve import Curve, joined
from protocol.messages import Spread, Window
from tests.agent.forecast.writers import SAMPLED_S, Guest, Random, Sweep, windows

MEMORY_PAGES = 20_000
UNIFORM = Random(((4000, 4800.0),))
HOT_AND_COLD = Random(((7000, 250.0), (700, 50_000.0)))
THREE = Random(((15_000, 100.0), (3000, 3000.0), (300, 30_000.0)))
SWEEP = Sweep(4000, 2000.0)


@pytest.mark.parametrize("guest", [UNIFORM, HOT_AND_COLD, THREE, SWEEP])
@pytest.mark.parametrize("seconds", [0.0005, 0.002, 0.02, 0.06, 0.2, 0.5, 0.9])
def test_between_the_windows_the_curve_is_that_of_the_guest(guest: Guest, seconds: float) -> None:
    curve = Curve.of(windows(guest), MEMORY_PAGES)

    assert curve.pages_in(seconds) == pytest.approx(guest.unique(seconds), rel=0.06, abs=2)


@pytest.mark.parametrize("guest", [UNIFORM, HOT_AND_COLD])
@pytest.mark.parametrize("seconds", [2.0, 5.0, 20.0])
def test_behind_the_windows_it_goes_on_as_the_classes_of_pages_do(
    guest: Guest, seconds: float
) -> None:
    curve = Curve.of(windows(guest), MEMORY_PAGES)

    assert curve.pages_in(seconds) == pytest.approx(guest.unique(seconds), rel=0.12)


@pytest.mark.parametrize("guest", [UNIFORM, HOT_AND_COLD, THREE, Sweep(4000, 6000.0)])
def test_the_bounds_hold_the_guest_at_every_time(guest: Guest) -> None:
    seen = windows(guest)
    least, most = (Curve.of(seen, MEMORY_PAGES, which) for which in ("least", "most"))

    for seconds in np.geomspace(0.001, 100, 40):
        real = guest.unique(float(seconds))
        assert least.pages_in(seconds) <= real * 1.06 + 1
        assert most.pages_in(seconds) >= real * 0.9 - 1


@given(
    st.lists(
        st.tuples(st.floats(1e-3, 30), st.integers(0, 50_000)), min_size=1, max_size=9, unique=True
    )
)
def test_whatever_was_seen_the_curve_never_falls_nor_grows_faster_nor_passes_the_memory(
    seen: list[tuple[float, int]],
) -> None:
    looks = tuple(Window(at, Spread(pages, pages, pages)) for at, pages in seen)
    curve = Curve.of(looks, MEMORY_PAGES)
    times = np.linspace(0.0, 40.0, 800)

    pages = curve.unique(times)

    assert (np.diff(pages) >= -1e-6).all()
    assert pages[0] == pytest.approx(0.0, abs=1e-6)
    assert pages.max() <= MEMORY_PAGES + 1e-6
    inside = pages[times <= max(at for at, _ in seen)]
    if len(inside) > 2:
        slopes = np.diff(inside)
        assert (np.diff(slopes) <= 0.02 * max(1.0, slopes.max(initial=0.0))).all()


def test_a_guest_that_writes_nothing_has_a_flat_curve() -> None:
    curve = Curve.of(tuple(Window(at, Spread(0, 0, 0)) for at in SAMPLED_S), MEMORY_PAGES)

    assert curve.pages_in(100.0) == 0.0
    assert len(curve.rates) == 0


def window(seconds: float, pages: float) -> Window:
    return Window(seconds, Spread(pages, pages, pages))


def test_what_was_known_before_goes_on_where_there_was_no_time_to_look() -> None:
    known = windows(UNIFORM, (0.1, 1.0, 5.0))
    half_as_busy = Random(((4000, 2400.0),))
    seen = windows(half_as_busy, (0.01, 0.1))

    both = joined(seen, known)

    assert [one.seconds for one in both] == [0.01, 0.1, 1.0, 5.0]
    share = seen[-1].pages.likely / known[0].pages.likely
    assert both[-1].pages.likely == pytest.approx(known[-1].pages.likely * share)
    assert both[-1].pages.least < both[-1].pages.likely < both[-1].pages.most


@pytest.mark.parametrize("pages", [0.0, 10.0, 5000.0])
def test_a_guest_that_does_something_else_now_is_not_known_any_more(pages: float) -> None:
    seen = (window(0.1, pages),)

    assert joined(seen, windows(UNIFORM, (0.1, 5.0))) == seen


def test_what_is_seen_now_counts_more_than_what_was_known() -> None:
    seen = windows(UNIFORM, (0.1, 1.0))

    assert joined(seen, windows(UNIFORM, (0.1, 0.9))) == seen
    assert joined(seen, ()) == seen
    assert joined((), seen) == ()
