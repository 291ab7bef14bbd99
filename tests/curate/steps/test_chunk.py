"""chunk: long texts end with a sentence, short ones are left alone, and what was cut is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from contract import check_run
from helpers import curate, differing, manifest, recipe_file, rejects, samples
from hypothesis import given
from hypothesis import strategies as st
from rows import context, frame

from curate.recipefile import load_recipe
from curate.steps.chunk import PART, Options, pieces, run
from curate.types import UserError


def test_cut() -> None:
    rows = frame("classification", {"text": "一句。两句。"}, {"text": "一句。两句。三句。"}, {"text": "长" * 9})
    out = run(rows, Options(max=7), context("classification"))
    assert out.rows["text"].to_list() == ["一句。两句。", "一句。两句。", "长" * 7]
    assert out.counts == {"texts_cut": 2, "characters_cut": 5}
    assert out.verdicts is None


def test_only_tasks_with_a_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'chunk' cuts the field text"):
        load_recipe(recipe_file(tmp_path, "pair", [{"chunk": {"max": 9}}]))


def test_split() -> None:
    rows = frame("classification", {"text": "一句。两句。三句。"}, {"text": "短。"})
    out = run(rows, Options(max=7, mode="split"), context("classification"))
    assert out.rows.select("text", PART).rows() == [("一句。两句。", 0), ("三句。", 1), ("短。", 0)]
    assert out.rows["rid"].to_list() == [rows["rid"][0], *rows["rid"]]
    first, second, third = out.rows["order"]
    assert (first, third) == tuple(rows["order"]) and second not in (first, third)
    assert out.counts == {"texts_cut": 1}


@given(st.text(st.sampled_from('好的。！”“，3 \n…".'), max_size=60), st.integers(1, 9))
def test_the_parts_are_the_text(text: str, most: int) -> None:
    """One behind the other, with nothing but white space between them and around them."""
    parts = list(pieces(text, most))
    assert all(len(part) <= most and part == part.strip() for part in parts)
    at = 0
    for part in parts:
        found = text.index(part, at) if part else at
        assert not text[at:found].strip()
        at = found + len(part)
    assert not text[at:].strip()


STEPS: list[Any] = [
    "normalise",
    "require",
    "exact_dedup",
    "leak_check",
    {"chunk": {"max": 6, "mode": "split"}},
    "segment",
]


def corpus(folder: Path) -> Path:
    folder.mkdir()
    long = "一句话。两句话。三句话。"
    (folder / "train.tsv").write_text(f"text\tlabel\n{long}\t0\n{long}\t0\n短。\t1\n四句话。五句话。\t1\n", "utf-8")
    (folder / "test.tsv").write_text("text\tlabel\n四句话。五句话。\t1\n六句话。七句话。\t0\n", "utf-8")
    return folder


def test_a_run_of_parts(tmp_path: Path) -> None:
    """Parts of a row have its id and `#k`; what was rejected for the row still finds it; nothing decides the bytes."""
    source = corpus(tmp_path / "source")
    recipe = recipe_file(tmp_path / "recipe", "classification", STEPS)
    run_folder = curate(recipe, tmp_path / "run", source).path
    assert check_run(run_folder) == []
    ids = [row["meta"]["id"] for row in samples(run_folder, "train")]
    assert ids == ["own/train/000000000", "own/train/000000000#1", "own/train/000000000#2", "own/train/000000002"]
    assert [row["meta"]["flags"] for row in samples(run_folder, "test")] == ["leak_check:in_train"] * 2 + [""] * 2
    assert [(row["id"], row["kept_id"]) for row in rejects(run_folder)] == [
        ("own/train/000000001", "own/train/000000000"), ("own/train/000000003", "own/test/000000000")
    ]  # fmt: skip
    derived = {split: counts["derived"] for split, counts in manifest(run_folder)["splits"].items()}
    assert derived == {"train": 2, "test": 2}
    assert differing(run_folder, curate(recipe, tmp_path / "more", source, workers=3).path) == []
    assert differing(run_folder, curate(recipe, tmp_path / "small", source, slice_rows=1).path) == []


def test_a_link_ends_at_part_0(tmp_path: Path) -> None:
    """Why part 0 keeps the row's id: what a copy of the row was rejected for is a row that stands in a file."""
    run_folder = curate(
        recipe_file(tmp_path / "recipe", "classification", STEPS), tmp_path / "run", corpus(tmp_path / "source")
    ).path
    written = {row["meta"]["id"] for split in ("train", "test") for row in samples(run_folder, split)}
    named = {row["kept_id"] for row in rejects(run_folder) if row["kept_id"] is not None}
    assert named and named <= written
    assert not any("#" in row["id"] for row in rejects(run_folder))


def test_a_part_that_fails_takes_its_row_along(tmp_path: Path) -> None:
    failing = "{{ text if '两' not in text else 1 / 0 }}"
    templates = [
        {"id": f"t/{n:02}", "instruction": "答", "input": failing, "output": "{{ answer }}"} for n in range(2)
    ]
    recipe = recipe_file(tmp_path / "recipe", "classification", STEPS, templates)
    run_folder = curate(recipe, tmp_path / "run", corpus(tmp_path / "source")).path
    assert check_run(run_folder) == []
    assert [row["meta"]["id"] for row in samples(run_folder, "train")] == ["own/train/000000002"]
    assert [(row["id"], row["step"], row["kept_id"]) for row in rejects(run_folder)][:2] == [
        ("own/train/000000000", "format", None), ("own/train/000000001", "exact_dedup", None)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "steps",
    [
        [{"chunk": {"max": 6, "mode": "split"}}, "exact_dedup"],
        ["exact_dedup", {"chunk": {"max": 6, "mode": "split"}}, {"length": {"max": 4}}],
        [{"chunk": {"max": 6, "mode": "split"}}],
    ],
)
def test_parts_come_last(steps: list[Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="behind the judgements"):
        load_recipe(recipe_file(tmp_path, "classification", steps))


def test_parts_of_a_text_have_no_summary(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no summary of their own"):
        load_recipe(recipe_file(tmp_path, "summarization", ["exact_dedup", {"chunk": {"max": 6, "mode": "split"}}]))
