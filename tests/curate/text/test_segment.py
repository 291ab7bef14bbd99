"""Segmentation: jieba's words token for token, by the fast engine, of one text and of many in one go."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.text import segment
from curate.text.segment import Cutter, read_user_dict
from curate.types import UserError

#: Real lines on which the two engines may differ: one floating-point tie in the HMM (`常在` is one word or two; both
#: ways have the same probability, and the two add it up in another order).
TIES = 2

#: Pieces on which engines are known to differ, separated by bars.
DIFFICULT = (
    "-|_|+|#|&|.|%|--|...|3.14|50%|2008-6-1|v1.2.3|a_b|C++|c#|AT&T|3G|Ａ１|１２３|：|，|😀|é|ß|日本語|カタカナ|한국|㐀|𠀀"
    "|〇|々|1e-5|foo@bar.com|T恤|卡拉OK|x86-64|0.5%|‰|１．５|·|—|www.a.com|!|(|)|/|\\|'|\"|~|^|*|=|<|>"
    "|中国|我们|研究生|发展中国家|的|了"
)


@pytest.fixture(scope="module")
def fast() -> Cutter:
    return Cutter()


@pytest.fixture(scope="module")
def original() -> Cutter:
    return Cutter("jieba")


def test_words(fast: Cutter, original: Cutter) -> None:
    for text, words in {
        "我来到北京清华大学": ["我", "来到", "北京", "清华大学"],
        "2008-6-1": ["2008", "-", "6", "-", "1"],
        "涨了3.14%": ["涨", "了", "3.14%"],
        "": [],
        " ": [" "],
        "a  b": ["a", " ", " ", "b"],
    }.items():
        assert original.cut(text) == words
        assert fast.cut(text) == words


def test_lines_made_of_what_is_difficult(fast: Cutter, original: Cutter) -> None:
    choose = random.Random(5)
    pieces = [*DIFFICULT.split("|"), " ", "|", "\u3000", "\t", "\n", "\r\n", "\u200b", "\x1d", "\x85"]
    lines = []
    for _ in range(4000):
        parts = [
            choose.choice(pieces) if choose.random() < 0.7 else chr(choose.randrange(0x4E00, 0x9FD6))
            for _ in range(choose.randrange(1, 14))
        ]
        lines.append("".join(parts))
    assert _differing(lines, fast, original) == []


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _real_texts(corpora: Path) -> Iterator[str]:
    """Every text of the corpora's files in UTF-8, once read by the simplest means there are."""
    for name in ("lcqmc/dev.txt", "bq/dev.tsv", "chnsenticorp/train.tsv", "chnsenticorp/dev.tsv"):
        for line in (corpora / name).read_text(encoding="utf-8-sig").split("\n"):
            yield from line.split("\t")
    for name in ("lccc/toy_train.txt", "lcsts/PART_III.txt"):
        for line in (corpora / name).read_text(encoding="utf-8-sig").split("\n"):
            yield from line.split("\t")
    for name in ("bq/dev.csv", "chnsenticorp/ChnSentiCorp_htl_all.csv"):
        with (corpora / name).open(encoding="utf-8-sig", newline="") as file:
            for row in csv.reader(file):
                yield from row
    for path in sorted(corpora.glob("*/*.json")):
        yield from _texts(json.loads(path.read_text(encoding="utf-8-sig")))


def _differing(texts: list[str], fast: Cutter, original: Cutter) -> list[str]:
    """The texts of which the two engines make other words; the fast one by either of its ways."""
    pairs = zip(texts, join(fast, texts), strict=True)
    differing = []
    for text, words in pairs:
        expected = original.cut(text)
        if fast.cut(text) != expected or words != " ".join(" ".join(expected).split()):
            differing.append(text)
    return differing


def test_a_real_file(corpora: Path, fast: Cutter, original: Cutter) -> None:
    text = (corpora / "lcsts/PART_III.txt").read_text(encoding="utf-8-sig")
    assert _differing(text.split("\n"), fast, original) == []


@pytest.mark.slow
def test_real_texts_of_every_corpus(corpora: Path, fast: Cutter, original: Cutter) -> None:
    """One in four of them: jieba itself takes its time."""
    texts = sorted({" ".join(text.split()) for text in _real_texts(corpora)})
    assert len(texts) > 90_000
    differing = _differing(texts[::4], fast, original)
    assert len(differing) <= TIES
    assert all("常在" in text for text in differing)


