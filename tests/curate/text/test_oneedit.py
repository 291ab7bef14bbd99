"""One edit apart, against the definition."""

from __future__ import annotations

import near_by_hand
import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text.oneedit import edits, forms, one_apart, points

TEXT = st.text("甲乙丙𠀀a", max_size=7)
WIDTH = 16


def near(text: str) -> st.SearchStrategy[str]:
    """The text with a few characters put in, left out or changed."""
    place = st.integers(0, max(0, len(text) - 1))
    char = st.sampled_from("甲乙丙")
    changed = st.builds(lambda k, c: text[:k] + c + text[k + 1 :], place, char)
    longer = st.builds(lambda k, c: text[:k] + c + text[k:], place, char)
    shorter = st.builds(lambda k: text[:k] + text[k + 1 :], place)
    return st.one_of(changed, longer, shorter)


PAIR = st.one_of(st.tuples(TEXT, TEXT), TEXT.flatmap(lambda text: st.tuples(st.just(text), near(text))))


@settings(max_examples=150)
@given(st.lists(PAIR, min_size=1, max_size=10))
def test_one_apart(pairs: list[tuple[str, str]]) -> None:
    a, b = (points(pl.Series(side), WIDTH) for side in zip(*pairs, strict=True))
    assert one_apart(a, b).tolist() == [near_by_hand.one_edit(x, y) for x, y in pairs]


@settings(max_examples=150)
@given(PAIR)
def test_texts_one_apart_share_a_form(pair: tuple[str, str]) -> None:
    hashes, rows = forms(points(pl.Series(pair), WIDTH))
    shared = set(hashes[rows == 0].tolist()) & set(hashes[rows == 1].tolist())
    if pair[0] == pair[1] or near_by_hand.one_edit(*pair):
        assert shared
    assert len(hashes) == len(rows) == 2 + len(pair[0]) + len(pair[1])


def test_a_full_row() -> None:
    text = "一二三四五六七八九十甲乙丙丁戊己"
    pairs = [(text, text[1:]), (text, text[:-1]), (text, text[:-1] + "癸"), (text[1:], text[:-1])]
    a, b = (points(pl.Series(side), WIDTH) for side in zip(*pairs, strict=True))
    assert one_apart(a, b).tolist() == [True, True, True, False]
    assert len(np.unique(forms(a[:1])[0])) == 1 + WIDTH


@settings(max_examples=60)
@given(st.tuples(st.text("甲乙丙", max_size=5), st.text("甲乙丙", max_size=5)))
def test_edits(pair: tuple[str, str]) -> None:
    assert edits(*pair) == near_by_hand.levenshtein(*pair)
