"""Medians with their spread, and how they are written."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some figures, the least and the greatest, and how many there were."""

    median: float
    least: float
    most: float
    count: int

    @classmethod
    def of(cls, figures: Iterable[float]) -> Self:
        ordered = sorted(figures)
        if not ordered:
            raise ValueError("no figure was measured, so there is no median")
        return cls(statistics.median(ordered), ordered[0], ordered[-1], len(ordered))

    def times(self, factor: float) -> "Spread":
        """The same in another unit."""
        return Spread(self.median * factor, self.least * factor, self.most * factor, self.count)

    def as_data(self) -> dict[str, float]:
        return {
            "median": self.median,
            "min": self.least,
            "max": self.most,
            "count": self.count,
        }

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.least)} to {short(self.most)})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Each figure beside the other of the same round."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True) if other]


def rank(figures: Sequence[float], share: float) -> float:
    """The figure that `share` of all are not greater than."""
    ordered = sorted(figures)
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]


def short(figure: float) -> str:
    """Three digits, which is more than any of these figures means."""
    if figure and abs(figure) < 0.01:
        return f"{figure:.4f}"
    if abs(figure) < 10:
        return f"{figure:.2f}"
    return f"{figure:.1f}" if abs(figure) < 100 else f"{figure:.0f}"
