"""ROUGE by character, by hand and recounted."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune.metrics.rouge import characters, rouge_scores


def scores(prediction: str, *references: str) -> list[float]:
    return rouge_scores([prediction], [references])[0].tolist()


def test_tokens() -> None:
    assert characters(" 买了iPhone 3G，\n真好！") == ["买", "了", "iphone", "3g", "，", "真", "好", "！"]
    assert characters("\u3000𠮷é") == ["𠮷", "é"]


def test_by_hand() -> None:
    # 4 of 6 characters; 今天 天天 天气 of 5 pairs; 今天天气 in order
    assert scores("今天天气很好", "今天天气不错") == pytest.approx([4 / 6, 3 / 5, 4 / 6])
    # the same characters, the other way round
    assert scores("甲乙丙", "丙乙甲") == pytest.approx([1, 0, 1 / 3])
    # precision 1, recall 1/2
    assert scores("甲乙", "甲乙丙丁") == pytest.approx([2 / 3, 1 / 2, 2 / 3])
    assert scores("IPHONE", "iPhone") == [1, 0, 1]
    assert scores("", "甲") == [0, 0, 0]


def test_each_kind_takes_its_best_reference() -> None:
    assert scores("甲乙丙", "丙乙甲", "乙丙") == pytest.approx([1, 2 / 3, 0.8])


def f(common: int, one: int, other: int) -> float:
    return 2 * common / (one + other) if common else 0.0


def longest_common_subsequence(one: str, other: str) -> int:
    row = [0] * (len(other) + 1)
    for a in one:
        previous = row[:]
        for j, b in enumerate(other):
            row[j + 1] = previous[j] + 1 if a == b else max(previous[j + 1], row[j])
    return row[-1]


@given(st.text("甲乙丙，", max_size=9), st.text("甲乙丙，", max_size=9))
def test_recounted(prediction: str, reference: str) -> None:
    expected = []
    for n in (1, 2):
        p, r = (Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (prediction, reference))
        expected.append(f((p & r).total(), p.total(), r.total()))
    expected.append(f(longest_common_subsequence(prediction, reference), len(prediction), len(reference)))
    assert scores(prediction, reference) == pytest.approx(expected)
