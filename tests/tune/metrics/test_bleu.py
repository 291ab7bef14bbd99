"""BLEU against sacrebleu's own corpus score, and Dist-n recounted."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from tune.metrics.bleu import bleu, bleu_signature, bleu_statistics, dist, dist_statistics
from tune.metrics.bootstrap import interval


def corpus_bleu(order: int, predictions: list[str], references: list[list[str]]) -> float:
    sums = bleu_statistics(predictions, references).sum(axis=0)[None]
    return bleu(order)(sums, len(predictions))[0]


def test_by_hand() -> None:
    # all n-grams match, half as long as the reference: exp(1 - 4/2)
    assert corpus_bleu(2, ["今天"], [["今天天气"]]) == pytest.approx(math.exp(-1))
    # 4 of 4 characters, 1 of 3 pairs
    assert corpus_bleu(2, ["甲乙丙丁"], [["甲乙丁丙"]]) == pytest.approx(math.sqrt(1 / 3))
    # pooled over the corpus, not averaged: 5 of 6 characters, 2 of 4 pairs
    assert corpus_bleu(2, ["甲乙丙", "丁戊己"], [["甲乙丙"], ["己丁庚"]]) == pytest.approx(math.sqrt(5 / 6 * 2 / 4))
    # a Latin word is one token
    assert corpus_bleu(2, ["看 iPhone 手"], [["看iPhone手"]]) == pytest.approx(1)
    assert corpus_bleu(4, ["", ""], [["甲"], ["乙"]]) == 0


text = st.text("甲乙丙，a 1", max_size=8)


@given(st.lists(st.tuples(text, text, text), min_size=1, max_size=6))
def test_equal_to_sacrebleu(rows: list[tuple[str, str, str]]) -> None:
    predictions, references = [row[0] for row in rows], [list(row[1:]) for row in rows]
    for order in (2, 4):
        whole = BLEU(tokenize="zh", max_ngram_order=order)
        expected = whole.corpus_score(predictions, [[row[1] for row in rows], [row[2] for row in rows]]).score / 100
        assert corpus_bleu(order, predictions, references) == pytest.approx(expected, abs=1e-12)


def test_rows_may_have_different_numbers_of_references() -> None:
    assert corpus_bleu(2, ["甲乙丙", "丁戊"], [["甲乙丙"], ["己", "丁戊"]]) == pytest.approx(1)


def test_the_signature_names_what_matters() -> None:
    signature = bleu_signature(4, references=2)
    assert signature.startswith("BLEU-4|nrefs:2|")
    assert "|tok:zh|smooth:exp|" in signature


def test_dist_by_hand() -> None:
    rows = ["哈哈", "哈 好"]
    assert dist(dist_statistics(rows, 1).sum(axis=0)[None], 2)[0] == pytest.approx(2 / 4)
    assert dist(dist_statistics(rows, 2).sum(axis=0)[None], 2)[0] == pytest.approx(2 / 2)
    assert interval(dist_statistics(["", " "], 1), dist)["value"] == 0


def test_what_a_row_has_to_itself() -> None:
    # 哈 is in one row, 好 in two: shared between all three rows
    assert dist_statistics(["哈哈", "好", "好的"], 1).tolist() == [
        [pytest.approx(1 + 1 / 3), 2],
        [pytest.approx(1 / 3), 1],
        [pytest.approx(1 + 1 / 3), 2],
    ]


@given(st.lists(st.text("甲乙丙丁戊 ", max_size=6), min_size=1, max_size=8), st.sampled_from([1, 2]))
def test_dist_recounted(rows: list[str], n: int) -> None:
    ngrams = [row[i : i + n] for row in (row.replace(" ", "") for row in rows) for i in range(len(row) - n + 1)]
    found = interval(dist_statistics(rows, n), dist)
    assert found["value"] == pytest.approx(len(set(ngrams)) / len(ngrams) if ngrams else 0)
    assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1


def test_the_interval_of_dist_is_as_wide_as_dist_varies(corpora: Path) -> None:
    """Samples of 400 utterances: the spread of their Dist-1 against the interval that one sample gives."""
    lines = (corpora / "lccc" / "toy_train.txt").read_text(encoding="utf-8").split("\n")
    utterances = [line.split("\t")[-1] for line in lines if line]
    draw = random.Random(0)

    def one(n: int) -> tuple[float, float]:
        found = interval(dist_statistics(draw.sample(utterances, 400), n), dist)
        return found["value"], found["high"] - found["low"]

    for n in (1, 2):
        values, widths = np.array([one(n) for _ in range(60)]).T
        low, high = np.percentile(values, (2.5, 97.5))
        assert 0.6 < widths.mean() / (high - low) < 1.6
