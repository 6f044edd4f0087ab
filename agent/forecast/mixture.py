"""A guest's writes as classes of pages, each page of a class written at random at one rate.

Hot, warm and cold (Clark et al., NSDI 2005): what is sampled for a second says with this what to
expect of a minute.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

RATES_PER_S = np.geomspace(0.003, 3000.0, 37)
"""Rates of one page; the classes that are found are few of these."""

_STEPS_MAX = 200
_TINY = 1e-9


def classes(seconds: Sequence[float], pages: Sequence[float]) -> tuple[Numbers, Numbers]:
    """Rates and sizes of the classes that explain best how many pages were written in windows of
    `seconds`: the sum over classes of size x (1 - exp(-rate x seconds)).
    """
    times, seen = np.asarray(seconds, float), np.asarray(pages, float)
    if not len(times) or seen.max(initial=0.0) <= 0:
        return np.empty(0), np.empty(0)
    # Each window counts by its own size: the small ones are as telling as the long.
    weight = 1.0 / np.maximum(seen, 1.0)
    parts = -np.expm1(-np.outer(times, RATES_PER_S))
    sizes = _least_squares(parts * weight[:, None], seen * weight)
    found = sizes > _TINY
    return RATES_PER_S[found], sizes[found]


def _least_squares(a: Numbers, b: Numbers) -> Numbers:
    """The x of no negative part for which |ax - b| is least (Lawson and Hanson, 1974)."""
    columns = a.shape[1]
    x, used = np.zeros(columns), np.zeros(columns, bool)
    for _ in range(_STEPS_MAX):
        slope = a.T @ (b - a @ x)
        slope[used] = -np.inf
        best = int(np.argmax(slope))
        if slope[best] <= _TINY:
            break
        used[best] = True
        while True:
            trial = np.zeros(columns)
            trial[used] = np.linalg.lstsq(a[:, used], b, rcond=None)[0]
            falls = used & (trial <= _TINY)
            if not falls.any():
                x = trial
                break
            share = x[falls] / np.maximum(x[falls] - trial[falls], _TINY)
            x = x + min(1.0, float(share.min())) * (trial - x)
            used &= x > _TINY
            x[~used] = 0.0
            if not used.any():
                break
    return x
