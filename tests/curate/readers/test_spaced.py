"""Joining text that has a space between all characters."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.text.spaced import is_spaced, join_all, join_spaced, space_out


@given(st.text().map(lambda text: text.replace(" ", "")))
def test_join_undoes_space_out(text):
    assert join_spaced(space_out(text)) == text


@given(st.text("ab1 好，"))
def test_join_takes_nothing_but_spaces(text):
    assert join_spaced(text).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("下 雪 了 ， 出 门 吗 ？", "下雪了，出门吗？"),
        ("2 0 1 3 年 的 C E O", "2013年的CEO"),
        ("T . T", "T.T"),
        ("听 hello world 呢", "听hello world呢"),
        ("i Phone 6 很 贵", "i Phone 6很贵"),
        ("g o o d  j o b 好 的", "good job好的"),
        ("前  后", "前后"),
        (" 早 ", "早"),
        ("", ""),
        ("好", "好"),
        ("不变", "不变"),
    ],
)
def test_examples(text, joined):
    assert join_spaced(text) == joined


def test_is_spaced():
    assert is_spaced(["早 上 好", "吃 了 吗 ok", "haha", "嗯"])
    assert not is_spaced(["早上 好", "吃 了 吗"])
    assert not is_spaced(["haha", "嗯", "1 2 3"])  # nobody has a say
    assert not is_spaced([])
    assert is_spaced(["早 上 好"] * 19 + ["早上好"])
    assert not is_spaced(["早 上 好"] * 18 + ["早上好"])


def test_count_of_changed_texts():
    counts = Counter()
    assert join_all(["早 安", "嗯", "晚 安"], counts) == ["早安", "嗯", "晚安"]
    assert counts == {"spaced_joined": 2}
