"""The table of metrics: what holds for each of them."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tune.errors import UserError
from tune.metrics import FROM_LOSS, METRICS, row_scores, score
from tune.metrics.correlation import ranks

WORDS = {"0": "不同", "1": "相同", "2": "难说"}
LABELS = [name for name, metric in METRICS.items() if metric.needs_labels]
DIVERSITY = ["dist1", "dist2"]
SCORES = ["pearson", "spearman", "mae"]
TEXTS = [name for name in METRICS if name not in [*LABELS, *DIVERSITY, *SCORES]]


def test_names_in_use() -> None:
    named = (
        "accuracy f1 macro_f1 cmrc_em cmrc_f1 drcd_em drcd_f1 rouge1 rouge2 rougeL bleu2 bleu4 dist1 dist2 exact_match"
    )
    assert {*named.split(), *SCORES} == set(METRICS)


def test_scores_correlate_as_numpy_and_scipy_say() -> None:
    from scipy.stats import pearsonr, rankdata, spearmanr

    draw = random.Random(0)
    said = [round(draw.gauss(3, 1), 1) for _ in range(60)]  # of one decimal, so that some are equal
    gold = [round(x + draw.gauss(0, 1), 1) for x in said]
    found = score("pair", SCORES, [str(x) for x in said], [[str(y)] for y in gold])
    assert found["pearson"]["value"] == pytest.approx(pearsonr(said, gold)[0])
    assert found["spearman"]["value"] == pytest.approx(spearmanr(said, gold)[0])
    assert found["mae"]["value"] == pytest.approx(sum(abs(x - y) for x, y in zip(said, gold, strict=True)) / 60)
    assert ranks(np.array(said)).tolist() == rankdata(said).tolist()
    assert all(figure["low"] < figure["value"] < figure["high"] for figure in found.values())
    assert score("pair", ["pearson"], ["2", "2"], [["1"], ["3"]])["pearson"]["value"] == 0  # a constant has none
    with pytest.raises(UserError, match="'much' is no number"):
        score("pair", SCORES, ["much"], [["1"]])


def test_every_metric_of_every_task_is_known() -> None:
    from curate.tasks import TASKS

    asked = {name for task in TASKS.values() for name in task.metrics}
    assert asked <= {*METRICS, *FROM_LOSS}


def test_the_right_answer_scores_one() -> None:
    answers = ["北京大学在1898年成立", "约12 平方公里，靠近iPhone工厂", "今天天气不错啊"]
    ones = {"value": 1, "low": 1, "high": 1}
    found = score("mrc", TEXTS, answers, [["别的", answer] for answer in answers])
    assert found == {name: pytest.approx(ones) for name in TEXTS}
    words = [WORDS[code] for code in "0112"]
    assert score("pair", LABELS, words, [[word] for word in words], list("0112"), WORDS) == dict.fromkeys(LABELS, ones)
    # the label follows from the reference as well
    assert score("pair", LABELS, words, [[word] for word in words], None, WORDS) == dict.fromkeys(LABELS, ones)


def test_a_wrong_answer_scores_nought() -> None:
    nought = {"value": 0, "low": 0, "high": 0}
    assert score("mrc", TEXTS, ["甲甲甲甲甲"] * 3, [["乙丙丁戊己"]] * 3) == dict.fromkeys(TEXTS, nought)
    assert score("pair", LABELS, ["嗯", ""], [["相同"], ["不同"]], ["1", "0"], WORDS) == dict.fromkeys(LABELS, nought)


texts = st.text("甲乙丙丁，。a1 ", max_size=8)
answers = st.sampled_from(["相同", "不同", "难说。", "不知道", "相同/不同"])


@hypothesis_settings(max_examples=25)
@given(st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=8), st.randoms())
def test_shares_between_nought_and_one_in_any_order(rows: list[tuple[str, list[str]]], draw: random.Random) -> None:
    names = [*TEXTS, *DIVERSITY]
    found = score("mrc", names, [p for p, _ in rows], [r for _, r in rows])
    for figure in found.values():
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1 + 1e-12
    draw.shuffle(rows)
    again = score("mrc", names, [p for p, _ in rows], [r for _, r in rows])
    assert {n: f["value"] for n, f in again.items()} == pytest.approx({n: f["value"] for n, f in found.items()})


@hypothesis_settings(max_examples=25)
@given(st.lists(st.tuples(answers, st.sampled_from("012")), min_size=1, max_size=12), st.randoms())
def test_the_same_of_labels(rows: list[tuple[str, str]], draw: random.Random) -> None:
    def scored() -> dict[str, dict[str, float]]:
        gold = [code for _, code in rows]
        return score("pair", LABELS, [text for text, _ in rows], [[WORDS[code]] for code in gold], gold, WORDS)

    found = scored()
    assert all(0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1 for figure in found.values())
    draw.shuffle(rows)
    assert {n: f["value"] for n, f in scored().items()} == pytest.approx({n: f["value"] for n, f in found.items()})


def test_a_metric_by_itself_is_what_it_is_among_others() -> None:
    predictions, references = ["甲乙", "丙丁戊", "己"], [["甲丙"], ["丙丁"], ["庚"]]
    together = score("mrc", [*TEXTS, *DIVERSITY], predictions, references)
    for name, figure in together.items():
        assert score("mrc", [name], predictions, references)[name] == figure


def test_the_scores_of_single_rows_average_to_the_figure() -> None:
    predictions, references = ["甲乙。", "丙丁戊", "己"], [["甲乙"], ["丙丁", "丁戊"], ["庚"]]
    rows = row_scores("mrc", [*TEXTS, *DIVERSITY, "perplexity"], predictions, references)
    figures = score("mrc", TEXTS, predictions, references)
    assert list(rows[0]) == [name for name in TEXTS if METRICS[name].column is not None]
    for name in rows[0]:
        assert sum(row[name] for row in rows) / 3 == pytest.approx(figures[name]["value"])
    assert row_scores("dialogue", ["bleu4"], predictions, references) == [{}, {}, {}]


def test_figures_of_the_loss_are_left_to_it() -> None:
    assert list(score("dialogue", ["bleu2", "perplexity"], ["好"], [["好"]])) == ["bleu2"]
    assert score("dialogue", ["perplexity"], ["好"], [["好"]]) == {}


@pytest.mark.parametrize(
    ("metrics", "words", "message"),
    [
        (["rouge3"], {}, "'rouge3' is not a metric that texts can be scored by; there are exact_match, accuracy"),
        (["accuracy"], {}, "accuracy compares labels, but this mrc corpus has no label words"),
        (["f1"], {"a": "甲", "b": "乙"}, 'f1 is the F1 of class "1", but the labels of the run are a, b'),
        (["accuracy"], WORDS, "the reference '好' names no label of the run"),
    ],
)
def test_what_cannot_be_scored(metrics: list[str], words: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        score("mrc", metrics, ["好"], [["好"]], None, words)


def test_no_rows() -> None:
    with pytest.raises(UserError, match="no rows to score"):
        score("mrc", ["cmrc_em"], [], [])
