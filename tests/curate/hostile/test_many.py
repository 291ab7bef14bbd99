"""Too many rows of one kind: the right ones are kept, in time and memory that grow with the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import curate, manifest, recipe_file, rejects, samples
from hostile import peak_of


@pytest.mark.slow
def test_a_million_identical_rows(tmp_path: Path) -> None:
    """One is kept, the others name it, and ten times the rows take no more than ten times the memory."""
    peaks = []
    for count in (100_000, 1_000_000):
        source = tmp_path / "train.tsv"
        source.write_text("今天的天气怎么样呢\t天气好不好\t1\n" * count, encoding="utf-8")
        code, said, peak = peak_of(tmp_path, "recipe", "lcqmc", "--source", source, "--force")
        assert code == 0, said
        assert manifest(tmp_path / "run")["splits"]["train"] == {
            "read": count, "written": 1, "rejected": count - 1, "flagged": 0, "derived": 0,
        }  # fmt: skip
        assert [row["meta"]["id"] for row in samples(tmp_path / "run", "train")] == ["lcqmc/train/000000000"]
        assert {row["kept_id"] for row in rejects(tmp_path / "run")} == {"lcqmc/train/000000000"}
        peaks.append(peak)
    assert peaks[1] < 10 * peaks[0]


# ---- recounted

SAME = ("今天的天气怎么样呢朋友们", "1")
BOTH = [("这家店的菜味道还可以吧", "1"), ("这家店的菜味道还可以吧", "0")]
NEARLY = [(f"明天我们去公园{last}", "0") for last in "玩走跑坐"]


def groups(each: int) -> list[tuple[str, str]]:
    """Texts with labels: one text, one under two labels, four that are one edit apart, in turn."""
    return [row for _ in range(each) for row in (SAME, *BOTH, *NEARLY)]


def kept_by(step: Any, rows: list[tuple[str, str]], folder: Path) -> tuple[list[int], dict[int, str | None]]:
    """The numbers of the rows that a recipe of this step writes, and for each of the others the id that is kept."""
    recipe = recipe_file(folder / "recipe", "classification", [step])
    source = folder / "train.tsv"
    source.write_text("label\ttext_a\n" + "".join(f"{label}\t{text}\n" for text, label in rows), encoding="utf-8")
    run = curate(recipe, folder / "run", f"train={source}").path
    written = sorted(int(row["meta"]["id"][-9:]) for row in samples(run, "train"))
    gone = {int(row["id"][-9:]): row["kept_id"] for row in rejects(run)}
    assert sorted([*written, *gone]) == list(range(len(rows)))
    return written, gone


def first_of(rows: list[tuple[str, str]], same: Callable[[str], str]) -> dict[int, int]:
    """The first row of the group of each row, by number."""
    first: dict[str, int] = {}
    return {number: first.setdefault(same(text), number) for number, (text, _) in enumerate(rows)}


def test_one_of_many_is_kept(tmp_path: Path) -> None:
    """exact_dedup and near_dedup keep the first of each group, and every other row names it."""
    rows = groups(700)
    nearly = {"near_dedup": {"short": "edit1"}}
    ways = {"exact": ("exact_dedup", str), "near": (nearly, lambda text: text[:7])}
    for name, (step, same) in ways.items():
        first = first_of(rows, same)
        written, gone = kept_by(step, rows, tmp_path / name)
        assert written == sorted(set(first.values()))
        assert gone == {n: f"own/train/{first[n]:09}" for n in range(len(rows)) if n != first[n]}
    assert len(set(first_of(rows, ways["near"][1]).values())) == 3


def test_labels_of_many(tmp_path: Path) -> None:
    """label_conflict takes the whole group; balance and cap leave as many of each label as they say."""
    rows = groups(500)
    written, _ = kept_by("label_conflict", rows, tmp_path / "conflict")
    assert written == [n for n, row in enumerate(rows) if row not in BOTH]
    labels = Counter(label for _, label in rows)
    written, _ = kept_by("balance", rows, tmp_path / "balance")
    assert Counter(rows[n][1] for n in written) == dict.fromkeys(labels, min(labels.values()))
    written, _ = kept_by({"cap": {"per": "label", "max": 30}}, rows, tmp_path / "cap")
    assert Counter(rows[n][1] for n in written) == dict.fromkeys(labels, 30)


def test_rows_that_all_fail(tmp_path: Path) -> None:
    written, gone = kept_by("require", [("　", "1")] * 3000, tmp_path)
    assert not written and set(gone.values()) == {None}
