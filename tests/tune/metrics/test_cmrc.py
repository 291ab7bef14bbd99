"""CMRC 2018's scores: vectors worked out by hand from its rules, and a recount of the longest common run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune.metrics.cmrc import cmrc_scores, cut


def both(prediction: str, *references: str) -> tuple[float, float]:
    em, f1 = cmrc_scores([prediction], [references])[0].tolist()
    return em, f1


@pytest.mark.parametrize(
    ("prediction", "reference", "em", "f1"),
    [
        ("1998年", "1998年", 1, 1),
        ("《1998年》。", "1998年", 1, 1),
        ("清华大学", "北京大学", 0, 1 / 2),  # 大学: 2 of 4 and 2 of 4
        ("甲丙乙丁", "甲乙丙丁", 0, 1 / 4),  # a run, neither a bag (1) nor a subsequence (3/4)
        ("IPHONE", "iPhone手机", 0, 1 / 2),  # a Latin word is one token: 1 of 1, 1 of 3
        ("ab", "a-b", 1, 1),  # a dropped mark doesn't end a run …
        ("a b", "a-b", 0, 0),  # … white space does
        ("好", "好…", 0, 2 / 3),  # the ellipsis stays
        ("好", "好……", 0, 2 / 3),  # a word of its own, even twice
        ("1,000", "1000", 0, 0),  # the half-width comma stays
        ("3.5", "3·5", 0, 0),
        ("ca", "can't", 0, 2 / 3),  # ca + n't
        ("hello", "hello.", 0, 2 / 3),
        ("", "好", 0, 0),
        ("，", "。", 1, 0),  # equal without punctuation, but with no token in common
        ("龦", "龦", 1, 1),  # beyond U+9FA5: part of a run of other characters
    ],
)
def test_by_hand(prediction: str, reference: str, em: float, f1: float) -> None:
    assert both(prediction, reference) == (em, pytest.approx(f1))
    assert both(reference, prediction) == (em, pytest.approx(f1))


def test_the_best_reference_counts_for_each_score() -> None:
    assert both("北京", "北京市", "天津", "北京。") == (1, 1)
    assert both("北京", "北京市", "天津") == (0, pytest.approx(0.8))
    assert both("北京", "天津", "北京市") == (0, pytest.approx(0.8))


def test_tokens() -> None:
    assert cut("使用iPhone 3G（2008）。") == ("使", "用", "iphone", "3g2008")
    assert cut("  A: b_c  ") == ("a", "bc")
    assert cut("龥龥龦龦") == ("龥", "龥", "龦龦")


def longest_common_run(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    runs = {one[i:j] for i in range(len(one)) for j in range(i + 1, len(one) + 1)}
    return max((len(run) for run in runs if run in {other[i : i + len(run)] for i in range(len(other))}), default=0)


texts = st.text("甲乙丙丁，a1 ", max_size=12)


@given(texts, st.lists(texts, min_size=1, max_size=3))
def test_recounted(prediction: str, references: list[str]) -> None:
    f1s = []
    for reference in references:
        common = longest_common_run(cut(reference), cut(prediction))
        f1s.append(2 * common / (len(cut(reference)) + len(cut(prediction))) if common else 0.0)
    em, f1 = both(prediction, *references)
    assert f1 == pytest.approx(max(f1s))
    assert em in (0, 1)
    if em and cut(prediction):
        assert f1 == 1


def test_figures_of_the_official_script_on_the_development_set(corpora: Path) -> None:
    """Each question's third answer against its first two, as scored by the corpus's own script (version 6)."""
    data = json.loads((corpora / "cmrc2018" / "squad_dev.json").read_text(encoding="utf-8"))["data"]
    answers = [
        [str(answer["text"]) for answer in question["answers"]]
        for article in data
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    scores = cmrc_scores([given[2] for given in answers], [given[:2] for given in answers])
    assert len(scores) == 3219
    assert (100 * scores.mean(axis=0)).round(3).tolist() == [77.788, 93.440]
    assert cmrc_scores([given[0] for given in answers], answers).mean(axis=0).tolist() == [1, 1]
