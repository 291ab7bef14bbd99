"""Normalising: little is touched, everything is counted, and a second time changes nothing."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import REAL, real_rows

from curate.text.width import KINDS, normalise_series, normalise_text

SPECIAL = (
    "Ａｚ９　\u3000\r\n\t\x00\x08\x0b\x1f\x7f\x85\xa0\xad\u061c\u180e\u200b\u200d\u2028\u2066\ufeff😀👩❤️🏽"
    " ，。！？；：（）％"
)
TEXTS = st.text(st.one_of(st.characters(exclude_categories=("Cs",)), st.sampled_from(SPECIAL)))


def series(texts: list[str]) -> tuple[list[str], dict[str, int]]:
    counts: dict[str, int] = {}
    return normalise_series(pl.Series(texts, dtype=pl.String), counts).to_list(), counts


@given(st.lists(TEXTS, max_size=8))
def test_the_series_is_the_text_and_the_look_misses_nothing(texts: list[str]) -> None:
    counts: dict[str, int] = {}
    assert series(texts) == ([normalise_text(text, counts) for text in texts], counts)


@given(TEXTS)
def test_a_second_time_changes_nothing(text: str) -> None:
    once = normalise_text(text)
    counts: dict[str, int] = {}
    assert normalise_text(once, counts) == once
    assert counts == {}


@given(st.lists(TEXTS, max_size=8), st.data())
def test_counts_do_not_depend_on_slices(texts: list[str], data: st.DataObject) -> None:
    texts = texts * data.draw(st.integers(1, 3))
    cut = data.draw(st.integers(0, len(texts)))
    whole, counts = series(texts)
    (left, some), (right, others) = series(texts[:cut]), series(texts[cut:])
    assert left + right == whole
    assert {kind: some.get(kind, 0) + others.get(kind, 0) for kind in {**some, **others}} == counts


@pytest.mark.parametrize(
    ("text", "normalised", "counts"),
    [
        ("ＡＢｃ１２３", "ABc123", {"full_width": 6}),
        ("你好，世界！（真的？）《书》；：％～", "你好，世界！（真的？）《书》；：％～", {}),
        ("一\u3000二", "一 二", {"ideographic_space": 1}),
        ("\u3000\u3000一", "一", {"ideographic_space": 2, "edge_space": 1}),
        ("一\r\n二\r三\r\r\n四", "一\n二\n三\n四", {"line_ends": 3}),
        ("一\x08二\x00", "一二", {"control": 2}),
        ("一\t二\n三", "一\t二\n三", {}),
        ("一\u200b二\ufeff\u200d", "一二", {"zero_width": 3}),
        (" 一 二 ", "一 二", {"edge_space": 2}),
        ("\u200b 一", "一", {"zero_width": 1, "edge_space": 1}),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧", {}),
        ("❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥", {}),
        ("👩\u200d", "👩", {"zero_width": 1}),
        ("繁體 ｱ ①", "繁體 ｱ ①", {}),
        ("", "", {}),
    ],
)
def test_examples(text: str, normalised: str, counts: dict[str, int]) -> None:
    assert series([text]) == ([normalised], counts)
    assert set(counts) <= set(KINDS)


def test_null_stays_null() -> None:
    assert normalise_series(pl.Series([None, "Ａ"]), {}).to_list() == [None, "A"]


@pytest.mark.parametrize("name", REAL)
def test_real_lines(name: str, corpora: Path) -> None:
    """`real_rows` are normalised: none of them is touched again."""
    _, ctx, rows = real_rows(name, corpora)
    for field in ctx.task.text:
        column = rows[field].explode() if rows[field].dtype == pl.List else rows[field]
        texts = column.head(20_000).to_list()
        assert series(texts) == (texts, {})
