"""Many source files are told as one: nothing of their sums is lost, and the list's hash is what sha256sum makes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from helpers import card, curate, manifest
from hypothesis import given
from hypothesis import strategies as st

from curate.card.files import MANY_FILES, are_many, told

NAMES = st.lists(st.from_regex(r"\A(x/)?(train/|y/){0,2}[a-c]{1,4}\.txt\Z"), unique=True, max_size=MANY_FILES + 15)


def entry(name: str, split: str = "train", **more: Any) -> dict[str, Any]:
    made = {"bytes": len(name), "sha256": hashlib.sha256(name.encode()).hexdigest(), "encoding": "utf-8", "rows": 2}
    return {"split": split, "file": name, **made, "reader": "table", "repaired": {"nul": 1}, **more}


@given(NAMES, st.data())
def test_sums_are_kept(names: list[str], data: st.DataObject) -> None:
    readers, encodings = st.sampled_from(["table", "nlu"]), st.sampled_from(["utf-8", "gb18030", ""])
    files = [entry(name, reader=data.draw(readers), encoding=data.draw(encodings)) for name in names]
    short = told(files)
    assert are_many(files) is (len(files) > MANY_FILES)
    if not are_many(files):
        assert short == files
        return
    assert len(short) <= 2
    for key in ("bytes", "rows"):
        assert sum(e[key] for e in short) == sum(e[key] for e in files)
    assert sum(e.get("files", 1) for e in short) == len(files)
    for one in short:
        mine = [e for e in files if e["reader"] == one["reader"]]
        if len(mine) > 1:
            listed = "".join(f"{e['sha256']}  {e['file']}\n" for e in sorted(mine, key=lambda e: e["file"]))
            assert one["sha256"] == hashlib.sha256(listed.encode()).hexdigest()
            assert sum(one["encodings"].values()) == one["files"] == len(mine) == one["repaired"]["nul"]
            assert all(f"./{e['file']}".startswith(f"./{one['file'].removeprefix('./')}") for e in mine)


def test_a_split_is_told_by_itself() -> None:
    train = [entry(f"train/{n}.txt") for n in range(MANY_FILES + 1)]
    test = [entry(f"test/{n}.txt", "test") for n in range(MANY_FILES)]
    first, *others = told([*train, *test])
    assert (first["file"], first["files"]) == ("train/", MANY_FILES + 1)
    assert others == test


def test_both_sides_of_parallel_files() -> None:
    files = [entry(f"{n}.src", target={"bytes": 3, "sha256": str(n), "encoding": "utf-8"}) for n in range(30)]
    (one,) = told(files)
    listed = "".join(f"{n}  {n}.src\n" for n in sorted(range(30), key=lambda n: f"{n}.src"))
    sha256 = hashlib.sha256(listed.encode()).hexdigest()
    assert one["target"] == {"bytes": 90, "sha256": sha256, "encodings": {"utf-8": 30}}
    assert one["file"] == "./"


def test_the_manifest_keeps_every_file(tmp_path: Path) -> None:
    run = curate("fudan", tmp_path / "run", overrides=["segment.as=off"]).path
    assert len(manifest(run)["sources"]) == 74
    assert len(card(run)["sources"]) == 2


@pytest.mark.parametrize("many", [False, True])
def test_the_command_names_files_unless_they_are_many(tmp_path: Path, many: bool) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for n in range(MANY_FILES + many):
        (folder / f"train_{n:02d}.tsv").write_text(f"text_a\ttext_b\tlabel\n甲{n}\t乙{n}\t1\n", encoding="utf-8")
    run = curate("lcqmc", tmp_path / "run", folder, overrides=["segment.as=off"]).path
    told_files = " ".join(f"--source train=train_{n:02d}.tsv" for n in range(MANY_FILES))
    expected = "--source PATH" if many else told_files
    assert f"lcqmc {expected} --set" in card(run)["reproduce"]
