"""95 % intervals by the bootstrap over rows, for any figure that is a function of sums over rows.

Accuracy is a sum divided by the number of rows, F1 a function of summed counts, BLEU one of summed n-gram counts. So
a metric keeps a few numbers a row, its statistics, and one resample of all metrics is one product of matrices: how
often each row was drawn, times the statistics. (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 1000
#: Draws held in memory at once.
_DRAWS = 2_000_000

#: From sums over rows (R resamples of K statistics) and the number of rows to R figures; NaN where there is none.
Figure = Callable[[np.ndarray, int], np.ndarray]


def resampled_sums(statistics_NK: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """The sums (R, K) of the statistics over `resamples` samples of N rows drawn with replacement.

    The draws depend on N and the seed only: what is scored on the same rows is resampled alike.
    """
    n, k = statistics_NK.shape
    statistics_NK = np.asarray(statistics_NK, dtype=np.float64)
    random = np.random.default_rng(seed)
    at_once = max(1, _DRAWS // n)
    sums_RK = np.empty((resamples, k))
    for start in range(0, resamples, at_once):
        r = min(at_once, resamples - start)
        drawn_RN = random.integers(n, size=(r, n)) + n * np.arange(r)[:, None]
        times_RN = np.bincount(drawn_RN.ravel(), minlength=r * n).reshape(r, n)
        sums_RK[start : start + r] = times_RN.astype(np.float64) @ statistics_NK
    return sums_RK


def with_interval(statistics_NK: np.ndarray, sums_RK: np.ndarray, figure: Figure) -> dict[str, float]:
    """A figure of all rows as {"value", "low", "high"}: the percentiles 2.5 and 97.5 of its resampled values.

    Where resampling is biased (a corpus figure on few rows) the interval is widened to hold the value. A figure that
    doesn't exist (F1 where there is nothing to find) is 0, and resamples without one are left out.
    """
    n = len(statistics_NK)
    value = float(np.nan_to_num(figure(statistics_NK.sum(axis=0, dtype=np.float64)[None], n)[0]))
    resampled = figure(sums_RK, n)
    resampled = resampled[~np.isnan(resampled)]
    low, high = np.percentile(resampled, (2.5, 97.5)) if resampled.size else (value, value)
    return {"value": value, "low": float(min(low, value)), "high": float(max(high, value))}


def interval(statistics_NK: np.ndarray, figure: Figure, *, seed: int = 0) -> dict[str, float]:
    """`with_interval` for one figure by itself, as for an answer loss: `interval(nll_and_tokens, ratio)`."""
    return with_interval(statistics_NK, resampled_sums(statistics_NK, seed=seed), figure)


def mean(column: int = 0) -> Figure:
    """The mean over rows of one statistic."""
    return lambda sums_RK, n: sums_RK[:, column] / n


def ratio(sums_RK: np.ndarray, _n: int) -> np.ndarray:
    """The sum of the first statistic over that of the second."""
    return divide(sums_RK[:, 0], sums_RK[:, 1])


def divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Element by element; NaN where `below` is 0."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below != 0)
