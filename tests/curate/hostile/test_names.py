"""Names and texts that a terminal or a template would obey, and files that are no files."""

from __future__ import annotations

import io
import json
import os
import socket
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


# ---- what is no file


def special_files(folder: Path) -> list[str]:
    """A pipe, a socket, devices and links to nothing, under names that the patterns take."""
    os.mkfifo(folder / "train_pipe.tsv")
    here = Path.cwd()
    os.chdir(folder)  # the path of a socket may be no longer than a hundred bytes
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("train_socket.tsv")
    finally:
        os.chdir(here)
    for name, target in {
        "zero": "/dev/zero",
        "null": "/dev/null",
        "nothing": "none",
        "self": "train_self.tsv",
    }.items():
        (folder / f"train_{name}.tsv").symlink_to(target)
    return sorted(path.name for path in folder.iterdir())


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    """Opening a pipe would wait for ever, reading a device never end: left aside in a folder, refused alone."""
    folder = tmp_path / "source"
    folder.mkdir()
    names = special_files(folder)
    for name in names:
        said = refused(tmp_path, "lcqmc", "--source", f"train={folder / name}")
        assert "is neither a folder nor a file" in said or "there is no such file" in said
    assert "the folder holds no files" in refused(tmp_path, "lcqmc", "--source", folder)
    (folder / "train.tsv").write_text(ROWS, encoding="utf-8")
    done = command("recipe", "lcqmc", "--source", folder, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"left aside: {', '.join(names)}" in done.stdout
    assert [entry["file"] for entry in manifest(tmp_path / "run")["sources"]] == ["train.tsv"]


def test_folders_that_hold_one_another(tmp_path: Path) -> None:
    """Links that lead back, each two ways, would make as many paths as a name can be long: every file comes once."""
    folder = tmp_path / "source"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}_train.tsv").write_text(ROWS, encoding="utf-8")
    for name, target in {
        "loop": ".",
        "a/up": "..",
        "a/over": "../b",
        "b/over": "../a",
        "b/up": "../../source",
    }.items():
        (folder / name).symlink_to(target, target_is_directory=True)
    run = curate("lcqmc", tmp_path / "run", folder, overrides=["source.files={train: '*_train.tsv'}"]).path
    found = [Path(entry["file"]).name for entry in manifest(run)["sources"]]
    assert sorted(found) == ["a_train.tsv", "b_train.tsv"]


def test_the_longest_names(tmp_path: Path) -> None:
    """Names of 255 bytes in folders of such names, in a folder and in an archive; a place too long is one line."""
    inner = "长" * 80 + "_train.tsv"
    assert len(inner.encode()) <= 255
    name = f"{'甲' * 85}/{'b' * 255}/{inner}"
    (tmp_path / "source" / name).parent.mkdir(parents=True)
    (tmp_path / "source" / name).write_text(ROWS, encoding="utf-8")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "source" / name, name)
    for number, source in enumerate((tmp_path / "source", tmp_path / "a.tar")):
        run = curate("lcqmc", tmp_path / f"run{number}", f"train={source}").path
        assert [entry["file"] for entry in manifest(run)["sources"]] == [name]
        assert {row["meta"]["id"] for row in samples(run, "train")} <= {f"lcqmc/train/00000000{n}" for n in range(2)}
    said = command("recipe", "lcqmc", "--source", tmp_path / "a.tar", "--out", "长" * 90, cwd=tmp_path)
    assert (said.returncode, said.stderr.count("\n")) == (2, 1) and "file name too long" in said.stderr
