"""The two ways to cut a TSV say the same, whatever is in it."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.readers import tsv
from curate.text import decode
from curate.text.decode import FileInfo, read_lines

PIECES = ["\t", "\t", "\t", "\n", "\n", "好", "a", "1", '"', " ", "\r", "\0", "#", "\ufeff", "\u2028", "\x0b", ","]
INFO = FileInfo(bytes=0, sha256="", encoding="utf-8", nul=0, undecodable=0, newline="\n")


def everything(blocks, width):
    rows, bad, at, blank = [], [], 0, 0
    for block in blocks:
        assert len(block.cut(width)) == width
        told = (block.where + at, block.lines, block.raw, *block.cut(width))
        rows += zip(*told, strict=True)
        bad += [(at + row, reason, raw, line) for row, reason, raw, line in block.bad]
        at += block.rows
        blank += block.blank
    return rows, bad, blank, at


def both(path: Path, above: int, width: int, size: int = 4):
    lines = islice(chain.from_iterable(read_lines(path, INFO)), above, None)
    slow = everything(tsv.from_lines(lines, above + 1, width, 1000, None), width)
    return everything(tsv.from_bytes(path, INFO, above, width, size), width), slow


@settings(max_examples=300)
@given(
    data=st.lists(st.sampled_from([piece.encode() for piece in PIECES] + [b"\xff", b"\xe5\xa5"])).map(b"".join),
    above=st.integers(0, 1),
    width=st.integers(2, 4),
)
@example(data="你\t好\n\ta\t\n好".encode(), above=0, width=2)
@example(data=b"a\tb\nd\te\tf\t", above=0, width=3)  # a cell too few, and an empty one too many at the end
@example(data=b"\na\tb\n", above=0, width=2)
@example(data=b"a\tb\n\r", above=0, width=2)
@example(data=b"header", above=1, width=2)
def test_bytes_are_cut_as_lines_are(tmp_path_factory, data, above, width):
    path = tmp_path_factory.getbasetemp() / "any.tsv"
    path.write_bytes(data)
    fast, slow = both(path, above, width)
    assert fast == slow


def test_over_several_blocks(tmp_path, monkeypatch):
    path = tmp_path / "long.tsv"
    odd = {30: "\n", 60: "只有一格\n", 90: "a\tb\tc\n", 91: "a\tb\r\n", 120: "\ufeff左\t右\n"}
    path.write_text("".join(odd.get(i, f"第{i}行\t{i * 'x'}\n") for i in range(150)) + "末\t行", "utf-8")
    blocks = decode.byte_lines(path, INFO, 100)
    assert sum(1 for _ in blocks) > 50
    monkeypatch.setattr(tsv, "byte_lines", lambda path, info: decode.byte_lines(path, info, 100))
    fast, slow = both(path, 0, 2)
    assert fast == slow
    assert fast[3] == 150


@pytest.mark.parametrize("size", [3, 1000])
def test_plain_lines_are_never_made_python_texts(tmp_path, monkeypatch, size):
    path = tmp_path / "plain.tsv"
    path.write_text("甲\t乙\t1\n" * 10, "utf-8")
    monkeypatch.setattr(tsv, "_lines", None)
    blocks = list(tsv.from_bytes(path, INFO, 0, 3, size))
    assert [block.rows for block in blocks] == ([3, 3, 3, 1] if size == 3 else [10])
    assert {tuple(row) for block in blocks for row in zip(*block.cut(3), strict=True)} == {("甲", "乙", "1")}
