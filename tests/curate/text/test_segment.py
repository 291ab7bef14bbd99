"""Segmentation: jieba's words token for token, by the fast engine, in any number of processes."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.text import segment
from curate.text.segment import Cutter, CutterPool, read_user_dict
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
    pieces = [*DIFFICULT.split("|"), " ", "|", "\u3000", "\t", "\n", "\u200b"]
    for _ in range(4000):
        parts = [
            choose.choice(pieces) if choose.random() < 0.7 else chr(choose.randrange(0x4E00, 0x9FD6))
            for _ in range(choose.randrange(1, 14))
        ]
        line = "".join(parts)
        assert fast.cut(line) == original.cut(line), line


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
    return [text for text in texts if fast.cut(text) != original.cut(text)]


def test_a_real_file(corpora: Path, fast: Cutter, original: Cutter) -> None:
    text = (corpora / "lcsts/PART_III.txt").read_text(encoding="utf-8-sig")
    assert _differing(text.split("\n"), fast, original) == []


@pytest.mark.slow
def test_all_real_texts(corpora: Path, fast: Cutter, original: Cutter) -> None:
    texts = sorted({" ".join(text.split()) for text in _real_texts(corpora)})
    assert len(texts) > 90_000
    differing = _differing(texts, fast, original)
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


def test_words_are_joined_by_single_spaces(fast: Cutter) -> None:
    assert fast.join(["我来到 北京", "", "  ", "a\n\nb\u3000c"]) == ["我 来到 北京", "", "", "a b c"]


@given(st.lists(st.text("今天我们去北京天安门的了常在abcAB12 \n\t。，-.%#㐀\u3000", max_size=12), max_size=20))
def test_texts_cut_in_one_go_do_not_see_each_other(fast: Cutter, texts: list[str]) -> None:
    assert fast.join(texts) == [" ".join(" ".join(fast.cut(text)).split()) for text in texts]


def test_a_pool_cuts_like_one_process(monkeypatch: pytest.MonkeyPatch, fast: Cutter) -> None:
    monkeypatch.setattr(segment, "CHUNK", 50)
    texts = [f"今天是第{n}天，版本{n}.{n % 7}-{n % 3}，天气{'很' * (n % 4)}好\n㐀" for n in range(1003)]
    texts += [*texts[:500], "", " ", "\x00", "🀄"]
    expected = fast.join(texts)
    pool = CutterPool("rjieba", None, 3)
    try:
        assert pool.join(texts) == expected
        assert len(pool._children) == 3
        assert pool.join(texts[::-1]) == expected[::-1]
        assert pool.join(texts[:3]) == expected[:3]
    finally:
        pool.close()
    alone = CutterPool("rjieba", None, 1)
    assert alone.join(texts) == expected
    assert not alone._children


def test_a_text_that_repeats_is_cut_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = CutterPool("rjieba", None, 1)
    asked: list[str] = []
    monkeypatch.setattr(pool._here, "join", lambda texts: asked.extend(texts) or texts)
    assert pool.join(["甲", "乙", "甲", "甲"]) == ["甲", "乙", "甲", "甲"]
    assert asked == ["甲", "乙"]


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


def test_a_line_that_needs_no_repair_does_not_load_jieba() -> None:
    code = (
        "import sys; from curate.text.segment import Cutter; Cutter().cut('版本 v1.2-3，你好');"
        "assert 'jieba' not in sys.modules and 'polars' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_no_word_is_lost(fast: Cutter) -> None:
    for text in ("AT&T的C++代码v1.2", "㐀𠀀", "a-b-c 50%"):
        assert "".join(fast.cut(text)) == text
        assert all(one and other for one, other in pairwise([*fast.cut(text), "."]))
