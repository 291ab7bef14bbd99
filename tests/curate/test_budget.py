"""Memory shared out: too little is said before any work, with how much is enough; none of it shows in a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from helpers import curate, differing, recipe_file

from curate import budget, local, store
from curate.types import UserError
from jingtiao.memory import free_memory, parse_memory

FLOOR = budget.BASE + budget.UNDER_WAY


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, Path]:
    """A recipe and a file of 2,000 rows, the last half of them longer."""
    recipe = recipe_file(tmp_path / "recipe", "classification", ["normalise", {"exact_dedup": {"by": "key"}}])
    path = tmp_path / "train.tsv"
    rows = (f"{n % 2}\t第{n % 1900}条{'很好' * (n // 100)}\n" for n in range(2000))
    path.write_text("label\ttext_a\n" + "".join(rows), encoding="utf-8")
    return recipe, path


def told(corpus: tuple[Path, Path], out: Path, **options: Any) -> str:
    with pytest.raises(UserError) as raised:
        curate(corpus[0], out, corpus[1], **options)
    assert not out.exists() and not (out.parent / ".run.work").exists()
    return str(raised.value)


@pytest.mark.parametrize("large", [0, 1 << 40], ids=["seen from the file", "seen while reading"])
def test_too_little(large: int, corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that says what is needed; with so much it works."""
    monkeypatch.setattr(budget, "LARGE", large)
    read = []
    said = told(corpus, tmp_path / "run", memory=FLOOR + 1000, report=read.append)
    assert any(line.startswith("reading train") for line in read) == bool(large)
    found = re.fullmatch(
        r"--memory: the keys of [\d,]+ rows need (\S+) to be judged together, more than the 0\.4GB there are: give "
        r"more, or read fewer rows \(--limit\)",
        said,
    )
    assert found
    run = curate(corpus[0], tmp_path / "run", corpus[1], memory=parse_memory(found[1])).path
    assert differing(run, curate(corpus[0], tmp_path / "plain", corpus[1]).path) == []
    assert curate(corpus[0], tmp_path / "few", corpus[1], memory=FLOOR + 1000, limit=2).status == "written"


def test_long_rows_make_short_slices(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "MEMORY", 0)
    monkeypatch.setattr(budget, "LARGE", 0)
    monkeypatch.setattr(budget, "SLICE_BYTES", 10_000)
    monkeypatch.setattr(local, "TOGETHER", 0)  # a large file's slices are never put together
    written = []
    write = store._write
    monkeypatch.setattr(store, "_write", lambda path, *what: written.append(path.parent.name) or write(path, *what))
    run = curate(corpus[0], tmp_path / "run", corpus[1]).path
    assert written.count("slices") > 5
    monkeypatch.undo()
    assert differing(run, curate(corpus[0], tmp_path / "plain", corpus[1]).path) == []


def test_sizes() -> None:
    assert [parse_memory(text) for text in ("2GB", "800 mb", "1.5GiB")] == [2 * 10**9, 8 * 10**8, 3 << 29]
    for text in ("", "2", "GB", "-1GB", "many"):
        with pytest.raises(UserError, match="write a size like 16GB"):
            parse_memory(text)
    assert 0 < free_memory() < 1 << 50


def test_what_near_duplicates_cost(corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing where none are looked for; more the more bands a threshold needs, and the longer the texts are."""
    monkeypatch.setattr(budget, "LARGE", 0)

    def needs(step: Any, share: float = budget.NEAR_TEXT) -> float:
        monkeypatch.setattr(budget, "NEAR_TEXT", share)
        recipe = recipe_file(tmp_path / "near", "classification", ["normalise", step])
        said = told((recipe, corpus[1]), tmp_path / "run", memory=1000)
        return float(said.partition(" rows need ")[2].partition("GB")[0])

    monkeypatch.setattr(budget, "BASE", 0)
    monkeypatch.setattr(budget, "UNDER_WAY", 10**9)  # sizes are said to a tenth of a GB
    monkeypatch.setattr(budget, "NEAR_BAND", 10**5)
    off, high, low = (needs({"near_dedup": {"threshold": threshold}}) for threshold in ("off", 0.9, 0.8))
    assert off < high < low < needs({"near_dedup": {"threshold": 0.8}}, share=10**4)
