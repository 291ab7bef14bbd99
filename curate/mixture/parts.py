"""The parts of a mixture: run folders that are whole, with the keys of their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from curate import resources
from curate.lazy import pl
from curate.mixture.file import Mixture, PartOptions
from curate.run import broken_outputs, read_manifest
from curate.sidecar import FILE
from curate.text.hashing import hash_series
from curate.types import RID_BITS, SPLITS, UserError
from curate.yamlmarks import did_you_mean


@dataclass
class Part:
    """One run of a mixture. `number` is its place by name; its rows have rids `number << 40 | row of keys.parquet`."""

    name: str
    number: int
    path: Path
    options: PartOptions
    manifest: dict[str, Any]

    @property
    def task(self) -> str:
        return self.manifest["task"]

    def entry(self, name: str) -> dict[str, Any] | None:
        """What the manifest says of one of its files."""
        entries = [*self.manifest["outputs"], *self.manifest["files"]]
        return next((entry for entry in entries if entry["file"] == name), None)

    def rows(self, split: str) -> int:
        """Rows of a split."""
        entry = self.entry(f"{split}.jsonl")
        return entry["rows"] if entry else 0

    def start(self, split: str) -> int:
        """The row of keys.parquet with which a split begins."""
        return sum(self.rows(earlier) for earlier in SPLITS[: SPLITS.index(split)])

    def ids(self, rows: pl.Series | slice) -> pl.Series:
        """The ids of some rows of keys.parquet."""
        frame = pl.scan_parquet(self.path / FILE).select("id")
        if isinstance(rows, slice):
            return frame.slice(rows.start, rows.stop - rows.start).collect()["id"]
        return frame.collect()["id"].gather(rows)


def open_parts(mixture: Mixture, samples: bool, report: Callable[[str], None]) -> list[Part]:
    """The parts by name. Raises UserError with one line for each part that can't be taken."""
    places = _sample_places(mixture, report) if samples else _places(mixture)
    parts: list[Part] = []
    wrong: list[str] = []
    for number, (name, path) in enumerate(places.items()):
        try:
            parts.append(Part(name, number, path, mixture.parts[name], _manifest(name, path)))
        except UserError as error:
            wrong += error.messages
    seen: dict[Path, str] = {}
    for part in parts:
        first = seen.setdefault(part.path.resolve(), part.name)
        if first != part.name:
            wrong.append(f"parts {first} and {part.name}: both are the run {part.path}; keep one of them")
    if wrong:
        raise UserError(*wrong)
    return parts


def _places(mixture: Mixture) -> dict[str, Path]:
    return {name: Path(part.run) if part.run else Path("runs") / name for name, part in mixture.parts.items()}


def _sample_places(mixture: Mixture, report: Callable[[str], None]) -> dict[str, Path]:
    """The runs of the built-in samples, those that are missing curated now."""
    places: dict[str, Path] = {}
    wrong = []
    for name, part in mixture.parts.items():
        if part.run:
            wrong.append(f"part {name}: names the run {part.run}; --samples is for mixtures of shipped recipes")
        elif resources.sample_path(name) is None or name not in resources.recipe_names():
            hint = did_you_mean(name, resources.recipe_names())
            wrong.append(f"part {name}: is no shipped recipe with a built-in sample{hint}")
        places[name] = Path("runs") / f"{name}-sample"
    if wrong:
        raise UserError(*wrong)
    for name, path in places.items():
        if not path.exists():
            from curate.pipeline import curate_recipe
            from curate.recipefile import load_recipe

            report(f"curating the built-in sample of {name}")
            curate_recipe(load_recipe(name), [], out=path)
    return places


def _manifest(name: str, path: Path) -> dict[str, Any]:
    """The manifest of a run that can be mixed."""
    if not path.exists():
        shipped = resources.recipe_names()
        known = name in shipped
        hint = "" if known else did_you_mean(name, shipped)
        place = "" if path == Path("runs") / name else f" --out {path}"
        command = f"python -m curate recipe {name if known else 'RECIPE'} --source PATH{place}"
        raise UserError(f"part {name}: no run at {path}; `{command}` makes it{hint}")
    manifest = read_manifest(path)
    if manifest["task"] == "mixture":
        raise UserError(f"part {name}: {path} is a mixture; name its parts instead")
    if not manifest.get("files"):
        older = f"{path} has no {FILE} (an older version wrote it)"
        raise UserError(f"part {name}: {older}; curate it again with --force")
    if broken := broken_outputs(path, manifest):
        raise UserError(f"part {name}: {path / broken[0]} is missing or was changed; curate it again with --force")
    return manifest


def read_keys(part: Part) -> pl.DataFrame:
    """`rid`, `split`, `part`, `key`, `leak`, `label`, `id` (a hash) of every row, and `own_leak`, as it stands there.

    `leak` is the key where a row has no leak key, `label` text, null for none. Raises UserError where keys.parquet
    isn't what the manifest says.
    """
    entry = part.entry(FILE)
    data = (part.path / FILE).read_bytes()
    if entry is None or hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise changed(part, FILE)
    keys = pl.read_parquet(BytesIO(data))
    if keys["split"].cast(pl.String).to_list() != [split for split in SPLITS for _ in range(part.rows(split))]:
        raise changed(part, FILE)
    label = pl.col("label").cast(pl.String) if "label" in keys.columns else pl.lit(None, pl.String).alias("label")
    number = pl.lit(part.number, pl.UInt64)
    return keys.select(
        pl.int_range(len(keys), dtype=pl.UInt64).alias("rid") + number * (1 << RID_BITS),
        pl.col("split").cast(pl.Enum(list(SPLITS))),
        number.cast(pl.UInt16).alias("part"),
        "key",
        pl.coalesce("leak", "key").alias("leak"),
        pl.col("leak").alias("own_leak"),
        label,
        hash_series(keys["id"]).alias("id"),
    )


def changed(part: Part, file: str) -> UserError:
    """The error of a file (or of some file) of a part that is not what its manifest says."""
    what = f"{part.path / file} was changed after it was written"
    return UserError(f"part {part.name}: {what}; curate it again with --force")
