"""DRCD's scores, by hand from SQuAD's rules with the changes for Chinese."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune.metrics.drcd import drcd_scores


def both(prediction: str, *references: str) -> tuple[float, float]:
    em, f1 = drcd_scores([prediction], [references])[0].tolist()
    return em, f1


@pytest.mark.parametrize(
    ("prediction", "reference", "em", "f1"),
    [
        ("紅樓夢。", "《紅樓夢》", 1, 1),
        ("甲乙丙丁", "丁丙乙甲", 0, 1),  # a bag of characters
        ("甲甲", "甲乙", 0, 1 / 2),  # one of two, one of two
        ("清華大學", "北京大學", 0, 1 / 2),
        ("the iPhone", "iphone", 1, 1),
        ("1,000", "1000", 1, 1),  # all ASCII punctuation is dropped
        ("好！", "好", 0, 2 / 3),  # of full-width marks only eight are
        ("x  y", "xy", 0, 0.8),  # the space between is a character: 2 of 3, 2 of 2
        ("", "好", 0, 0),
        ("，", "。", 1, 0),
    ],
)
def test_by_hand(prediction: str, reference: str, em: float, f1: float) -> None:
    assert both(prediction, reference) == (em, pytest.approx(f1))
    assert both(reference, prediction) == (em, pytest.approx(f1))


def test_the_best_reference_counts() -> None:
    assert both("臺北", "高雄", "臺北市") == (0, pytest.approx(0.8))
    assert both("臺北", "高雄", "臺北。") == (1, 1)


@given(st.text("甲乙丙丁", max_size=8), st.text("甲乙丙丁", max_size=8))
def test_recounted(prediction: str, reference: str) -> None:
    rest = list(reference)
    common = 0
    for char in prediction:
        if char in rest:
            rest.remove(char)
            common += 1
    precision, recall = common / max(1, len(prediction)), common / max(1, len(reference))
    f1 = 2 * precision * recall / (precision + recall) if common else 0
    assert both(prediction, reference) == (prediction == reference, pytest.approx(f1))


def test_gold_answers_of_the_development_set(corpora: Path) -> None:
    data = json.loads((corpora / "drcd" / "DRCD_dev.json").read_text(encoding="utf-8"))["data"]
    answers = [
        [answer["text"] for answer in question["answers"]]
        for article in data
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    assert len(answers) == 3524
    assert drcd_scores([given[0] for given in answers], answers).mean(axis=0).tolist() == [1, 1]
    # the second annotator against the first agrees on most, not on all
    em, f1 = drcd_scores([given[-1] for given in answers], [given[:1] for given in answers]).mean(axis=0)
    assert 0.7 < em < f1 < 1
