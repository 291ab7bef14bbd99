"""Encodings are found out, and text comes back whole whatever the block size."""

from __future__ import annotations

import codecs
import hashlib
import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from curate.text import decode
from curate.text.decode import FileInfo, read_blocks, read_lines, read_text, sniff
from curate.types import UserError

#: Made up here: long enough that its bytes in one encoding aren't text in another.
SENTENCE = "今天的天气比昨天好得多，我们打算下午去河边走走。\t你觉得怎么样？\n"
HANZI = st.text(
    st.sampled_from(
        "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生，。！？《》１２"
    ),
    min_size=8,
)
BLOCKS = st.integers(1, 40)


def put(folder: Path, data: bytes, name: str = "a.txt") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def with_bytes(data: bytes, block: int) -> tuple[FileInfo, str, list[str]]:
    """What sniffing and reading a file of these bytes gives."""
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), data)
        info = sniff(path, block=block)
        assert info == sniff(path)
        lines = [line for some in read_lines(path, info, block) for line in some]
        return info, read_text(path, info, block), lines


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"])), block=BLOCKS)
def test_any_utf8_text_comes_back(text: str, block: int) -> None:
    assume(text.strip() and not text.startswith("\ufeff"))
    # A line of known text in front: what is tested here isn't the guess about a handful of bytes.
    text = SENTENCE + text
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        info, read, _ = with_bytes(text.encode(encoding), block)
        assert (info.encoding, info.undecodable, read) == (encoding, 0, text)


@given(text=HANZI, block=BLOCKS)
def test_chinese_in_gb18030_comes_back(text: str, block: int) -> None:
    text = SENTENCE + text
    info, read, _ = with_bytes(text.encode("gb18030"), block)
    assert (info.encoding, info.undecodable, read) == ("gb18030", 0, text)


@given(
    lines=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1),
    end=st.sampled_from(["\n", "\r\n", "\r\r\n", "\r"]),
    last=st.booleans(),
    block=BLOCKS,
)
def test_lines_joined_are_the_text(lines: list[str], end: str, last: bool, block: int) -> None:
    lines = [SENTENCE.strip(), *lines]
    data = end.join(lines) + (end if last else "")
    info, read, got = with_bytes(data.encode(), block)
    assert read == data
    # An empty last line without a line end is no line.
    assert got == (lines if last or lines[-1] else lines[:-1])
    assert info.newline == {"\r\r\n": "\r\n"}.get(end, end) or end not in data


def test_only_line_feeds_end_lines(tmp_path: Path) -> None:
    odd = "甲\u2028乙\x85丙\x0b丁\x0c戊\r己"
    path = put(tmp_path, f"{odd}\n第二行\n".encode())
    assert [line for some in read_lines(path, sniff(path)) for line in some] == [odd, "第二行"]


@pytest.mark.parametrize("count", [1, decode.LINES - 1, decode.LINES, decode.LINES + 1, 3 * decode.LINES + 5])
def test_lists_of_lines_are_full(tmp_path: Path, count: int) -> None:
    path = put(tmp_path, "".join(f"第{n}行\n" for n in range(count)).encode())
    lists = list(read_lines(path, sniff(path), 1 << 16))
    assert [line for some in lists for line in some] == [f"第{n}行" for n in range(count)]
    assert all(len(some) == decode.LINES for some in lists[:-1]) and len(lists[-1]) <= decode.LINES


def test_long_lines_do_not_wait_for_a_full_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "LINE_CHARS", 100)
    path = put(tmp_path, SENTENCE.encode() * 50)
    assert len(list(read_lines(path, sniff(path), 64))) == 10


def test_sizes_and_digest(tmp_path: Path) -> None:
    data = SENTENCE.encode() * 9
    info = sniff(put(tmp_path, data))
    assert (info.bytes, info.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_nuls_are_counted_and_dropped(tmp_path: Path) -> None:
    path = put(tmp_path, SENTENCE.encode("gb18030") * 5 + b"\0" * 9 + SENTENCE.encode("gb18030"))
    info = sniff(path)
    assert (info.encoding, info.nul) == ("gb18030", 9)
    assert read_text(path, info) == SENTENCE * 6


def test_a_broken_character_leaves_utf8_utf8(tmp_path: Path) -> None:
    good = (SENTENCE * 20).encode()
    path = put(tmp_path, good[:31] + good[32:] + "\ufffd".encode())
    info = sniff(path)
    # The U+FFFD that honestly stands in the file isn't counted.
    assert (info.encoding, info.undecodable) == ("utf-8", read_text(path, info).count("\ufffd") - 1)


@given(
    at=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=9),
    block=BLOCKS,
    encoding=st.sampled_from(["utf-8", "gb18030", "utf-16"]),
)
def test_damage_reads_the_same_in_any_blocks(at: list[tuple[int, int]], block: int, encoding: str) -> None:
    data = bytearray((SENTENCE * 20).encode(encoding))
    for place, byte in at:
        data[place + 2] = byte
    info, read, _ = with_bytes(bytes(data), block)
    whole = bytes(data).decode(encoding, "replace")
    assert (info.encoding, read) == (encoding, whole.replace("\0", ""))
    assert info.nul == whole.count("\0")


