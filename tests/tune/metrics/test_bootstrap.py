"""The bootstrap: its draws, its percentiles, and a recount of both in plain Python."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tune.metrics import bootstrap
from tune.metrics.accuracy import class_counts, mean_f1
from tune.metrics.bootstrap import divide, interval, mean, ratio, resampled_sums, with_interval


def test_each_resample_draws_as_many_rows_as_there_are() -> None:
    sums = resampled_sums(np.ones((37, 1)), resamples=200)
    assert sums.shape == (200, 1)
    assert (sums == 37).all()


def test_the_draws_are_those_of_the_seed_and_of_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = np.arange(60.0).reshape(20, 3)
    sums = resampled_sums(statistics, seed=3)
    # the columns beside a statistic don't change its draws, nor does how many resamples are held at once
    assert (resampled_sums(statistics[:, :1], seed=3) == sums[:, :1]).all()
    monkeypatch.setattr(bootstrap, "_DRAWS", 70)
    assert (resampled_sums(statistics, seed=3) == sums).all()
    assert (resampled_sums(statistics, seed=4) != sums).any()


def test_f1_by_hand_on_every_resample() -> None:
    random = np.random.default_rng(1)
    gold, predicted = random.integers(2, size=(2, 40)).astype(str).tolist()
    drawn = np.random.default_rng(0).integers(40, size=(1000, 40))
    pairs = list(zip(gold, predicted, strict=True))
    low, high = np.percentile([f1([pairs[row] for row in rows]) for rows in drawn.tolist()], (2.5, 97.5))
    found = interval(class_counts(predicted, gold, ["1"]), mean_f1)
    assert found == pytest.approx({"value": f1(pairs), "low": low, "high": high})


def f1(pairs: list[tuple[str, str]]) -> float:
    right = pairs.count(("1", "1"))
    return 2 * right / (2 * right + pairs.count(("1", "0")) + pairs.count(("0", "1")))


def test_the_interval_of_a_share_is_the_one_of_the_textbook() -> None:
    rows = np.zeros((2000, 1))
    rows[:600] = 1
    found = interval(rows, mean())
    half = 1.96 * math.sqrt(0.3 * 0.7 / 2000)
    assert found["value"] == 0.3
    assert found["low"] == pytest.approx(0.3 - half, abs=half / 10)
    assert found["high"] == pytest.approx(0.3 + half, abs=half / 10)


@given(arrays(np.int64, st.tuples(st.integers(1, 30), st.just(2)), elements=st.integers(0, 20)))
def test_an_interval_holds_its_value(statistics: np.ndarray) -> None:
    for figure in (mean(0), mean(1), ratio):
        found = interval(statistics, figure)
        assert found["low"] <= found["value"] <= found["high"]


def test_an_interval_beside_the_value_is_widened_to_it() -> None:
    rows = np.ones((2, 1))
    assert with_interval(rows, np.full((9, 1), 0.5), mean()) == {"value": 1, "low": 0.25, "high": 1}
    assert with_interval(rows, np.full((9, 1), 3.0), mean()) == {"value": 1, "low": 1, "high": 1.5}


def test_equal_rows_leave_nothing_to_chance() -> None:
    assert interval(np.full((50, 1), 0.25), mean()) == {"value": 0.25, "low": 0.25, "high": 0.25}


def test_a_figure_that_does_not_exist_is_nought() -> None:
    assert interval(np.zeros((5, 2)), ratio) == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_resamples_without_the_figure_are_left_out() -> None:
    # one row in three has something to divide by; wherever it was drawn the ratio is 1/2
    statistics = np.array([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    assert interval(statistics, ratio) == {"value": 0.5, "low": 0.5, "high": 0.5}


def test_division() -> None:
    found = divide(np.array([1.0, 1.0]), np.array([2.0, 0.0]))
    assert found[0] == 0.5
    assert math.isnan(found[1])


def test_a_large_split_takes_no_time() -> None:
    start = time.process_time()
    resampled_sums(np.ones((12_500, 10)))
    assert time.process_time() - start < 2
