import pytest

from lab.bench.figures import Spread, rank, ratios, short


def test_a_spread_is_the_median_with_the_least_and_the_greatest() -> None:
    spread = Spread.of([3.0, 1.0, 2.0])

    assert (spread.median, spread.least, spread.most, spread.count) == (2.0, 1.0, 3.0, 3)
    assert str(spread.times(1000)) == "2000 (1000 to 3000)"


def test_nothing_has_no_median() -> None:
    with pytest.raises(ValueError, match="no figure"):
        Spread.of([])


def test_ratios_are_of_the_same_round() -> None:
    assert ratios([1.0, 6.0], [2.0, 3.0]) == [0.5, 2.0]


@pytest.mark.parametrize(("share", "figure"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)])
def test_a_rank_is_the_figure_that_so_many_do_not_pass(share: float, figure: float) -> None:
    assert rank([float(number) for number in range(100, 0, -1)], share) == figure


@pytest.mark.parametrize(
    ("figure", "text"),
    [(0.0012, "0.0012"), (0.0, "0.00"), (1.234, "1.23"), (56.78, "56.8"), (1234.5, "1234")],
)
def test_a_figure_is_told_with_three_digits(figure: float, text: str) -> None:
    assert short(figure) == text
