"""language: told by script, the whole record at once."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from rows import REAL, context, frame, real_rows, said

from curate.steps import STEPS
from curate.steps.language import Options, language, run


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("今天天气很好", "zh"),
        ("臺灣的軟體產業", "zh"),
        ("iPhone 手机很贵", "zh"),
        ("What is 什么?", "zh"),
        ("鲁迅の阿Q正传", "zh"),
        ("これは日本語の文章です", "ja"),
        ("東京都に住んでいます", "ja"),
        ("東京都", "zh"),  # without kana nothing tells
        ("ありがとうございます是什么意思", "zh"),
        ("昨日学校へ行った", "ja"),
        ("안녕하세요", "ko"),
        ("This is an English sentence about 中文", "latin"),
        ("Ça va très bien", "latin"),
        ("Привет, как дела", "cyrillic"),
        ("สวัสดีครับ", "other"),
        ("مرحبا بالعالم", "other"),
        ("12345，😀！", None),
        ("", None),
    ],
)
def test_texts(text: str, told: str | None) -> None:
    assert pl.DataFrame({"text": [text]}).select(language(pl.col("text"))).item() == told


def test_rows_of_other_languages_go_with_their_reason() -> None:
    texts = ["中文句子", "English sentence", "これはペンです", "안녕하세요", "666", None]
    rows = frame("classification", *({"text": text} for text in texts))
    ctx = context("classification")
    assert said(run(rows, Options(), ctx).verdicts) == [
        (1, "reject", "lang_latin", None),
        (2, "reject", "lang_ja", None),
        (3, "reject", "lang_ko", None),
    ]
    kept = run(rows, Options(keep=["latin", "ja", "ko"]), ctx).verdicts
    assert said(kept) == [(0, "reject", "lang_zh", None)]


def test_the_record_decides_as_a_whole() -> None:
    rows = frame("pair", {"a": "OK", "b": "这句话是中文"}, {"a": "OK", "b": "Fine"})
    assert said(run(rows, Options(), context("pair")).verdicts) == [(1, "reject", "lang_latin", None)]
    turns = frame("dialogue", {"turns": ["hello", "你好呀朋友", "哈哈"]})
    assert said(run(turns, Options(), context("dialogue")).verdicts) == []


def test_every_language_has_a_reason() -> None:
    kept = Options.model_json_schema()["properties"]["keep"]["items"]["enum"]
    assert STEPS["language"].reasons == tuple(f"lang_{name}" for name in kept)


@pytest.mark.parametrize("name", REAL)
def test_chinese_corpora_are_chinese(name: str, corpora: Path) -> None:
    _, ctx, rows = real_rows(name, corpora)
    verdicts = run(rows, Options(), ctx).verdicts
    assert verdicts is not None
    assert len(verdicts) <= 0.006 * len(rows)