def test_a_user_dictionary_is_followed_by_both(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeff石墨烯片 1000 n\n花呗分期 2000\r\n\n蚂蚁借呗\nk8s-集群 100 n\n", encoding="utf-8")
    text = "石墨烯片和花呗分期还有蚂蚁借呗以及㐀石墨烯片"
    plain, fast, original = Cutter(), Cutter("rjieba", str(path)), Cutter("jieba", str(path))
    assert "石墨烯片" not in plain.cut(text)
    assert {"石墨烯片", "花呗分期", "蚂蚁借呗"} <= set(fast.cut(text))
    assert fast.cut(text) == original.cut(text)
    assert fast.cut("花呗分期怎么还") == original.cut("花呗分期怎么还")
    # Another cutter's dictionary is not ours.
    assert "石墨烯片" not in plain.cut(text)


def test_a_user_dictionary_is_read_as_jieba_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("云计算 5 n\n李小福 2\n创新办 i\n\n台中\n", encoding="utf-8")
    assert read_user_dict(str(path)) == [
        ("云计算", 5, "n"), ("李小福", 2, None), ("创新办", None, "i"), ("台中", None, None),
    ]  # fmt: skip
    assert read_user_dict(None) == []
    path.write_text("好\n太 多 的 词\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"words\.txt:2: a line is"):
        read_user_dict(str(path))
    path.write_bytes("好".encode("gb18030"))
    with pytest.raises(UserError, match="must be UTF-8"):
        read_user_dict(str(path))
    with pytest.raises(UserError, match="can't be read"):
        read_user_dict(str(tmp_path / "none.txt"))


def joined(cutter: Cutter, texts: list[str]) -> list[str]:
    """What `Cutter.join` gives for these texts, by its definition and one text at a time."""
    return [" ".join(" ".join(cutter.cut(text)).split()) for text in texts]


def join(cutter: Cutter, texts: list[str]) -> list[str]:
    return cutter.join(pl.Series("text", texts, dtype=pl.String)).to_list()


def test_words_are_joined_by_single_spaces(fast: Cutter, original: Cutter) -> None:
    texts = ["我来到 北京", "", "  ", "a\n\nb\u3000c", " 㐀\r\n𠀀𠀁 ", "a-b 2008-6-1", "\x1c我\x85们\x1f", "的\0了"]
    words = ["我 来到 北京", "", "", "a b c", "㐀 𠀀 𠀁", "a - b 2008 - 6 - 1", "我 们", "的 \0 了"]
    assert join(fast, texts) == words
    assert join(original, texts) == words
    assert join(fast, []) == []
    assert join(fast, ["", " "]) == ["", ""]


@given(st.lists(st.text("今天我们去北京天安门的了常在abcAB12 \n\t。，-.%#㐀𠀀\u3000", max_size=12), max_size=20))
def test_texts_cut_in_one_go_do_not_see_each_other(fast: Cutter, texts: list[str]) -> None:
    assert join(fast, texts) == joined(fast, texts)


@pytest.mark.parametrize("size", [1, 50, 1 << 17])
def test_texts_are_cut_in_pieces_of_any_size(
    monkeypatch: pytest.MonkeyPatch, fast: Cutter, original: Cutter, size: int
) -> None:
    monkeypatch.setattr(segment, "_PIECE", size)
    texts = [f"今天是第{n}天，版本{n}.{n % 7}-{n % 3}，天气{'很' * (n % 4)}好\n㐀" for n in range(300)]
    texts += [*texts[:100], *(f"他来到了第{n}个地方" for n in range(300)), "", " ", "\0", "🀄", "常常 在"]
    assert join(fast, texts) == joined(original, texts)


def test_threads_share_a_cutter(fast: Cutter) -> None:
    parts = [[f"今天是第{n}天，{k}月的天气很好-{k}.{n}" for n in range(400)] for k in range(8)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda part: join(fast, part), parts)) == [joined(fast, part) for part in parts]


def test_a_text_that_repeats_is_cut_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cutter, asked = Cutter(), []
    cut = cutter._fast.cut
    monkeypatch.setattr(cutter, "_fast", SimpleNamespace(cut=lambda text: asked.append(text) or cut(text)))
    assert join(cutter, ["甲子", "乙丑", "甲子", "甲子"]) == ["甲子", "乙丑", "甲子", "甲子"]
    assert asked == ["甲子\n乙丑"]


def test_jiebas_shared_cache_is_left_alone(tmp_path: Path) -> None:
    """Not written where there is none, not touched where there is one: other programs of the user share it."""
    code = "from curate.text.segment import Cutter; assert Cutter().cut('㐀好') and Cutter('jieba').cut('你好')"
    env = {**os.environ, "TMPDIR": str(tmp_path), "TEMP": str(tmp_path), "TMP": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []
    cache = tmp_path / "jieba.cache"
    cache.write_bytes(b"not a cache")
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == [cache]
    assert cache.read_bytes() == b"not a cache"


def test_the_fast_engine_does_not_load_jieba() -> None:
    code = (
        "import sys, polars as pl; from curate.text.segment import Cutter; cutter = Cutter();"
        "assert cutter.cut('版本 v1.2-3，㐀') and cutter.join(pl.Series(['版本 v1.2-3，㐀', '你好'])).len() == 2;"
        "assert 'jieba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_no_word_is_lost(fast: Cutter) -> None:
    for text in ("AT&T的C++代码v1.2", "㐀𠀀", "a-b-c 50%"):
        assert "".join(fast.cut(text)) == text
        assert all(one and other for one, other in pairwise([*fast.cut(text), "."]))
