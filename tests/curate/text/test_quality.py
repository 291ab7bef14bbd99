"""Measures of a text's quality, against plain recounts."""

from __future__ import annotations

from itertools import groupby

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.text.quality import (
    GRAM,
    PHRASES,
    RUN,
    boilerplate_phrases,
    boilerplate_share,
    garbled_share,
    han_share,
    repeated_characters,
    repeated_phrases,
)

TEXT = st.text(st.sampled_from("好呀哈哈加油！。a \n"), max_size=60)
SHARE = st.sampled_from([0.0, 0.3, 0.5, 0.9])


def one(measure: pl.Expr, text: str) -> float:
    return pl.DataFrame({"text": [text]}).select(measure).item()


@given(TEXT, SHARE)
def test_runs_of_one_character(text: str, least: float) -> None:
    runs = (len(list(run)) for char, run in groupby(text) if not char.isspace())
    share = sum(n for n in runs if n >= RUN) / len(text) if text else 0.0
    assert repeated_characters(text) == share
    assert (repeated_characters(text, least) > least) == (share > least)


@given(TEXT, SHARE)
def test_phrases_said_again(text: str, least: float) -> None:
    grams = ["".join(gram) for gram in zip(*(text[i:] for i in range(GRAM)), strict=False)]
    again = sum(gram in grams[:i] for i, gram in enumerate(grams))
    share = again / len(grams) if len(text) >= PHRASES else 0.0
    assert repeated_phrases(text) == pytest.approx(share)
    assert (repeated_phrases(text, least) > least) == (share > least)


@pytest.mark.parametrize(
    ("text", "share"),
    [("今天 OK", 0.5), ("hello", 0.0), ("汉字", 1.0), (" \n", 1.0), ("", 1.0), ("カタ漢字", 0.5), ("100元", 0.25)],
)
def test_han(text: str, share: float) -> None:
    assert one(han_share(pl.col("text")), text) == share


@pytest.mark.parametrize(
    "text", ["锟斤拷锟斤拷", "中\ufffd文\ufffd", "ä½\xa0å¥½", "鐨勶紝鏄浠銆傞", "烫烫烫烫", "\ue000\ue001"]
)
def test_garbled(text: str) -> None:
    assert one(garbled_share(pl.col("text")), text) > 0.05


@pytest.mark.parametrize(
    "text", ["涓涓细流", "烫手山芋，太烫烫了", "café à la carte", "他说：“好！”", "臺灣的軟體與後來", "😀👍"]
)
def test_not_garbled(text: str) -> None:
    assert one(garbled_share(pl.col("text")), text) == 0


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("怎么扫描二维码？", 0.0),
        ("责任编辑：李四\n版权所有，未经许可禁止转载。", 1.0),
        ("房间不错。联系我们，版权所有。", 10 / 15),
    ],
)
def test_boilerplate(text: str, share: float) -> None:
    assert boilerplate_share(text) == pytest.approx(share)


def test_the_phrases_are_told_apart() -> None:
    phrases = boilerplate_phrases()
    assert len(phrases) == len(set(phrases)) > 50
    assert all(phrase == phrase.strip() for phrase in phrases)
