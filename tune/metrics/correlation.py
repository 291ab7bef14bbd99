"""Scores against scores: Pearson's r, Spearman's rho, the mean absolute error.

    r = (Σxy/n - x̄ȳ) / √((Σx²/n - x̄²)(Σy²/n - ȳ²))        (Pearson 1895)

rho is r of the ranks, equal values sharing the mean of theirs (Spearman 1904). Both are functions of sums over rows,
so their intervals come from the same resamples as all others; rho's are of the ranks among all rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tune.errors import UserError
from tune.metrics.bootstrap import divide


def numbers(texts: Sequence[str]) -> np.ndarray:
    """The numbers that texts hold, float64 [N]. Raises UserError for a text that is none."""
    found = []
    for text in texts:
        try:
            found.append(float(text))
        except ValueError:
            raise UserError(f"{text!r} is no number, and scores are compared; predict numbers like 3.5") from None
    return np.array(found, dtype=np.float64)


def moments(x_N: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    """[N, 5]: x, y, x², y², xy, about the means of all rows, which `pearson` doesn't see but rounding does."""
    x_N, y_N = x_N - x_N.mean(), y_N - y_N.mean()
    return np.stack([x_N, y_N, x_N**2, y_N**2, x_N * y_N], axis=1)


def ranks(x_N: np.ndarray) -> np.ndarray:
    """From 1; equal values share the mean of their ranks."""
    _, place_N, count = np.unique(x_N, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place_N]


def pearson(sums_R5: np.ndarray, n: int) -> np.ndarray:
    """r of each row of sums; NaN where x or y is constant."""
    x, y, xx, yy, xy = (sums_R5 / n).T
    spread = np.sqrt(np.clip(xx - x**2, 0, None) * np.clip(yy - y**2, 0, None))
    return np.clip(divide(xy - x * y, np.where(spread > 1e-12, spread, 0.0)), -1, 1)
