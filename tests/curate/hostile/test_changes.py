"""A file that changes while it is read: an error that says so, or the bytes that were hashed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import curate, tree
from hostile import PATTERNS, ROWS, rows_of

from curate import pipeline
from curate.readers import parallel
from curate.readers.options import ReadOptions
from curate.recipefile import load_recipe
from curate.sources import open_source
from curate.text import decode
from curate.text.decode import read_blocks, sniff
from curate.types import UserError
from curate.unchanged import Changed


def shorter(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(ROWS.encode())


def overwritten(path: Path) -> None:
    """As many other bytes in the same file, with the time of modification put back."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write("我".encode())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path: Path) -> None:
    """Another file of the same size and times in its place."""
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


CHANGES: list[Callable[[Path], None]] = [shorter, longer, overwritten, replaced, Path.unlink]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["table", "json", "parallel", "parquet"])
def test_changed_between_looking_and_reading(tmp_path: Path, change: Callable[[Path], None], kind: str) -> None:
    """What is read is what was hashed, or an error says that it is not, whichever file of a pair it is."""
    folder = tmp_path / "source"
    folder.mkdir()
    victim, recipe, overrides = folder / "train.tsv", "lcqmc", []
    if kind == "table":
        victim.write_text(rows_of(100), encoding="utf-8")
    elif kind == "json":
        victim, recipe = folder / "LCCC_train.json", "lccc"
        victim.write_text(json.dumps([["你好", f"第{n}句"] for n in range(100)]), encoding="utf-8")
    elif kind == "parallel":
        victim, recipe = folder / "summary.train.txt", "nlpcc-summary"
        for name in ("article.train.txt", victim.name):
            (folder / name).write_text("一行\n" * 100, encoding="utf-8")
    else:
        victim, overrides = folder / "train.parquet", ["source.reader=rows"]
        pl.DataFrame({"a": ["你好"] * 100, "b": ["好"] * 100, "label": ["1"] * 100}).write_parquet(victim)
    once = {"left": True}
    real = pipeline.open_recipe_source

    def open_then_change(*given: Any) -> Any:
        source = real(*given)
        assert victim in source.infos and once.pop("left")
        change(victim)
        return source

    out = tmp_path / "place" / "run"
    out.parent.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "open_recipe_source", open_then_change)
        with pytest.raises(UserError, match=rf"{victim.name}: changed while it was read"):
            curate(load_recipe(recipe, overrides), out, folder)
    assert tree(out.parent) == {}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_between_two_blocks(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """No block read after a change is handed on; but what was read before is what was hashed."""
    path = tmp_path / "train.tsv"
    path.write_text(rows_of(1000), encoding="utf-8")
    whole = path.read_text(encoding="utf-8")
    info = sniff(path)
    assert "".join(read_blocks(path, info, 100)) == whole
    blocks = read_blocks(path, info, 100)
    first = next(blocks)
    change(path)
    with pytest.raises(Changed):
        next(blocks)
    assert whole.startswith(first)


def test_changed_while_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second pass of a file that isn't UTF-8 sees the bytes of the first, or says so; also among documents."""
    path = tmp_path / "train.txt"
    path.write_bytes("今天天气\n".encode("gb18030") * 60_000)
    real = decode._choose

    def change_then_choose(*given: Any) -> Any:
        longer(path)
        return real(*given)

    monkeypatch.setattr(decode, "_choose", change_then_choose)
    for file_rows in (False, True):  # where files are rows, one that is no text is a reject, but not this
        with pytest.raises(Changed, match=r"train\.txt"):
            open_source([(None, tmp_path / "train.txt")], PATTERNS, "demo", tmp_path / "w", file_rows=file_rows)


def test_partner_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train_source.txt", "train_target.txt"):
        (tmp_path / name).write_text("一行字\n另一行\n", encoding="utf-8")
    source = open_source([(None, tmp_path)], PATTERNS, "demo", tmp_path / "w", parallel=True)
    monkeypatch.setattr(parallel, "sniff", None)
    file = source.files[0]
    options = ReadOptions("summarization")
    assert [len(block.frame) for block in parallel.read(file, source.infos[file.path], options, 10)] == [2]
