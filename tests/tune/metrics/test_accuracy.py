"""Labels read from generated texts, and F1."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from tune.metrics.accuracy import class_counts, correct, label_reader, mean_f1

PAIR = {"0": "不同", "1": "相同"}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("相同", "1"),
        ("不同", "0"),
        (" 相同\n", "1"),
        ("相同。", "1"),
        ("“相同”", "1"),
        ("**不同**", "0"),
        ("答案：不同", "0"),
        ("答案: 不同.", "0"),
        ("相同，因为两句都问天气。", "1"),
        ("相同。相同。", "1"),
        # the word doesn't stand free
        ("不相同", None),
        ("意思相同", None),
        ("相同的", None),
        ("相同相同相同", None),
        # several labels, or none
        ("相同/不同", None),
        ("不同。相同。", None),
        ("", None),
        ("是", None),
        ("1", None),
    ],
)
def test_what_a_text_names(text: str, label: str | None) -> None:
    assert label_reader(PAIR)(text) == label


def test_a_word_inside_another_is_not_named() -> None:
    read = label_reader({"a": "同", "b": "不同", "c": "不 同", "d": "C++", "e": "NONE"})
    assert [read(text) for text in ("同", "不同", "不 同", "c++。", "Ｎｏｎｅ", "不", "NONESUCH")] == [
        "a", "b", "c", "d", "e", None, None,
    ]  # fmt: skip


def test_of_two_words_that_begin_alike_the_longer_is_read() -> None:
    assert label_reader({"a": "好", "b": "好 吃"})("好 吃。") == "b"


@given(st.text("不相同。 ：“”a1", max_size=12))
def test_punctuation_around_a_text_changes_nothing(text: str) -> None:
    read = label_reader(PAIR)
    assert read(text) == read(f"“{text}”") == read(f" {text}。\n")


labels = st.lists(st.tuples(st.sampled_from("012"), st.sampled_from(["0", "1", "2", None])), min_size=1, max_size=40)


@given(labels)
def test_f1_is_scikit_learn_s(rows: list[tuple[str, str | None]]) -> None:
    gold, predicted = [g for g, _ in rows], [p for _, p in rows]
    shown = [p or "none" for p in predicted]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        macro = f1_score(gold, shown, average="macro", labels=sorted(set(gold)))
        ones = f1_score([g == "1" for g in gold], [p == "1" for p in predicted])
    everything = class_counts(predicted, gold, ["0", "1", "2", "3"]).sum(axis=0)[None]
    only_ones = class_counts(predicted, gold, ["1"]).sum(axis=0)[None]
    assert mean_f1(everything, len(gold))[0] == pytest.approx(macro)
    assert np.nan_to_num(mean_f1(only_ones, len(gold))[0]) == pytest.approx(ones)
    assert correct(predicted, gold).mean() == sum(g == p for g, p in rows) / len(rows)


def test_f1_by_hand() -> None:
    # class 1: 2 right of 3 predicted and 4 true: precision 2/3, recall 1/2, F1 4/7
    gold, predicted = list("111100"), ["1", "1", None, "0", "1", "0"]
    assert mean_f1(class_counts(predicted, gold, ["1"]).sum(axis=0)[None], 6)[0] == pytest.approx(4 / 7)
    # class 0: 1 right of 2 predicted and 2 true: 1/2
    both = class_counts(predicted, gold, ["0", "1"]).sum(axis=0)[None]
    assert mean_f1(both, 6)[0] == pytest.approx((4 / 7 + 1 / 2) / 2)
