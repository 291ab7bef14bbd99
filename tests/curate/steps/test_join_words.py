"""join_words: no space between words but where Latin words or numbers meet."""

from __future__ import annotations

import polars as pl
import pytest
from rows import context, frame

from curate.steps.join_words import Options, run


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("深海 潜水器 拍到 会 发光 的 水母", "深海潜水器拍到会发光的水母"),
        ("2.5 万 英镑 ， 够 吗 ？", "2.5万英镑，够吗？"),
        ("iPhone 7 和 New York Times", "iPhone 7和New York Times"),
        ("“ 好 ” ，  他 说", "“好”，他说"),
        ("没有空格", "没有空格"),
        ("", ""),
    ],
)
def test_words(text: str, joined: str) -> None:
    out = run(frame("classification", {"text": text, "label": "1"}), Options(), context("classification"))
    assert out.rows["text"].to_list() == [joined]
    assert out.counts == {"words_joined": int(text != joined)}
    assert out.verdicts is None


def test_only_the_named_fields() -> None:
    rows = frame("pair", {"a": "甲 乙", "b": "丙 丁", "label": "1"}, {"a": None, "b": "戊 己", "label": None})
    out = run(rows, Options(fields=["b"]), context("pair")).rows
    assert out.select("a", "b").rows() == [("甲 乙", "丙丁"), (None, "戊己")]
    assert isinstance(rows, pl.DataFrame)
