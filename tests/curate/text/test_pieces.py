"""Joining words and subword pieces."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.text.pieces import is_pieced, join_all_pieces, join_pieces, join_words

WORD = st.text("河水好，。：”A9k-", min_size=1, max_size=4)


@given(st.lists(WORD, max_size=6), st.data())
def test_cutting_and_segmenting_are_undone(words: list[str], data: st.DataObject) -> None:
    """Whatever the places where words were cut, what comes back is the text with its Latin words apart."""
    cut = []
    for word in words:
        at = data.draw(st.integers(0, len(word) - 1))
        cut.append(f"{word[:at]}@@ {word[at:]}" if at else word)
    joined = join_pieces(" ".join(cut))
    assert joined == join_words(" ".join(words))
    assert joined.replace(" ", "") == "".join(words)
    assert join_pieces(joined) == joined


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("10@@ 6@@ k@@ g 金@@ 条", "106kg金条"),
        ("i phone 6 很 贵", "i phone 6很贵"),
        ("增长 2.5 % ， 达 1 - 3 万", "增长2.5%，达1-3万"),
        ("可能 ..@@ .", "可能..."),
        ("行尾 的 半 个 词@@", "行尾的半个词"),
        ("写信 到 a@@b.cn", "写信到a@@b.cn"),
        (" 早  安 ", "早安"),
        ("不变", "不变"),
        ("", ""),
    ],
)
def test_examples(text: str, joined: str) -> None:
    assert join_pieces(text) == joined


def test_joining_counts_what_changed() -> None:
    counts: Counter[str] = Counter()
    assert join_all_pieces(["河@@ 水", "河水"], counts) == ["河水", "河水"]
    assert counts == {"pieces_joined": 1}


def test_a_file_is_asked_as_a_whole() -> None:
    assert is_pieced(["河@@ 水 好", "山 好", "", "天 好"])
    assert not is_pieced(["河@@ 水", *["分 过 词"] * 9])
    assert not is_pieced(["a@@b"])
    assert not is_pieced([])
