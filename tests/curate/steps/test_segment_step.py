"""segment: words beside the text, in its place, or only counted."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from contract import check_run
from helpers import curate, differing, manifest
from hypothesis import given
from hypothesis import strategies as st
from rows import context, frame

from curate import versions
from curate.recipefile import load_recipe
from curate.sources import Source
from curate.steps import Outcome
from curate.steps.segment import Options, count_words, run, word_column
from curate.text.segment import Cutter
from curate.types import UserError

NOTHING = Source([], [], {}, [])

PAIR = ({"a": "我来到北京", "b": "来北京"}, {"a": "我来到北京", "b": ""}, {"a": "你 好", "b": None})


def words(outcome: Outcome) -> dict[str, int]:
    assert outcome.words is not None
    assert outcome.words.schema == {"word": pl.String, "count": pl.Int64}
    return dict(outcome.words.iter_rows())


def test_beside_the_text() -> None:
    rows = frame("pair", *PAIR)
    outcome = run(rows, Options(), context("pair"))
    assert outcome.rows.drop(word_column("a"), word_column("b")).equals(rows)
    assert outcome.rows[word_column("a")].to_list() == ["我 来到 北京", "我 来到 北京", "你 好"]
    assert outcome.rows[word_column("b")].to_list() == ["来 北京", "", None]
    assert words(outcome) == {"我": 2, "来到": 2, "北京": 3, "来": 1, "你": 1, "好": 1}
    assert outcome.counts == {"texts": 6, "words": 10}


def test_in_place_of_the_text() -> None:
    outcome = run(frame("pair", *PAIR), Options(as_="text", fields=["a"]), context("pair"))
    assert outcome.rows["a"].to_list() == ["我 来到 北京", "我 来到 北京", "你 好"]
    assert outcome.rows["b"].to_list() == [row["b"] for row in PAIR]
    assert word_column("a") not in outcome.rows.columns


def test_figures_only_and_off() -> None:
    rows = frame("pair", *PAIR)
    outcome = run(rows, Options(as_="stats"), context("pair"))
    assert outcome.rows is rows
    assert outcome.counts == {"texts": 6, "words": 10}
    outcome = run(rows, Options(as_="off"), context("pair"))
    assert outcome.rows is rows
    assert (outcome.words, outcome.counts) == (None, {})


def test_the_turns_of_a_dialogue() -> None:
    rows = frame("dialogue", {"turns": ["我来到\n北京", "你好"]}, {"turns": ["好"]})
    outcome = run(rows, Options(), context("dialogue"))
    assert outcome.rows[word_column("turns")].to_list() == ["我 来到 北京\n你好", "好"]
    assert outcome.rows["turns"].to_list() == rows["turns"].to_list()
    outcome = run(rows, Options(as_="text"), context("dialogue"))
    assert outcome.rows["turns"].to_list() == [["我 来到 北京", "你好"], ["好"]]


def test_no_rows() -> None:
    outcome = run(frame("dialogue"), Options(), context("dialogue"))
    assert words(outcome) == {}
    assert outcome.counts == {"texts": 0, "words": 0}
    assert outcome.rows.schema[word_column("turns")] == pl.String


def test_both_engines_and_a_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("到北京 99999 n\n", encoding="utf-8")
    rows, ctx = frame("pair", *PAIR), context("pair")
    fast, original = (run(rows, Options(engine=engine), ctx) for engine in ("rjieba", "jieba"))  # type: ignore[arg-type]
    assert fast.rows.equals(original.rows)
    assert words(fast) == words(original)
    ours = run(rows, Options(user_dict=str(path)), ctx)
    assert "到北京" in ours.rows[word_column("a")][0].split(" ")
    assert ours.rows[word_column("a")][0] == " ".join(Cutter("rjieba", str(path)).cut("我来到北京"))


def test_a_changed_dictionary_is_another_run(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    found = []
    for word in ("到北京", "来北京"):
        path.write_text(f"{word} 99999 n\n", encoding="utf-8")
        found.append(versions.of(load_recipe("lcqmc", [f"segment.user_dict={path}"]), NOTHING)["user_dict"])
    assert found[0] != found[1] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "user_dict" not in versions.of(
        load_recipe("lcqmc", [f"segment.user_dict={path}", "segment.as=off"]), NOTHING
    )
    with pytest.raises(UserError, match="the user dictionary can't be read"):
        versions.of(load_recipe("lcqmc", [f"segment.user_dict={tmp_path}/none.txt"]), NOTHING)


def test_words_are_counted_as_often_as_they_stand_there() -> None:
    counted = count_words(pl.Series(["甲 乙 甲", "甲 乙 甲", "", None, "丙"], dtype=pl.String))
    assert dict(counted.iter_rows()) == {"甲": 4, "乙": 2, "丙": 1}


@given(st.lists(st.none() | st.lists(st.sampled_from("甲乙丙丁戊"), max_size=3).map(" ".join), max_size=12))
def test_words_are_counted_like_one_by_one(texts: list[str | None]) -> None:
    counted = count_words(pl.Series(texts, dtype=pl.String))
    assert counted.schema == {"word": pl.String, "count": pl.Int64}
    assert dict(counted.iter_rows()) == Counter(word for text in texts for word in (text or "").split())


def test_options_speak_of_as() -> None:
    assert Options.model_validate({"as": "text"}).as_ == "text"
    with pytest.raises(ValueError, match="as"):
        Options.model_validate({"as": "words"})


def test_the_dictionary_decides_and_its_place_does_not(tmp_path: Path) -> None:
    runs = []
    for where, word in (("one", "到北"), ("two", "到北"), ("three", "京北")):
        folder = tmp_path / where
        folder.mkdir()
        (folder / "words.txt").write_text(f"{word} 99999\n", encoding="utf-8")
        overrides = [f"segment.user_dict={folder / 'words.txt'}"]
        runs.append(curate("lcqmc", tmp_path / f"run-{where}", limit=30, overrides=overrides).path)
    assert check_run(runs[0]) == []
    assert differing(runs[0], runs[1]) == []
    assert manifest(runs[0])["fingerprint"] != manifest(runs[2])["fingerprint"]
