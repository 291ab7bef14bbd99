"""What `import curate` offers: make a run, of a recipe or of several runs, and look at it. Importing it is cheap."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.types import SPLITS, UserError

if TYPE_CHECKING:
    import datasets
    import pandas
    import polars

    from curate.result import RunResult


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, whether it was "written" just now, was "up to date" or is "read", and its manifest.

    `notes` are remarks on what was done: files left aside, formats written, rows a format has no place for.
    """

    path: Path
    status: str
    fingerprint: str
    manifest: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """The family of the corpus: pair, classification, mrc, summarization or dialogue; or mixture."""
        return self.manifest["task"]

    @property
    def rows(self) -> dict[str, int]:
        """How many samples each split has; splits without any are not in it."""
        counts = self.manifest["splits"]
        return {split: counts[split]["written"] for split in SPLITS if counts.get(split, {}).get("written")}

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have samples, of train, validation and test."""
        return tuple(self.rows)

    @property
    def card(self) -> dict[str, Any]:
        """The figures of the data card: splits, steps, labels, lengths, duplicates, leaks, examples."""
        from curate.card import read_card

        return read_card(self.path)

    def to_polars(self, split: str = "train") -> polars.DataFrame:
        """The samples of a split, nested as they are written, with the same types in every split of the run.

        Raises UserError for a split that the run doesn't have.
        """
        from curate.formatting.features import polars_schema, run_features
        from curate.lazy import pl

        return pl.read_ndjson(self._file(split), schema=polars_schema(run_features(self.path)))

    def to_pandas(self, split: str = "train") -> pandas.DataFrame:
        """The samples of a split; lists and objects are Python's. Needs pandas (`pip install "jingtiao[pandas]"`)."""
        columns = self.to_polars(split).to_dict(as_series=False)
        return _optional("pandas", "to_pandas").DataFrame(columns)

    def to_datasets(self) -> datasets.DatasetDict:
        """All splits, on disk in the cache of `datasets` (`pip install "jingtiao[datasets]"`), which this needs."""
        return _optional("datasets", "to_datasets").load_dataset(str(self.path.absolute()))

    def rejected(self) -> polars.DataFrame:
        """Every row that was not written: id, split, step, reason, kept_id, score, and `fields`.

        `fields` is the row's record as JSON text, null where the row was merely not chosen: what could not be read has
        other fields than what could.
        """
        from curate.lazy import pl

        names = ("id", "split", "step", "reason", "kept_id")
        schema = {**dict.fromkeys(names, pl.String), "score": pl.Float64, "fields": pl.String}
        with (self.path / "rejected.jsonl").open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        for row in rows:
            fields = row["fields"]
            row["fields"] = None if fields is None else json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        return pl.DataFrame(rows, schema=schema)

    def _file(self, split: str) -> Path:
        if split not in self.splits:
            raise UserError(f"{self.path}: has no split {split!r}; it has {', '.join(self.splits) or 'none'}")
        return self.path / f"{split}.jsonl"


def recipe(
    name: str | Path,
    source: str | Path | Sequence[str | Path] = (),
    *,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    memory: str | None = None,
    force: bool = False,
    lang: str = "zh",
    formats: str | Sequence[str] = (),
    report: Callable[[str], None] = lambda message: None,
) -> Run:
    """Curate a corpus as `python -m curate recipe` does, byte for byte; returns the run.

    `name` is a shipped recipe or a YAML file. `source` is a folder, a file or an archive, or several, each with
    `train=`, `validation=` or `test=` before it where its name doesn't tell; without any, the built-in sample.
    `overrides` are written as after `--set` ("segment.as=off"). `formats` are of sharegpt, messages and parquet.
    `memory` bounds what the run holds ("2GB"). `report` is told what is going on. Raises UserError for whatever is
    wrong with the input, and leaves nothing then.
    """
    from curate.pipeline import curate_recipe
    from curate.recipefile import load_recipe
    from jingtiao.memory import parse_memory

    _check(lang, limit=limit, workers=workers)
    done = curate_recipe(
        load_recipe(name, list(_listed(overrides))),
        [str(each) for each in _listed(source)],
        out=None if out is None else Path(out),
        limit=limit,
        seed=seed,
        workers=workers or cores(),
        memory=None if memory is None else parse_memory(memory),
        force=force,
        lang=lang,
        formats=_listed(formats),
        report=report,
    )
    return _run(done)


def mix(
    name: str | Path,
    *,
    samples: bool = False,
    out: str | Path | None = None,
    seed: int = 0,
    workers: int | None = None,
    force: bool = False,
    lang: str = "zh",
    formats: str | Sequence[str] = (),
    report: Callable[[str], None] = lambda message: None,
) -> Run:
    """Make one run of several as `python -m curate mix` does, byte for byte; returns the run.

    `name` is a shipped mixture or a YAML file. With `samples` the built-in samples of its recipes are mixed, and
    curated first where they are missing. Raises UserError for whatever is wrong with the input.
    """
    from curate.mixture.file import load_mixture
    from curate.mixture.mix import mix_runs

    _check(lang, workers=workers)
    done = mix_runs(
        load_mixture(str(name)),
        samples=samples,
        out=None if out is None else Path(out),
        seed=seed,
        workers=workers or cores(),
        force=force,
        lang=lang,
        formats=_listed(formats),
        report=report,
    )
    return _run(done)


def read_run(path: str | Path) -> Run:
    """A run that was written before. Raises UserError for a folder that is no run, or whose files are not whole."""
    from curate.run import broken_outputs, read_manifest

    place = Path(path)
    manifest = read_manifest(place)
    if broken := broken_outputs(place, manifest):
        raise UserError(*(f"{place / file}: is missing or was changed; curate again" for file in broken))
    return Run(place, "read", manifest["fingerprint"], manifest)


def _check(lang: str, **counts: int | None) -> None:
    if lang not in ("zh", "en"):
        raise UserError(f"lang={lang!r}: write 'zh' or 'en'")
    for key, value in counts.items():
        if value is not None and value < 1:
            raise UserError(f"{key}={value}: must be 1 or more")


def _run(done: RunResult) -> Run:
    return Run(done.path, done.status, done.fingerprint, done.manifest, tuple(done.notes))


def _listed(value: Any) -> Sequence[Any]:
    return (value,) if isinstance(value, str | Path) else value


def cores() -> int:
    """The cores this process may use (a container or taskset may give it fewer than the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _optional(name: str, what: str) -> Any:
    """A package that only this needs."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        raise UserError(f'{what}: needs {missing}, which is not installed: pip install "jingtiao[{name}]"') from None
