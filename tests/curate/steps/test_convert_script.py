"""convert_script: Simplified characters by OpenCC, and answers that still stand in their context."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import curate, recipe_file
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from rows import context, frame

from curate.recipefile import load_recipe
from curate.steps import Outcome, convert_script, locate_answer
from curate.steps.convert_script import Options
from curate.types import UserError

pytest.importorskip("opencc", reason="OpenCC is not installed (pip install opencc)")


def run(rows: pl.DataFrame, config: Any = "tw2s", task: str = "mrc") -> Outcome:
    return convert_script.run(rows, Options(config=config), context(task))


@pytest.mark.parametrize(
    ("config", "text", "converted"),
    [
        ("tw2s", "他看著海", "他看着海"),
        ("tw2s", "著名的顯著特徵", "著名的显著特征"),
        ("tw2s", "乾隆年間的乾麵", "乾隆年间的干面"),
        ("tw2s", "皇后在後面", "皇后在后面"),
        ("tw2s", "滑鼠和軟體", "滑鼠和软体"),  # characters, not other words: lengths must hold
        ("t2s", "他看著海", "他看著海"),
        ("t2s", "頭髮發白", "头发发白"),
        ("off", "他看著海", "他看著海"),
        ("tw2s", "abc，😀 123", "abc，😀 123"),
    ],
)
def test_texts(config: str, text: str, converted: str) -> None:
    outcome = run(frame("pair", {"a": text, "b": text, "label": "0"}), config, "pair")
    assert outcome.rows.select("a", "b").row(0) == (converted, converted)
    changed = 2 * sum(a != b for a, b in zip(text, converted, strict=True))
    assert outcome.counts == ({"characters_converted": changed} if changed else {})


def test_all_fields() -> None:
    told = {"title": "燈塔", "context": "光線照著海", "question": "什麼照著海？", "source_id": "燈"}
    row = run(frame("mrc", {**told, "answers": ["光線", "燈"], "answer_starts": [0, -1]})).rows.row(0, named=True)
    assert (row["title"], row["context"], row["question"]) == ("灯塔", "光线照着海", "什么照着海？")
    assert (row["answers"], row["answer_starts"], row["source_id"]) == (["光线", "灯"], [0, -1], "燈")
    turns = run(frame("dialogue", {"turns": ["你好嗎", "還好"]}), task="dialogue").rows["turns"].to_list()
    assert turns == [["你好吗", "还好"]]


@pytest.mark.parametrize("start", [4, 0, -1])
def test_an_answer_reads_as_in_its_context(start: int) -> None:
    """乾 alone becomes 干; in 乾隆 it stays, and so it must in an answer that is only a part of the word."""
    rows = frame("mrc", {"context": "紙送進了乾隆的宮", "question": "誰", "answers": ["乾"], "answer_starts": [start]})
    outcome = run(rows)
    assert outcome.rows["answers"].to_list() == [["乾"]]
    assert outcome.counts["answers_as_in_context"] == 1
    located = locate_answer.run(outcome.rows, locate_answer.Options(), context("mrc"))
    assert located.rows["answer_starts"].to_list() == [[4]]


def test_an_answer_that_is_nowhere_is_rejected_afterwards() -> None:
    rows = frame("mrc", {"context": "紙送進了宮", "question": "誰", "answers": ["乾隆"], "answer_starts": [0]})
    outcome = run(rows)
    assert outcome.rows["answers"].to_list() == [["乾隆"]]
    located = locate_answer.run(outcome.rows, locate_answer.Options(), context("mrc"))
    assert located.verdicts is not None
    assert located.verdicts.select("action", "reason").rows() == [("reject", "answer_not_in_context")]


def test_null_and_empty() -> None:
    rows = frame("mrc", {"context": None, "question": "", "answers": ["後"], "answer_starts": []}, {"question": None})
    outcome = run(rows)
    assert outcome.rows["context"].to_list() == [None, None]
    assert outcome.rows["answers"].to_list() == [["后"], []]


HAN = st.text(st.sampled_from("乾隆著作顯著看后後面麵裡裏台臺徵羽宮發髮於，a😀"), max_size=14)


@given(st.lists(st.tuples(HAN, st.integers(0, 13), st.integers(1, 4), st.integers(-1, 15)), max_size=5))
def test_answers_stay_in_their_context(drawn: list[tuple[str, int, int, int]]) -> None:
    """Any span of any context is found again, wherever it was said to be, and slices don't matter."""
    records = [
        {"context": text, "question": "誰", "answers": [text[at : at + n]], "answer_starts": [told]}
        for text, at, n, told in drawn
        if text[at : at + n]
    ]
    rows = frame("mrc", *records)
    whole = run(rows)
    for context_, answers in whole.rows.select("context", "answers").rows():
        assert answers[0] in context_
    parts = [run(rows[i : i + 1]) for i in range(len(rows))]
    if parts:
        assert_frame_equal(pl.concat(part.rows for part in parts), whole.rows)
    for kind in ("characters_converted", "answers_as_in_context"):
        assert sum(part.counts.get(kind, 0) for part in parts) == whole.counts.get(kind, 0)


def test_without_opencc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what to install, before anything is read."""

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(convert_script, "version", missing)
    with pytest.raises(UserError, match=r'^convert_script: needs OpenCC.*pip install "opencc>=1\.4"') as error:
        curate("drcd", tmp_path / "run", overrides=["convert_script.config=tw2s"])
    assert len(error.value.messages) == 1
    assert not (tmp_path / "run").exists()
    assert curate("drcd", tmp_path / "run").path.is_dir()  # off needs nothing


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (["locate_answer", {"convert_script": {"config": "tw2s"}}], "changes the text and must stand before"),
        ([{"convert_script": {"config": "tw2s"}}], "moves the answers.*add 'locate_answer' after it"),
        ([{"convert_script": {"config": "tw2sp"}}, "locate_answer"], "convert_script.config"),
        (["convert_script", "locate_answer"], "config"),
    ],
)
def test_recipes_that_are_refused(steps: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        load_recipe(str(recipe_file(tmp_path, "mrc", steps)))
