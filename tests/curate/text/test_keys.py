"""The comparison key: the polars form and its reference say the same, and both what the rule says."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import REAL, context, frame, real_rows

from curate.steps.normalise import map_texts
from curate.text.hashing import hash_series
from curate.text.keys import TURN, compare_key, group_hash, key_frame, key_series, text_series, within_split

#: Characters that Python's and polars' Unicode tables both know, and the ones the rule speaks of more often.
TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=("Cs", "Cn")),
        st.sampled_from("-%#&*.,+~$<=^| 　，。！·—3aZß ςΣ\u200b\ufe0f你好㐀Ａ１"),
    )
)


def keys(texts: list[str]) -> list[str]:
    return key_series(pl.Series(texts, dtype=pl.String)).to_list()


@given(st.lists(TEXTS, max_size=8))
def test_the_polars_form_is_the_reference(texts: list[str]) -> None:
    assert keys(texts) == [compare_key(text) for text in texts]


@given(TEXTS)
def test_a_key_is_empty_only_where_nothing_can_be_seen(text: str) -> None:
    def unseen(char: str) -> bool:
        return char.isspace() or unicodedata.category(char) in ("Cc", "Cf") or "\ufe00" <= char <= "\ufe0f"

    assert (compare_key(text) == "") == all(map(unseen, unicodedata.normalize("NFKC", text)))


@given(st.lists(TEXTS, min_size=1, max_size=8), st.data())
def test_a_key_does_not_depend_on_the_rows_beside_it(texts: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(texts) - 1))
    assert keys(texts[start:]) == keys(texts)[start:]
    assert keys(texts * 3) == keys(texts) * 3


@given(TEXTS)
def test_the_text_key_is_nfkc_without_white_space(text: str) -> None:
    folded = text_series(pl.Series([text])).item()
    # Python's split() also takes the separators U+001C..U+001F, which are control characters, not white space.
    assert folded == re.sub(r"[^\S\x1c-\x1f]+", "", unicodedata.normalize("NFKC", text))
    if folded == unicodedata.normalize("NFKC", folded):  # "A¨" is not: the space that goes lets two characters join
        assert compare_key(folded) == compare_key(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3.5", "35"),
        ("C++", "C#"),
        ("C", "C#"),
        ("3元", "5元"),
        ("-5度", "5度"),
        ("50%", "50"),
        ("a-b", "ab"),
        ("？", "！"),
    ],
)
def test_what_must_stay_apart(one: str, other: str) -> None:
    assert compare_key(one) != compare_key(other)
    assert len(set(keys([one, other]))) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("你好！", "你好"),
        ("你 好", "你好"),
        ("“你”，好……", "你好"),
        ("ＡＢＣ１２３", "abc123"),
        ("Straße", "STRASSE"),
        ("ΟΔΟΣ", "οδος"),
        ("你\u200b好\ufe0f", "你好"),
        ("３．５", "3.5"),
        ("５０％", "50%"),
        ("what's up?", "What's up"),
        ("第一、第二", "第一第二"),
        ("好-的", "好的"),
    ],
)
def test_what_is_the_same(one: str, other: str) -> None:
    assert compare_key(one) == compare_key(other)
    assert len(set(keys([one, other]))) == 1


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", ""),
        ("。。。", "。。。"),
        ("？！", "?!"),
        (" 3.5, 是吗? ", "3.5是吗"),
        ("C#语言", "c#语言"),
        ("--5", "-5"),
        ("5-", "5"),
        ("（50%）", "50%"),
        ("a,b，c", "a,b,c"),
        ("好3.5", "好3.5"),
        ("+5", "+5"),
        ("#话题#", "话题"),
        ("3#4", "3#4"),
    ],
)
def test_the_key_itself(text: str, key: str) -> None:
    assert compare_key(text) == key
    assert keys([text]) == [key]


def test_null_stays_null() -> None:
    texts = pl.Series([None, "你好！", None], dtype=pl.String)
    assert key_series(texts).to_list() == [None, "你好", None]
    assert text_series(texts).to_list() == [None, "你好!", None]
    assert hash_series(key_series(texts)).null_count() == 2


@pytest.mark.parametrize("name", REAL)
def test_real_lines(name: str, corpora: Path) -> None:
    _, ctx, rows = real_rows(name, corpora)
    for field in ctx.task.text:
        column = rows[field].explode() if rows[field].dtype == pl.List else rows[field]
        texts = column.head(20_000).unique().to_list()
        assert keys(texts) == [compare_key(text) for text in texts]


def test_the_key_frame_hashes_the_texts_of_each_field() -> None:
    rows = frame("pair", {"a": "你好！", "b": "3.5"}, {"a": "你好", "b": "35"}, {"a": "你好", "b": "35"})
    columns = {"a|key", "a|text", "b|key"}
    table = key_frame(rows, context("pair").task.fields, columns)
    assert set(table.columns) == {"rid", *columns}
    same = {name: table[name][0] == table[name][1] for name in columns}
    assert same == {"a|key": True, "a|text": False, "b|key": False}
    assert table[1].drop("rid").equals(table[2].drop("rid"))
    assert table["a|key"].to_list() == hash_series(pl.Series(["你好"] * 3)).to_list()


def test_the_turns_of_a_dialogue_are_told_apart() -> None:
    rows = frame("dialogue", {"turns": ["你好", "好"]}, {"turns": ["你", "好好"]}, {"turns": ["你好!", "好。"]})
    table = key_frame(rows, context("dialogue").task.fields, {"turns|key"})["turns|key"].to_list()
    assert table[0] == table[2] != table[1]
    assert compare_key(TURN) == TURN


def test_a_pair_has_no_order_where_it_is_symmetric() -> None:
    rows = frame("pair", {"a": "甲", "b": "乙"}, {"a": "乙", "b": "甲"})
    table = key_frame(rows, context("pair").task.fields, {"a|key", "b|key"})
    assert table.select(group_hash(("a", "b"), "key", True)).to_series().n_unique() == 1
    assert table.select(group_hash(("a", "b"), "key", False)).to_series().n_unique() == 2


def test_a_group_is_one_of_its_split() -> None:
    splits = pl.Series("split", ["train", "test", "train"], dtype=pl.Enum(["train", "validation", "test"]))
    groups = pl.DataFrame({"g": pl.Series([7, 7, 7], dtype=pl.UInt64), "split": splits})
    first, second, third = groups.select(within_split(pl.col("g"))).to_series()
    assert first == third != second


def test_nulls_and_lists_keep_their_places() -> None:
    upper = lambda texts: texts.str.to_uppercase()  # noqa: E731
    assert map_texts(pl.Series("x", ["a", None, "b"]), upper).to_list() == ["A", None, "B"]
    lists = pl.Series("x", [["a", "b"], [], ["c"], None, [""]], dtype=pl.List(pl.String))
    assert map_texts(lists, upper).to_list() == [["A", "B"], [], ["C"], [], [""]]
