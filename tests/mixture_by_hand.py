"""The hand-made mixture: its rows, changed ones, and the run that each of its corpora would be by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tune.errors import UserError
from tune.runs import MANIFEST

MIXTURE = Path(__file__).resolve().parent / "golden" / "mixture"
CORPORA = ["shop-pair", "tea-talk", "town-mrc"]

Rows = list[dict[str, Any]]
#: What the rows of a task have in their meta only because other tasks are in the mixture.
FOREIGN = {
    "pair": ("references", "source_id"),
    "mrc": ("label", "fields"),
    "dialogue": ("label", "fields", "source_id"),
}


def rows_of(run: Path, split: str) -> Rows:
    return [json.loads(line) for line in (run / f"{split}.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]


def write_rows(run: Path, split: str, rows: Rows) -> None:
    """Other rows in a split's file; the manifest agrees."""
    file = run / f"{split}.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    manifest = manifest_of(run)
    for entry in manifest["outputs"]:
        if entry["file"] == file.name:
            entry |= {"rows": len(rows), "bytes": file.stat().st_size}
    (run / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")


def manifest_of(run: Path) -> dict[str, Any]:
    return json.loads((run / MANIFEST).read_text(encoding="utf-8"))


def change_manifest(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = manifest_of(run)
    change(manifest)
    (run / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")


def alone(mixture: Path, corpus: str, folder: Path) -> Path:
    """A run of one corpus as curate would write it: only its rows, without what the other corpora brought."""
    entry = manifest_of(mixture)["mixture"]["corpora"][corpus]
    folder.mkdir(parents=True)
    outputs = []
    for split in ("train", "validation", "test"):
        rows = [row for row in rows_of(mixture, split) if row["meta"]["corpus"] == corpus]
        if not rows:
            continue
        for row in rows:
            if entry["task"] != "dialogue":
                del row["history"], row["system"]
            for key in ("corpus", "metrics", *FOREIGN[entry["task"]]):
                del row["meta"][key]
        outputs.append({"file": f"{split}.jsonl"})
        (folder / MANIFEST).write_text(json.dumps({"outputs": outputs}), encoding="utf-8")
        write_rows(folder, split, rows)
        outputs = manifest_of(folder)["outputs"]
    said = {key: entry[key] for key in ("recipe", "fingerprint", "task", "metrics", "labels")}
    change_manifest(folder, lambda manifest: manifest.update(said, tune=manifest_of(mixture)["tune"]))
    return folder


def error(work: Callable[[], object]) -> str:
    """The one message that `work` ends with."""
    with pytest.raises(UserError) as raised:
        work()
    (message,) = raised.value.messages
    return message