@given(cut=st.integers(1, 60), block=BLOCKS)
def test_truncated_utf8_is_not_taken_for_gbk(cut: int, block: int) -> None:
    info, _, _ = with_bytes(SENTENCE.strip().encode()[:-cut], block)
    assert info.encoding == "utf-8"
    assert info.undecodable <= 1


def test_half_a_character_leaves_gbk_gb18030(tmp_path: Path) -> None:
    good = (SENTENCE * 20).encode("gb18030")
    path = put(tmp_path, good[:5] + b" " + good[6:] + b"\xff")
    info = sniff(path)
    assert info.encoding == "gb18030"
    assert info.undecodable == read_text(path, info).count("\ufffd") == 2


_BYTES = [text.encode() for text in "好é😀a\n"] + [bytes([byte]) for byte in b"\xe5\xa5\xf0\x80\xc0\xff\xed\xa0a"]


@given(data=st.lists(st.sampled_from(_BYTES)).map(b"".join), block=st.integers(1, 5))
@example(data="好".encode() * 3, block=2)
@example(data="好".encode()[:2], block=1)
@example(data=b"\x80" * 6, block=5)
def test_utf8_is_what_python_decodes(tmp_path_factory: pytest.TempPathFactory, data: bytes, block: int) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(data)
    try:
        data.decode()
        utf8 = True
    except UnicodeDecodeError:
        utf8 = False
    assert decode._scan(path, "bytes", block).utf8 is utf8


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark(tmp_path: Path, encoding: str) -> None:
    path = put(tmp_path, (SENTENCE * 5).encode(encoding))
    info = sniff(path)
    assert (info.encoding, info.nul, read_text(path, info)) == (encoding, 0, SENTENCE * 5)


def test_private_use_characters_of_gb18030(tmp_path: Path) -> None:
    text = SENTENCE + "\ue5e5\U00020087\n"
    path = put(tmp_path, text.encode("gb18030"))
    assert "".join(read_blocks(path, sniff(path), 1)) == text


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b" \n\t\r\n ", "white space"),
        (codecs.BOM_UTF8, "white space"),
        (codecs.BOM_UTF8 + b"\n\n", "white space"),
        (codecs.BOM_UTF16_LE + " \n".encode("utf-16-le"), "white space"),
        ("\u3000\n".encode("utf-16"), "white space"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "a PNG image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
        (b"%PDF-1.4\n", "a PDF"),
        (b"PK\x03\x04abc", "zip"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"RIFF\x24\0\0\0WAVE", "a sound"),
        (b"SQLite format 3\0", "SQLite"),
        (random.Random(0).randbytes(9000), "not text"),
        (bytes(500) + b"text", "control characters"),
    ],
)
def test_no_text_is_an_error(tmp_path: Path, data: bytes, says: str) -> None:
    path = put(tmp_path, data)
    with pytest.raises(UserError, match=says) as caught:
        sniff(path, "shown/name.tsv")
    assert caught.value.messages[0].startswith("shown/name.tsv: ")


def test_letters_of_a_magic_number_may_begin_a_text(tmp_path: Path) -> None:
    assert sniff(put(tmp_path, "RIFF 是一种文件格式\t1\n".encode())).encoding == "utf-8"


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        sniff(tmp_path / "no.tsv")


def test_encodings_of_the_real_corpora(corpora: Path) -> None:
    kinds = Counter()
    for path in sorted((corpora / "fudan").rglob("*.txt")):
        info = sniff(path)
        kinds[info.encoding, info.undecodable > 0] += 1
        assert info.undecodable <= 10
    assert kinds == {("gb18030", False): 1378, ("gb18030", True): 55, ("utf-8", False): 3}
    stance = sniff(corpora / "nlpcc" / "stance2016_TaskA_gold.txt")
    assert (stance.encoding, stance.newline, stance.undecodable) == ("gb18030", "\r\n", 0)
    for name, encoding, lines in (
        ("bq/dev.csv", "utf-8-sig", 10001),
        ("cmrc2018/original_dev.json", "utf-8", 1),
        ("lcqmc/dev.txt", "utf-8", 8802),
        ("lcsts/parallel_char/train_source.txt", "utf-8", 50),
        ("chnsenticorp/train.tsv", "utf-8", 9601),
    ):
        info = sniff(corpora / name)
        assert info.encoding == encoding
        assert sum(map(len, read_lines(corpora / name, info))) == lines
