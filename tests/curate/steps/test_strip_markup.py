"""strip_markup: what wiki pages and microblog posts leave in a text."""

from __future__ import annotations

from functools import partial

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import context, frame

from curate.steps.strip_markup import RULES, Options, run, strip_text


@pytest.mark.parametrize(
    ("kind", "text", "stripped"),
    [
        ("wiki", "用-{zh-hans:计算机;zh-hant:電腦}-写", "用计算机写"),
        ("wiki", "用-{zh-tw:電腦;zh-cn:计算机}-写", "用计算机写"),
        ("wiki", "在-{里}-面", "在里面"),
        ("wiki", "在-{A|里}-面", "在里面"),
        ("wiki", "诺贝尔（，）生于", "诺贝尔生于"),
        ("wiki", "甲（（））乙《》【 】[]", "甲乙"),
        ("wiki", "甲<ref>注</ref>乙<br/>丙", "甲注乙丙"),
        ("wiki", "1<2，（注）", "1<2，（注）"),
        ("wiki", "他说[笑]", "他说[笑]"),
        ("weibo", "真好[哈哈]", "真好"),
        ("weibo", "真好//@某人:转一下", "真好"),
        ("weibo", "回复@某人:是的", "是的"),
        ("weibo", "回复 @甲：回复@乙：是的", "是的"),
        ("weibo", "[2024]年", "[2024]年"),
        ("weibo", "见http://a.b/c", "见http://a.b/c"),
    ],
)
def test_examples(kind: str, text: str, stripped: str) -> None:
    rows = frame("dialogue", {"turns": [text, "好"]})
    outcome = run(rows, Options(kinds=[kind]), context("dialogue"))  # type: ignore[list-item]
    assert outcome.rows["turns"].to_list() == [[stripped, "好"]]
    assert bool(outcome.counts) == (text != stripped)


@given(
    st.sampled_from(["wiki", "weibo"]),
    st.lists(st.text(st.sampled_from("-{}:;|zhcnhas[]（），《》【】<>/refb@回复 甲")), max_size=6),
)
def test_the_look_misses_nothing_and_counts_every_row(kind: str, texts: list[str]) -> None:
    texts = [text.strip() for text in texts] * 2
    counts: dict[str, int] = {}
    expected = [strip_text(list(RULES[kind]), text, counts) for text in texts]
    rows = frame("classification", *({"text": text} for text in texts))
    outcome = run(rows, Options(kinds=[kind]), context("classification"))  # type: ignore[list-item]
    assert outcome.rows["text"].to_list() == expected
    assert outcome.counts == counts
    assert list(map(partial(strip_text, list(RULES[kind])), expected, [{}] * len(texts))) == expected


def test_answers_are_stripped_like_their_context() -> None:
    row = {"title": "（）题", "context": "由诺贝尔（，）创立", "question": "谁？", "answers": ["诺贝尔（，）"]}
    out = run(frame("mrc", row), Options(), context("mrc")).rows.to_dicts()[0]
    assert (out["title"], out["context"], out["answers"]) == ("题", "由诺贝尔创立", ["诺贝尔"])


def test_labels_are_left_alone() -> None:
    rows = frame("pair", {"a": "甲", "b": "乙（）", "label": "1"})
    assert run(rows, Options(), context("pair")).rows.drop("order").rows() == [(0, "甲", "乙", "1")]
    assert rows["b"].to_list() == ["乙（）"]
    assert isinstance(rows, pl.DataFrame)
