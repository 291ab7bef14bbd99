"""Two runs side by side: what differs in how they were made, and what became of every row, by id.

A row is one id: what is written under it, or why it was rejected. Whatever stands in either run is in exactly one of
these groups: written alike in both; written in both but changed, or moved to another split, or both; lost (written in
the first only); added (written in the second only); written in neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate.diff.manifests import differing
from curate.run import broken_outputs, read_manifest
from curate.types import UserError


def diff_runs(first: Path, second: Path) -> dict[str, Any]:
    """What `diff --json` prints. Raises UserError for a folder that is no run, or whose files are not whole.

    `same` is true where every sample and every reject is the same, byte for byte; `differs` may still tell of another
    version that made no difference. Where they are not the same there are also `figures` (see `differing_figures`),
    `rejects` (see `rejects_by_step`) and `rows` (see `compare_rows`).
    """
    manifests = [_whole(run) for run in (first, second)]
    found: dict[str, Any] = {
        name: _about(run, manifest)
        for name, run, manifest in zip(("first", "second"), (first, second), manifests, strict=True)
    }
    found["same"] = manifests[0]["outputs"] == manifests[1]["outputs"]
    found["differs"] = differing(*manifests)
    if not found["same"]:
        from curate.card import read_card
        from curate.diff.figures import differing_figures, rejects_by_step
        from curate.diff.rows import Side, compare_rows

        found["figures"] = differing_figures(read_card(first), read_card(second))
        found["rejects"] = rejects_by_step(*manifests)
        found["rows"] = compare_rows(Side(first, manifests[0]), Side(second, manifests[1]))
    return found


def _whole(run: Path) -> dict[str, Any]:
    manifest = read_manifest(run)
    broken = broken_outputs(run, manifest)
    if not any(entry["file"] == "keys.parquet" for entry in manifest.get("files", [])):
        broken = broken or ["keys.parquet"]
    if broken and any(entry["rows"] for entry in manifest["outputs"] if entry["file"] != "rejected.jsonl"):
        raise UserError(*(f"{run / file}: is missing or was changed; curate again with --force" for file in broken))
    return manifest


def _about(run: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    recipe = manifest["recipe"]
    plain = {"recipe": recipe["name"], "version": recipe["version"], "task": manifest["task"]}
    return {"path": str(run), **plain, "seed": manifest["seed"], "fingerprint": manifest["fingerprint"]}
