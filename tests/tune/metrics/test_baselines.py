"""The figures to beat: majority, and the linear model on characters."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune.metrics import bag_of_characters, labelled_texts, majority
from tune.metrics.baselines import _features, _ngrams, fit_characters
from tune.runs import open_run


def test_majority() -> None:
    assert majority(["1", "0", "1"])["value"] == pytest.approx(2 / 3)
    assert majority(["0", "1"])["value"] == 0.5
    assert majority(["1", "1"]) == {"value": 1, "low": 1, "high": 1}


@given(st.lists(st.text("甲乙丙AＡ1 \n\u2028𠮷", max_size=8), min_size=1, max_size=5))
def test_features_are_the_characters_and_pairs_of_a_text(texts: list[str]) -> None:
    found = np.diff(_ngrams(texts).indptr).tolist()
    plain = [text.lower().replace("\n", " ") for text in texts]
    # a line end is white space here; no two of these few n-grams fall together
    assert found == [len(set(text)) + len(set(pairwise(text))) for text in plain]


def test_the_same_feature_in_every_text() -> None:
    one, two = _ngrams(["甲乙", "乙甲乙"]).toarray()
    assert ((one > 0) <= (two > 0)).all()
    assert _ngrams(["甲甲甲"]).data.tolist() == [1, 1]  # there or not, however often
    assert (_ngrams(["甲\n乙"]) != _ngrams(["甲 乙"])).nnz == 0


def test_features_of_a_pair_have_no_order() -> None:
    assert (_features([("甲乙", "乙丙")]) != _features([("乙丙", "甲乙")])).nnz == 0
    # 甲 乙 丙 甲乙 乙丙: 乙 is in both, four are in one
    found = _features([("甲乙", "乙丙")])
    assert found.nnz == 5
    assert (found.indices < 1 << 20).sum() == 1
    assert np.allclose(found.data, 1 / np.sqrt(5))


def pairs(n: int, seed: int) -> tuple[list[tuple[str, str]], list[str]]:
    """Made-up pairs: the same characters in another order, or others."""
    draw = random.Random(seed)
    alphabet = "一二三四五六七八九十百千万亿甲乙丙丁戊己庚辛壬癸"
    texts, labels = [], []
    for _ in range(n):
        one = draw.sample(alphabet, 6)
        same = draw.random() < 0.6
        other = draw.sample(one, 6) if same else draw.sample(alphabet, 6)
        texts.append(("".join(one), "".join(other)))
        labels.append("1" if same else "0")
    return texts, labels


def test_it_learns_what_characters_tell() -> None:
    train, test = pairs(600, 0), pairs(200, 1)
    found = bag_of_characters(*train, *test)
    assert found["value"] > 0.95 > majority(test[1])["high"]
    assert found["low"] <= found["value"] <= found["high"]
    predict = fit_characters(*train)
    assert predict(test[0]) == predict([(b, a) for a, b in test[0]]) == fit_characters(*train)(test[0])


def test_several_classes_and_single_texts() -> None:
    draw = random.Random(0)
    texts = [f"{draw.choice('甲乙丙')}{''.join(draw.choices('一二三四', k=5))}" for _ in range(300)]
    labels = [text[0] for text in texts]
    assert bag_of_characters(texts[:200], labels[:200], texts[200:], labels[200:])["value"] > 0.95


def test_one_label_in_train() -> None:
    assert fit_characters(["甲", "乙"], ["1", "1"])(["丙", "丁", ""]) == ["1", "1", "1"]


def test_what_it_reads_of_samples(golden: Path) -> None:
    run = open_run(golden / "pair")
    samples = list(run.rows("test"))
    texts, labels = labelled_texts(samples, run.labels)
    assert len(texts) == len(labels) == 3  # the fourth has no label
    assert texts[0] == ("晚上喝茶睡不着怎么办", "晚上喝了茶失眠怎么办")
    assert labels == ["1", "0", "1"]
    plain = {**samples[0], "meta": {"id": "x", "label": "1"}}
    inverted = {**plain, "output": "一条评论", "instruction": "请写一条评论", "input": ""}
    message = f"{plain['instruction']}\n{plain['input']}"
    assert labelled_texts([plain, inverted], run.labels) == ([message], ["1"])


def test_on_real_reviews(corpora: Path) -> None:
    """Curated, without the leaked rows, it reaches 0.87; here train and dev are as published."""
    train, dev = (table(corpora / "chnsenticorp" / name) for name in ("train.tsv", "dev.tsv"))

    def columns(rows: list[list[str]]) -> tuple[list[str], list[str]]:
        return [row[1] for row in rows], [row[0] for row in rows]

    assert bag_of_characters(*columns(train), *columns(dev))["value"] > 0.85


@pytest.mark.slow
def test_on_all_the_real_pairs(corpora: Path) -> None:
    """Curated it reaches 0.81; the time is that of the process, which a busy machine doesn't lengthen much."""
    train, dev = (table(corpora / "lcqmc" / name) for name in ("train.tsv", "dev_header.txt"))

    def columns(rows: list[list[str]]) -> tuple[list[tuple[str, str]], list[str]]:
        return [(row[0], row[1]) for row in rows], [row[2] for row in rows]

    start = time.process_time()
    assert bag_of_characters(*columns(train), *columns(dev))["value"] > 0.78
    assert time.process_time() - start < 20


def table(path: Path) -> list[list[str]]:
    """The cells of a tab-separated file with a header."""
    return [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[1:] if line]
