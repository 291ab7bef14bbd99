"""LCSTS pseudo-XML and parallel lines."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from curate.readers import dialogue, lcsts, parallel, table
from curate.types import UserError


def doc(number, text="河水涨了。", summary="涨水", label="5"):
    parts = [("human_label", label), ("summary", summary), ("short_text", text)]
    inner = "".join(f"    <{tag}>\n        {value}\n    </{tag}>\n" for tag, value in parts if value is not None)
    return f"<doc id={number}>\n{inner}</doc>\n"


def test_real_pseudo_xml(corpora, read, head):
    path = corpora / "lcsts/PART_III.txt"
    found = read("lcsts", path)
    assert Counter(found.frame["score"]) == {5: 197, 4: 301, 3: 227, 2: 216, 1: 165}
    assert found.counts == {}
    assert not found.rejects
    assert not found.frame["text"].str.contains(r"^\s|\s$|<|\n").any()
    text = head(path)
    assert lcsts.fits(text)
    assert not any(reader.fits(text) for reader in (table, parallel, dialogue))


@pytest.mark.parametrize(("part", "rows"), [("eval", 1066), ("train", 50)])
def test_real_parallel(corpora, read, head, part, rows):
    folder = corpora / "lcsts/parallel_char"
    found = read("parallel", folder / f"{part}_source.txt", partner=folder / f"{part}_target.txt")
    assert len(found.rows) == rows
    assert found.counts == {"spaced_joined": 2 * rows}
    assert parallel.fits(head(folder / f"{part}_source.txt"))
    assert not lcsts.fits(head(folder / f"{part}_source.txt"))


def test_real_pieces_are_joined(corpora, read):
    """Only spaces and the marks of cut words go, and no more of them stand between Latin words than before."""
    names = ("articles", "summaries")
    source, target = (corpora / f"nlpcc/summ2017_{name}.train.sample.txt" for name in names)
    found = read("parallel", source, partner=target)
    assert len(found.rows) == 100
    assert found.counts == {"pieces_joined": 200}
    for path, column in ((source, "text"), (target, "summary")):
        published = path.read_text(encoding="utf-8").split("\n")[:-1]
        for text, line in zip(found.frame[column], published, strict=True):
            assert text.replace(" ", "") == line.replace("@@ ", "").replace(" ", "")
            assert all(left.isascii() and right.isascii() for left, right in re.findall("(.) (.)", text))


def test_pieces(read_as):
    """Words, pieces and Latin words; the other file is asked by itself, and a stray mark decides nothing."""
    source = "河@@ 水 涨 了 10@@ 6@@ k@@ g ， Windows 10 好@@\n没有 切@@ 开\n"
    found = read_as("parallel", source, partner="涨@@ 水\n无\n")
    assert found.rows == [("河水涨了106kg，Windows 10好", "涨水", None), ("没有切开", "无", None)]
    assert found.counts == {"pieces_joined": 3}
    plain = "长文 一\n" * 9 + "长@@ 文 二\n"
    assert read_as("parallel", plain, partner="短\n" * 10).counts == {}


def test_documents(read_as):
    text = (
        doc(0) + "\n" + doc(1, label=None) + doc(2, label="高") + doc(3, text="一行\n        又一行", summary="两行")
    )
    found = read_as("lcsts", text + "<doc id=4><summary>短</summary><short_text>长</short_text></doc>")
    assert found.rows == [
        ("河水涨了。", "涨水", 5),
        ("河水涨了。", "涨水", None),
        ("河水涨了。", "涨水", None),
        ("一行\n又一行", "两行", 5),
        ("长", "短", None),
    ]
    assert found.counts == {"bad_scores": 1}


@pytest.mark.parametrize("size", [1, 2, 50])
def test_incomplete_documents(read_as, size):
    open_doc = doc(3).replace("</doc>\n", "")
    cut = doc(5)[:-30]
    text = "<docs>\n" + doc(0) + doc(1, summary=None) + doc(2, text=None) + open_doc + doc(4) + cut
    found = read_as("lcsts", text, block_rows=size)
    assert found.numbers == [0, 3, 4]
    assert found.reasons == [(1, "no_summary", 13), (2, "no_text", 21), (5, "no_text", 50)]
    assert found.rejects[0].raw.startswith("<doc id=1>")
    assert found.counts == {"stray_lines": 1}


@pytest.mark.parametrize("end", ["", "\n"])
def test_parallel_lines(read_as, end):
    found = read_as("parallel", "长 文 一\n长 文 二 A B\n\n长 文 三" + end, partner="短 一\n\n\n短 三")
    assert found.rows == [("长文一", "短一", None), ("长文二AB", "", None), ("长文三", "短三", None)]
    assert found.counts == {"spaced_joined": 5, "blank_lines": 1}


def test_each_side_is_asked_by_itself(read_as):
    found = read_as("parallel", "长 文 一\n长 文 二\n", partner="短文 一\n短文 二\n")
    assert found.rows == [("长文一", "短文 一", None), ("长文二", "短文 二", None)]


def test_sides_of_different_length(read_as):
    long = "长文\n" * 20_000
    with pytest.raises(UserError, match=r"has 20000 lines but its partner file\d+\.txt has 19999"):
        read_as("parallel", long, partner="短文\n" * 19_999)
    assert len(read_as("parallel", long, partner="短文\n" * 19_999, limit=5).rows) == 5
    with pytest.raises(UserError, match="has no partner"):
        read_as("parallel", long)
