"""What the likelihoods of the label words say: accuracy, AUC, and accuracy at a threshold chosen on validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tune.metrics.accuracy import POSITIVE
from tune.metrics.bootstrap import Figure, interval, mean


def label_scores(
    p_NC: np.ndarray, gold: Sequence[str], codes: Sequence[str], *, threshold: float | None = None, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Scores of N rows by the probabilities of their C labels (normalised over the labels; columns as in `codes`).

    `accuracy_likelihood`: the likeliest label is the right one (of equals the first). With two labels also `auc`, the
    probability that a row of class "1" gets a higher p("1") than another row, where both kinds of rows are there; and
    with a `threshold` from `best_threshold` on the validation split `accuracy_at_threshold`: "1" where p("1") is at
    least that much. Each is {"value", "low", "high"}.
    """
    gold_N = np.array([codes.index(label) for label in gold])
    scores = {"accuracy_likelihood": _accuracy(p_NC.argmax(axis=1) == gold_N, seed)}
    if len(codes) != 2:
        return scores
    p_N, positive_N = p_NC[:, positive_index(codes)], gold_N == positive_index(codes)
    if 0 < positive_N.sum() < len(positive_N):
        scores["auc"] = _auc(p_N, positive_N, seed)
    if threshold is not None:
        scores["accuracy_at_threshold"] = _accuracy((p_N >= threshold) == positive_N, seed)
    return scores


def positive_index(codes: Sequence[str]) -> int:
    """Which of two labels counts as positive: "1", else the second."""
    return list(codes).index(POSITIVE) if POSITIVE in codes else 1


def best_threshold(p_N: np.ndarray, positive_N: np.ndarray) -> float:
    """The t for which `p >= t` is right for most rows; of several, the one nearest to 0.5.

    p_N: each row's probability of the positive label; positive_N: whether it is that (bool).
    """
    order = np.argsort(p_N, kind="stable")
    p_N, positive_N = p_N[order], positive_N[order]
    # cut k: the k rows of the lowest p are called negative; only where p changes can rows be parted
    negatives_below = np.concatenate([[0], np.cumsum(~positive_N)])
    positives_below = np.concatenate([[0], np.cumsum(positive_N)])
    right = negatives_below + positives_below[-1] - positives_below
    parted = np.concatenate([[True], p_N[1:] > p_N[:-1], [True]])
    best = np.flatnonzero(parted & (right == right[parted].max()))
    low, high = np.concatenate([[0.0], p_N])[best], np.concatenate([p_N, [1.0 + 1e-9]])[best]
    threshold = np.where((low < 0.5) & (high >= 0.5), 0.5, (low + high) / 2)
    # neighbouring floats have no middle between them: the upper one parts them as well
    threshold = np.where(threshold > low, threshold, high)
    return float(threshold[np.abs(threshold - 0.5).argmin()])


def _accuracy(right_N: np.ndarray, seed: int) -> dict[str, float]:
    return interval(right_N.astype(np.float64)[:, None], mean(0), seed=seed)


def _auc(p_N: np.ndarray, positive_N: np.ndarray, seed: int) -> dict[str, float]:
    statistics_N4, value = auc_statistics(p_N, positive_N)
    return interval(statistics_N4, _auc_figure(value), seed=seed)


def auc_statistics(p_N: np.ndarray, positive_N: np.ndarray) -> tuple[np.ndarray, float]:
    """(N, 4) placements and the AUC (Mann–Whitney; equals count one half).

    A positive row's placement is the share of negative rows below it, a negative row's the share of positive rows
    above it; the AUC is the mean of either. The two kinds vary independently, and to first order the AUC of a
    resample is AUC + (mean over its positives − AUC) + (mean over its negatives − AUC): DeLong et al., 1988.
    """
    above_N, below_N = np.sort(p_N[positive_N]), np.sort(p_N[~positive_N])
    placed_N = np.where(
        positive_N,
        (np.searchsorted(below_N, p_N, "left") + np.searchsorted(below_N, p_N, "right")) / (2 * len(below_N)),
        1 - (np.searchsorted(above_N, p_N, "left") + np.searchsorted(above_N, p_N, "right")) / (2 * len(above_N)),
    )
    columns = [placed_N * positive_N, positive_N, placed_N * ~positive_N, ~positive_N]
    return np.stack(columns, axis=1).astype(np.float64), float(placed_N[positive_N].mean())


def _auc_figure(value: float) -> Figure:
    def figure(sums_RK: np.ndarray, _n: int) -> np.ndarray:
        # a resample of one kind of rows only has no AUC
        with np.errstate(divide="ignore", invalid="ignore"):
            resampled_R = sums_RK[:, 0] / sums_RK[:, 1] + sums_RK[:, 2] / sums_RK[:, 3] - value
        return np.clip(resampled_R, 0.0, 1.0)

    return figure
