"""Archives made to do harm: a clear error in bounded memory, with nothing left half-written."""

from __future__ import annotations

import lzma
import shutil
import tarfile
from pathlib import Path

import pytest
from hostile import PATTERNS, ROWS, rows_of

from curate import archives
from curate.sources import open_source
from curate.types import UserError


def sparse_tar(path: Path, size: int) -> Path:
    """A tar of one sparse member that says it holds `size` bytes, all of them holes."""
    info = tarfile.TarInfo("train.tsv")
    info.type = tarfile.GNUTYPE_SPARSE
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[483:495] = b"%011o\0" % size
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    path.write_bytes(bytes(head) + bytes(1024))
    return path


def test_holes_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "UNPACKED_BYTES", 1 << 20)
    path = sparse_tar(tmp_path / "a.tar", 1 << 30)
    with pytest.raises(UserError, match="unpacks to more than 1 MiB"):
        open_source([(None, path)], PATTERNS, "demo", tmp_path / "work")
    assert sum(p.stat().st_size for p in (tmp_path / "work").rglob("*") if p.is_file()) <= 1 << 20


@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]
)
def test_a_header_larger_than_memory(tmp_path: Path, kind: bytes) -> None:
    """A header that says it goes on for gigabytes is damage, and is not read to its end."""
    info = tarfile.TarInfo("h")
    info.type, info.size = kind, 4 << 30
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    with pytest.raises(UserError, match=r"a\.tar: .*a header of 4,294,967,296 bytes"):
        open_source([(None, path)], PATTERNS, "demo", tmp_path / "work")


def test_xz_says_how_much_memory_it_takes(tmp_path: Path) -> None:
    plain, greedy = tmp_path / "train.tsv.xz", tmp_path / "greedy.tsv.xz"
    noise = rows_of(50_000).encode()
    plain.write_bytes(lzma.compress(noise) + lzma.compress(ROWS.encode()) + bytes(8))  # two streams, and filling
    source = open_source([(None, plain)], PATTERNS, "demo", tmp_path / "a")
    assert source.files[0].path.read_bytes() == noise + ROWS.encode()
    greedy.write_bytes(lzma.compress(ROWS.encode(), filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]))
    with pytest.raises(UserError, match="needs more than 256 MiB of memory"):
        open_source([(None, greedy)], PATTERNS, "demo", tmp_path / "b")
    plain.write_bytes(plain.read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged"):
        open_source([(None, plain)], PATTERNS, "demo", tmp_path / "c")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_disk_is_not_filled_to_find_out(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What says that it is larger than what is free is refused before a byte of it is written."""
    body = rows_of(10_000)
    (tmp_path / "train.tsv").write_text(body, encoding="utf-8")
    path = Path(shutil.make_archive(str(tmp_path / "a"), kind, tmp_path, "train.tsv"))
    size = len(body.encode())

    def free(count: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(0, 0, count))

    free(size - 1)
    with pytest.raises(
        UserError, match=rf"a\.{kind}: unpacks to {size:,} bytes, and only {size - 1:,} bytes are free"
    ):
        open_source([(None, path)], PATTERNS, "demo", tmp_path / "full")
    assert [found for found in (tmp_path / "full").rglob("*") if found.is_file()] == []
    free(size)
    source = open_source([(None, path)], PATTERNS, "demo", tmp_path / "work")
    assert source.files[0].path.read_text(encoding="utf-8") == body
