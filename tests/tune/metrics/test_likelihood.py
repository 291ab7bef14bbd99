"""What label probabilities say: accuracy, AUC, and the best threshold, each against a recount."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tune.metrics import best_threshold, label_scores
from tune.metrics.likelihood import auc_statistics, positive_index

ROWS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.500001, 0.7, 1.0]), st.booleans()), min_size=1)


def columns(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p for p, _ in rows]), np.array([positive for _, positive in rows])


@given(ROWS)
def test_the_threshold_is_the_best_there_is(rows: list[tuple[float, bool]]) -> None:
    p_N, positive_N = columns(rows)
    threshold = best_threshold(p_N, positive_N)
    tried = [float(p) for p in p_N] + [2.0]
    best = max(((p_N >= t) == positive_N).sum() for t in tried)
    assert ((p_N >= threshold) == positive_N).sum() == best
    if ((p_N >= 0.5) == positive_N).sum() == best:
        assert threshold == 0.5


def test_thresholds_by_hand() -> None:
    assert best_threshold(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])) == 0.5
    assert best_threshold(np.array([0.6, 0.7, 0.8, 0.9]), np.array([False, False, True, True])) == pytest.approx(0.75)
    assert best_threshold(np.array([0.1, 0.2, 0.3]), np.array([False, True, True])) == pytest.approx(0.15)


@given(ROWS.filter(lambda rows: len({positive for _, positive in rows}) == 2))
def test_auc_is_scikit_learn_s(rows: list[tuple[float, bool]]) -> None:
    p_N, positive_N = columns(rows)
    statistics_N4, value = auc_statistics(p_N, positive_N)
    assert value == pytest.approx(roc_auc_score(positive_N, p_N))
    placed, positives, below, negatives = statistics_N4.sum(axis=0)
    assert placed / positives == pytest.approx(below / negatives) == pytest.approx(value)


def test_the_interval_of_auc_is_that_of_resampled_aucs() -> None:
    random = np.random.default_rng(5)
    positive_N = random.random(500) < 0.4
    p_N = 1 / (1 + np.exp(-random.normal(positive_N * 1.5, 1)))
    gold = np.where(positive_N, "1", "0").tolist()
    found = label_scores(np.stack([1 - p_N, p_N], axis=1), gold, ["0", "1"])["auc"]
    aucs = []
    for rows in random.integers(500, size=(1000, 500)):
        p, positive = p_N[rows], positive_N[rows]
        aucs.append((p[positive][:, None] > p[~positive]).mean() + (p[positive][:, None] == p[~positive]).mean() / 2)
    low, high = np.percentile(aucs, (2.5, 97.5))
    assert found["value"] == pytest.approx(roc_auc_score(positive_N, p_N))
    assert (found["low"], found["high"]) == (pytest.approx(low, abs=0.005), pytest.approx(high, abs=0.005))


def test_scores_by_hand() -> None:
    p_NC = np.array([[0.9, 0.1], [0.4, 0.6], [0.45, 0.55], [0.2, 0.8]])
    gold = ["0", "0", "1", "1"]
    scores = label_scores(p_NC, gold, ["0", "1"], threshold=0.7)
    assert {name: figure["value"] for name, figure in scores.items()} == {
        "accuracy_likelihood": 3 / 4,
        "auc": 3 / 4,  # of four pairs only (0.55, 0.6) stands the wrong way
        "accuracy_at_threshold": 3 / 4,
    }
    assert label_scores(p_NC, gold, ["0", "1"], threshold=0.55)["accuracy_at_threshold"]["value"] == 3 / 4
    # the columns may stand in any order: "1" is the positive class
    assert label_scores(p_NC[:, ::-1], gold, ["1", "0"], threshold=0.7) == scores


def test_which_label_is_positive() -> None:
    assert [positive_index(codes) for codes in (["0", "1"], ["1", "0"], ["a", "b"])] == [1, 0, 1]


def test_what_there_is_no_figure_for_is_left_out() -> None:
    three = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    assert list(label_scores(three, ["a", "b"], ["a", "b", "c"], threshold=0.5)) == ["accuracy_likelihood"]
    assert list(label_scores(three[:, :2], ["0", "0"], ["0", "1"])) == ["accuracy_likelihood"]


def test_a_perfect_ranking_leaves_nothing_to_chance() -> None:
    p_NC = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    assert label_scores(p_NC, ["0", "0", "1"], ["0", "1"])["auc"] == {"value": 1, "low": 1, "high": 1}
