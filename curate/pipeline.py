"""The order of a run, from a recipe and a source to a run folder.

Three passes: a **local** one reads each file slice by slice and carries out the leading steps; the **judgement**
looks at small keys of all rows at once; the **writing** pass takes the slices again, leaves out what was rejected,
carries out the trailing steps and writes one sample a row. A slice's size, the number of processes and the order in
which files are listed never show in the bytes.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from curate import versions
from curate.ahead import in_passing
from curate.card.draw import prepare
from curate.formatting.templates import load_templates
from curate.judge import judge
from curate.local import LocalPass
from curate.recipe import Recipe
from curate.resources import recipe_path, sample_path
from curate.result import RunResult, finish
from curate.run import check_place, fingerprint, run_folder
from curate.sources import Source, open_source
from curate.steps import Context
from curate.tally import Tally
from curate.types import UserError
from curate.writing import write_slices

#: Rows a slice.
SLICE_ROWS = 65_536


def curate_recipe(
    recipe: Recipe,
    sources: list[str],
    out: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    force: bool = False,
    lang: str = "zh",
    report: Callable[[str], None] = lambda message: None,
    slice_rows: int = SLICE_ROWS,
) -> RunResult:
    """Carry out a recipe. Raises UserError for anything that is wrong with the input; then nothing is left behind."""
    started = time.perf_counter()
    templates = load_templates(recipe.templates_path, recipe.task, recipe.fields)
    place = out or default_place(recipe, sources, limit)
    context = Context(recipe.family, dict(recipe.labels), seed, workers or os.cpu_count() or 1)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jingtiao-")))
        report("reading the source")
        source = open_recipe_source(recipe, sources, work)
        sha = fingerprint(
            {
                "recipe": recipe.sha256,
                "overrides": recipe.overrides,
                "templates": templates.sha256,
                "seed": seed,
                "limit": limit,
                "lang": lang,
                "sources": [_identity(file, source) for file in source.files],
                "versions": versions.of(recipe),
            }
        )
        finished = check_place(place, sha, force)
        if finished is not None:
            return RunResult(place, "up to date", sha, finished, [])
        run = stack.enter_context(run_folder(place))
        tally = Tally()

        local = LocalPass(recipe, context, tally, work, slice_rows)
        local.read(source, limit, report)
        local.check_readable()

        report("judging")
        state = judge(recipe, context, local.keys(), tally, local.records)
        local.end_records()

        report("writing")
        in_passing(prepare)
        written = write_slices(recipe, context, templates, local, state, tally, run)
        options = {
            "seed": seed,
            "limit": limit,
            "lang": lang,
            "started": started,
            "sources": sources,
            "own_recipe": recipe.path != recipe_path(recipe.name),
        }
        return finish(recipe, templates, source, local, state, written, tally, run, place, sha, options)


def default_place(recipe: Recipe, sources: list[str], limit: int | None) -> Path:
    name = recipe.name if sources else f"{recipe.name}-sample"
    return Path("runs") / (f"{name}-limit{limit}" if limit is not None else name)


def open_recipe_source(recipe: Recipe, sources: list[str], work: Path) -> Source:
    """The files of `--source` arguments, or of the recipe's built-in sample where there are none."""
    from curate.readers.dialogue import split_members

    parts: list[tuple[str | None, Path]] = [parse_source(text) for text in sources]
    if not parts:
        sample = sample_path(recipe.name)
        if sample is None:
            raise UserError(f"{recipe.name}: has no built-in sample; name the files with --source PATH")
        parts = [(None, sample)]
    patterns = {split: list(globs) for split, globs in recipe.source.files.items()}
    readers = recipe.source.reader
    members = split_members if "dialogue" in readers else None
    return open_source(parts, patterns, recipe.name, work, members, "parallel" in readers, "folders" in readers)


def parse_source(text: str) -> tuple[str | None, Path]:
    """`[SPLIT=]PATH`; a path that exists under the whole text is a path."""
    split, equals, rest = text.partition("=")
    if equals and split in ("train", "validation", "test"):
        if not rest:
            raise UserError(f"--source {text}: no path after {split}=")
        return split, Path(rest)
    return None, Path(text)


def _identity(file: Any, source: Source) -> dict[str, Any]:
    info = source.infos[file.path]
    partner = source.infos[file.partner].sha256 if file.partner else None
    return {"split": file.split, "file": file.name, "member": file.member, "sha256": info.sha256, "partner": partner}
