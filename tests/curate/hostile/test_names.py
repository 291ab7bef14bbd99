"""Names and texts that a terminal or a template would obey, and files that are no files."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from helpers import command, curate, manifest, samples
from hostile import ROWS, refused


def test_errors_show_no_escapes(tmp_path: Path) -> None:
    """Names and rows with escapes, line ends and marks of direction: shown as what they are, on one line."""
    evil = "\x1b[31m\x1b]0;owned\x07\u202e\x9b31m"
    folder = tmp_path / f"s{evil}\n"
    folder.mkdir()
    (folder / f"x{evil}\nerror: no.tsv").write_text(ROWS, encoding="utf-8")
    said = refused(tmp_path, "lcqmc", "--source", folder)
    assert r"\x1b[31m" in said and r"\u202e" in said and len(said.splitlines()) == 1
    bad = tmp_path / "train.tsv"
    bad.write_text(ROWS + f"只有一格{evil}\n" * 5, encoding="utf-8")
    assert len(refused(tmp_path, "lcqmc", "--source", bad).splitlines()) == 1
    bad.write_text(ROWS + f"你好{evil}\t好\t1\n", encoding="utf-8")
    shown = command("preview", "lcqmc", "--source", bad, cwd=tmp_path)
    assert shown.returncode == 0 and shown.stdout.replace("\n", "").isprintable()


def test_rows_that_look_like_templates(tmp_path: Path) -> None:
    """What a row says is text: no template, no markup."""
    said = ["{{ 7*7 }}{% raw %}", "</script><script>alert(1)</script>", "{# x #}", "${7*7} %s {0}"]
    source = tmp_path / "train.jsonl"
    lines = [json.dumps({"sentence1": text, "sentence2": "好", "label": "1"}) for text in said]
    source.write_text("\n".join(lines), encoding="utf-8")
    run = curate("lcqmc", tmp_path / "run", source, overrides=["source.reader=rows"]).path
    found = samples(run, "train")
    assert [row["meta"]["fields"]["a"] for row in found] == said
    assert all(text in row["instruction"] + row["input"] for text, row in zip(said, found, strict=True))


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    """Names in GBK, of a member of a tar and of a file in a folder, are read as such."""
    name = "训练train.tsv"
    with tarfile.open(tmp_path / "a.tar", "w", encoding="gbk", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(ROWS.encode())
        archive.addfile(info, io.BytesIO(ROWS.encode()))
    folder = tmp_path / "folder"
    folder.mkdir()
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name.encode("gbk"))).write_text(ROWS, encoding="utf-8")
    except OSError:
        pytest.skip("this file system takes no such names")
    for number, source in enumerate((tmp_path / "a.tar", folder)):
        run = curate("lcqmc", tmp_path / f"run{number}", source).path
        assert [entry["file"] for entry in manifest(run)["sources"]] == [name]
