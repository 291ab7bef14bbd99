"""Folders of documents: encodings and their breakage, headers, lines cut at a width, labels, and the real corpus."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from helpers import broken_promises, curate, manifest, rejects, samples
from hypothesis import given
from hypothesis import strategies as st

from curate.readers import READERS, ReadOptions
from curate.readers.folders import joined, without_header
from curate.recipefile import load_recipe
from curate.sources import open_source
from curate.types import Records, UserError

LABELS = {"C3-Art": "艺术", "C7-History": "历史"}
HEADER = ["【 文献号 】1-1", "【 标  题 】论剪纸", "    续行", "【 作  者 】某人", "【 正  文 】"]


def read(folder: Path, labels: dict[str, str] | None = None, task: str = "classification") -> list[Records]:
    """Every file of a folder, one block each."""
    source = open_source([("train", folder)], {}, "own", folder.parent / "work", file_rows=True)
    options = ReadOptions(task, LABELS if labels is None else labels)
    blocks = [list(READERS["folders"].read(file, source.infos[file.path], options, 1000)) for file in source.files]
    assert all(len(one) == 1 and one[0].rows == 1 == len(one[0].frame) + len(one[0].rejects) for one in blocks)
    return [one[0] for one in blocks]


def one(tmp_path: Path, data: bytes, label: str = "C3-Art") -> Records:
    path = tmp_path / "corpus" / label / "0001.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return read(tmp_path / "corpus")[0]


@pytest.mark.parametrize("encoding", ["gb18030", "gbk", "utf-8", "utf-8-sig", "utf-16"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    record = one(tmp_path, "\u3000\u3000窗花剪纸。\n\u3000\u3000第二段。\n".encode(encoding))
    assert record.frame.select("text", "label").rows() == [("窗花剪纸。\n第二段。", "C3-Art")]


def test_broken_bytes_and_nuls_are_counted(tmp_path: Path) -> None:
    data = "窗花剪纸二十四种。".encode("gb18030") + b"\xd6\n" + "第二段文字。".encode("gb18030") + b"\0\0\xff"
    record = one(tmp_path, data)
    assert record.frame["text"].to_list() == ["窗花剪纸二十四种。\ufffd\n第二段文字。\ufffd"]
    assert record.counts == {"undecodable_chars": 2, "nul": 2}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n", "\r"])
def test_line_ends(end: str, tmp_path: Path) -> None:
    assert one(tmp_path, f"甲。{end}乙。{end}".encode("gb18030")).frame["text"].to_list() == ["甲。\n乙。"]


@pytest.mark.parametrize("data", [b"", b" \r\n\n", b"\xa1\xa1\n", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9])
def test_a_file_without_text_is_a_reject(data: bytes, tmp_path: Path) -> None:
    record = one(tmp_path, data)
    assert [(reject.reason, "0001.txt" in reject.raw) for reject in record.rejects] == [("unreadable_file", True)]


def test_folders_are_labels(tmp_path: Path) -> None:
    for folder in ("C3-Art", "C7-History", "Misc"):
        (tmp_path / "corpus" / folder).mkdir(parents=True)
        (tmp_path / "corpus" / folder / "1.txt").write_text(f"{folder}的文章。", encoding="gb18030")
    art, history, misc = read(tmp_path / "corpus")
    assert art.frame["label"].to_list() + history.frame["label"].to_list() == ["C3-Art", "C7-History"]
    assert [(reject.reason, reject.raw) for reject in misc.rejects] == [("label_outside_list", "Misc的文章。")]
    assert read(tmp_path / "corpus" / "C7-History")[0].frame["label"].to_list() == ["C7-History"]


def test_only_for_classification(tmp_path: Path) -> None:
    (tmp_path / "corpus" / "C3-Art").mkdir(parents=True)
    (tmp_path / "corpus" / "C3-Art" / "1.txt").write_text("文章。", encoding="utf-8")
    with pytest.raises(UserError, match="classification"):
        read(tmp_path / "corpus", task="summarization")


def test_header() -> None:
    counts: Counter[str] = Counter()
    assert without_header(["", *HEADER, "    文章。", "【参考文献】"], counts) == [
        "论剪纸", "    续行", "", "    文章。", "【参考文献】"
    ]  # fmt: skip
    assert counts == {"header_lines": 3}
    # Without a mark before the body, only what tells of the publication goes.
    assert without_header([*HEADER[:4], "    文章。"], counts) == [*HEADER[1:4], "    文章。"]
    plain = ["【编者按】这是一篇文章。", "【 正  文 】"]
    assert without_header(plain, counts) == plain
    assert without_header([], counts) == []


WIDE = "这一行一共有二十五个汉字刚好占满五十列的宽度所以是满"


def test_lines_cut_at_a_width_are_joined() -> None:
    assert len(WIDE) == 26
    counts: Counter[str] = Counter()
    page = [f"    {WIDE[:-2]}", WIDE, "到此为止。", f"    {WIDE[:-2]}", "完。", "", "（完）"]
    assert joined(page, counts) == [f"{WIDE[:-2]}{WIDE}到此为止。", f"{WIDE[:-2]}完。", "（完）"]
    assert counts == {"lines_joined": 3, "edge_space": 2, "blank_lines": 1}
    # A page with a margin; the paragraphs are indented beyond it.
    shifted = [" " * 12 + line if line else line for line in page]
    assert joined(shifted, Counter()) == joined(page, Counter())


def test_short_lines_and_whole_paragraphs_are_left_alone() -> None:
    verse = ["床前看月光", "疑是地上霜", "举头望山月", "低头思故乡"]
    assert joined(verse, Counter()) == verse
    paragraphs = [WIDE * n for n in (1, 3, 2, 7, 5)]
    assert joined(paragraphs, Counter()) == paragraphs


def test_words_of_letters_stay_apart() -> None:
    words = [
        "the tourism marketing in the time of knowledge",
        "economy and its most improbable consequences",
        "or at least two of the three that we know",
        "are listed",
    ]
    assert joined(words, Counter()) == [" ".join(words)]
    cut = [f"{'abcdefghi ' * 5}abc", f"{'defghijk l' * 5}abc", "end"]
    assert joined(cut, Counter()) == [f"{cut[0]}{cut[1]}end"]


@given(st.lists(st.text(st.sampled_from("好的，。a b\u3000【】"), max_size=40), max_size=12))
def test_joining_loses_nothing_but_white_space(lines: list[str]) -> None:
    assert "".join("".join(joined(lines, Counter())).split()) == "".join("".join(lines).split())


# ---- the real corpus


def test_real_corpus_recount(corpora: Path, tmp_path: Path) -> None:
    """Every file is a row; between its bytes and the record stand only the header, white space, NULs and U+FFFD."""
    folder = corpora / "fudan"
    files = sorted(folder.rglob("*.txt"))
    assert len(files) == 1436
    overrides = ["chunk.max=1000000"]  # whole texts, so that they can be compared again
    run = curate("fudan", tmp_path / "run", folder, overrides=overrides, workers=None).path
    assert broken_promises(run, load_recipe("fudan", overrides)) == []
    said = manifest(run)
    assert said["splits"]["train"]["read"] == 1436
    assert sum(bool(entry["repaired"].get("undecodable_chars")) for entry in said["sources"]) == 55
    source = open_source([("train", folder)], {}, "fudan", tmp_path / "work", file_rows=True)
    options = ReadOptions("classification", said["labels"])
    total: Counter[str] = Counter()
    for file in source.files:
        (records,) = READERS["folders"].read(file, source.infos[file.path], options, 10)
        total.update(records.counts)
        plain = file.path.read_bytes().decode("gb18030", "replace").replace("\0", "")
        body = re.split(r"【\s*正\s+文\s*】", plain, maxsplit=1)
        (text,) = records.frame["text"]
        bare = "".join(text.split())
        assert records.frame["label"].to_list() == [file.path.parent.name]
        if re.match(r"\s*【\s*(文献号|日\s+期)\s*】", plain) and len(body) == 2:
            assert bare.endswith("".join(body[1].split())), file.name
            title = bare[: len(bare) - len("".join(body[1].split()))]
            assert title in "".join(body[0].split()), file.name
        elif not records.counts.get("header_lines"):
            assert bare == "".join(plain.split()), file.name
        else:
            assert "".join(plain.split()).endswith(bare), file.name
    assert total["undecodable_chars"] == 99 and total["nul"] == 572
    ids = {row["meta"]["id"] for row in samples(run, "train")} | {row["id"] for row in rejects(run)}
    assert ids == {f"fudan/train/{path.parent.name}/{path.stem}/000000000" for path in files}
    exact = len(files) - len({path.read_bytes() for path in files})
    assert exact == 201 <= sum(row["step"] == "exact_dedup" for row in rejects(run))


def test_frames_have_the_task_s_types(tmp_path: Path) -> None:
    assert one(tmp_path, "文。".encode("gb18030")).frame.schema == {
        "rid": pl.UInt64, "text": pl.String, "label": pl.String
    }  # fmt: skip
