"""keys.parquet: a row for every sample, in its order, with the hashes of what the task compares it by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xxhash
from helpers import RECIPES, SPLITS, curate, key_of, manifest, record, samples

from curate.recipefile import load_recipe
from curate.run import check_run
from curate.sidecar import EMPTY, FILE
from curate.tasks import TASKS
from curate.text.hashing import mix_int
from curate.text.keys import TURN
from curate.types import UserError

GOLDEN = 0x9E3779B97F4A7C15


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {name: curate(name, folder / name).path for name in RECIPES}


def sidecar(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / FILE)


def hashed(fields: dict[str, Any], names: tuple[str, ...], symmetric: bool) -> int | None:
    """The hash of a record's key, written out for one row."""
    texts = [TURN.join(part) if isinstance(part, tuple) else part for part in key_of(fields, names, "key", False)]
    parts = [xxhash.xxh3_64_intdigest(text.encode()) for text in texts]
    if not any(texts):
        return None
    first, *others = sorted(parts) if symmetric else parts
    for other in others:
        first = mix_int((first * GOLDEN + other) % 2**64)
    return first


def test_no_other_text_is_empty() -> None:
    assert xxhash.xxh3_64_intdigest(b"") == EMPTY


@pytest.mark.parametrize("name", RECIPES)
def test_a_row_a_sample(name: str, runs: dict[str, Path]) -> None:
    rows = [(split, row["meta"]) for split in SPLITS for row in samples(runs[name], split)]
    table = sidecar(runs[name])
    assert table.select("split", "id").rows() == [(split, meta["id"]) for split, meta in rows]
    labelled = TASKS[load_recipe(name).task].has_labels
    assert table.columns == ["split", "id", "key", "leak", *(["label"] if labelled else [])]
    if labelled:
        assert table["label"].to_list() == [meta["label"] or None for _, meta in rows]
    near = load_recipe(name).step("near_dedup")
    clusters = ["clusters.parquet"] if near and near.options.threshold != "off" else []
    assert [entry["file"] for entry in manifest(runs[name])["files"]] == [FILE, *clusters]


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "fudan"])  # whose samples are cut
def test_the_hashes(name: str, runs: dict[str, Path]) -> None:
    task = TASKS[load_recipe(name).task]
    rows = [{"context": "", **record(row)} for split in SPLITS for row in samples(runs[name], split)]
    # The words of a text put together are the text but for white space, which no key minds.
    for column, names in (("key", task.key), ("leak", task.leak_key)):
        told = sidecar(runs[name])[column].to_list()
        assert told == [hashed(fields, names, task.symmetric) for fields in rows]


def test_questions_without_a_context_have_no_leak_key(runs: dict[str, Path]) -> None:
    table = sidecar(runs["nlpcc-kbqa"])
    assert table["leak"].null_count() == len(table) > 0
    assert table["key"].null_count() == 0


def test_parts_of_a_document_share_its_key(tmp_path: Path) -> None:
    data = load_recipe("fudan").path.read_text(encoding="utf-8").replace("mode: cut", "mode: split")
    (tmp_path / "fudan.yaml").write_text(data, encoding="utf-8")
    source = load_recipe("fudan").path.parent / "samples" / "fudan"
    table = sidecar(curate(tmp_path / "fudan.yaml", tmp_path / "run", source).path)
    parts = table.with_columns(row=pl.col("id").str.split("#").list.first())
    keys = parts.group_by("row").agg(pl.len(), keys=pl.col("key").n_unique())
    assert keys["len"].max() > 1 and keys["keys"].max() == 1  # type: ignore[operator]


def test_a_changed_sidecar_is_found(tmp_path: Path) -> None:
    run = curate("bq", tmp_path / "run").path
    assert check_run(run) == []
    data = bytearray((run / FILE).read_bytes())
    data[100] ^= 1
    (run / FILE).write_bytes(data)
    assert check_run(run) == [f"{run / FILE}: was changed after it was written (sha256 differs)"]
    (run / FILE).unlink()
    assert check_run(run) == [f"{run / FILE}: is missing"]
    with pytest.raises(UserError, match="holds another run"):
        curate("bq", tmp_path / "run")
    assert json.loads((run / "manifest.json").read_text("utf-8"))["files"][0]["file"] == FILE
