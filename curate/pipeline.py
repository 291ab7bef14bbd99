"""The order of a run, from a recipe and a source to a run folder.

Three passes: a **local** one reads each file slice by slice and carries out the leading steps; the **judgement**
looks at small keys of all rows at once; the **writing** pass takes the slices again, leaves out what was rejected,
carries out the trailing steps and writes one sample a row. A slice's size, the number of processes and the order in
which files are listed never show in the bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate import versions
from curate.ahead import in_passing
from curate.budget import share_out
from curate.card import prepare
from curate.formatting.exports import export, known_formats
from curate.formatting.templates import load_templates
from curate.judge import judge
from curate.local import LocalPass, key_columns
from curate.recipefile import Recipe
from curate.resources import recipe_path, sample_path
from curate.result import RunResult, finish
from curate.run import check_place, fingerprint, run_folder
from curate.sources import Source, open_source
from curate.steps import Context
from curate.store import Store
from curate.tally import Tally
from curate.types import SPLITS, UserError
from curate.work import work_folder
from curate.writing import write_slices

if TYPE_CHECKING:
    from curate.formatting.templates import TemplateSet
    from curate.hub import Fetched, Hub
    from curate.text.tokens import TokenCounter

#: Rows a slice.
SLICE_ROWS = 65_536
#: What slices on disk look like: with another number, none that an older version left is gone on from.
LAYOUT = 2


def curate_recipe(
    recipe: Recipe,
    sources: list[str],
    out: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    force: bool = False,
    lang: str = "zh",
    formats: Sequence[str] = (),
    report: Callable[[str], None] = lambda message: None,
    slice_rows: int = SLICE_ROWS,
    memory: int | None = None,
) -> RunResult:
    """Carry out a recipe. Raises UserError for anything that is wrong with the input; then nothing is left behind.

    `formats` are written beside the samples, also where the run is up to date but lacks them. `memory` is what the run
    may take, in bytes (default: what the machine can give); like `workers` and `slice_rows` it never shows in the run.
    """
    started = time.perf_counter()
    formats = known_formats(formats)
    templates = load_templates(recipe.templates_path, recipe.task, recipe.fields)
    place = out or default_place(recipe, sources, limit)
    tokens = token_counter(recipe)
    context = Context(recipe.family, dict(recipe.labels), seed, workers or os.cpu_count() or 1, templates, tokens)
    with ExitStack() as stack:
        work = stack.enter_context(work_folder(place))
        report("reading the source")
        if force or not place.exists():  # else it may be up to date
            in_passing(partial(_load_words, recipe))
        source = open_recipe_source(recipe, sources, work.source)
        used = versions.of(recipe, source)
        chosen = {"seed": seed, "limit": limit, "lang": lang}
        sha = _fingerprint(recipe, source, templates, tokens, used, chosen)
        finished = check_place(place, sha, force)
        if finished is not None:
            return RunResult(place, "up to date", sha, finished, export(place, formats, report))
        columns = len(key_columns(recipe, context)) + 2
        budget = share_out(recipe, source, memory, limit, columns, context.workers, slice_rows)
        context = replace(context, workers=budget.workers)
        run = stack.enter_context(run_folder(work))
        tally = Tally()

        slices = work.slices(fingerprint({"run": sha, "slice_rows": slice_rows, "layout": LAYOUT}))
        if n := work.waiting():
            report(f"going on: {n} slices were done before")
        local = LocalPass(recipe, context, tally, Store(slices, budget.store), slice_rows, budget)
        local.read(source, limit, report)
        local.check_readable()

        report("judging")
        state = judge(recipe, context, local.keys(), tally, local.records)
        local.end_records()

        report("writing")
        in_passing(prepare)
        written = write_slices(recipe, context, templates, local, state, tally, run, Store(work.keys, budget.store))
        options = {
            **chosen,
            "versions": used | ({"tokenizer": tokens.sha256[:16]} if tokens else {}),
            "started": started,
            "sources": sources,
            "own_recipe": recipe.path != recipe_path(recipe.name),
        }
        result = finish(recipe, templates, source, local, state, written, tally, run, place, sha, options)
        result.notes += export(run.folder, formats, report)
        return result


def _load_words(recipe: Recipe) -> None:
    """Load the segmenter's dictionary, which lets go of the interpreter meanwhile, while the source is looked at."""
    segment = recipe.step("segment")
    if segment is not None and segment.options.as_ != "off" and segment.options.engine == "rjieba":
        import rjieba  # noqa: F401


def token_counter(recipe: Recipe) -> TokenCounter | None:
    """What counts the tokens of samples, where a recipe measures them; UserError where its tokenizer can't be had."""
    use = recipe.step("token_length")
    if use is None:
        return None
    from curate.text.tokens import load_counter

    return load_counter(use.options.tokenizer)


def default_place(recipe: Recipe, sources: list[str], limit: int | None) -> Path:
    name = recipe.name if sources else f"{recipe.name}-sample"
    return Path("runs") / (f"{name}-limit{limit}" if limit is not None else name)


def open_recipe_source(recipe: Recipe, sources: list[str], work: Path) -> Source:
    """The files of `--source` arguments, or of the recipe's built-in sample where there are none."""
    from curate.readers import READERS
    from curate.readers.dialogue import split_members

    parts: list[tuple[str | None, Path]] = []
    fetched: list[Fetched] = []
    given: list[str] = []
    for number, text in enumerate(sources):
        split, where = parse_source(text, recipe.source.hub)
        if isinstance(where, Path):
            parts.append((split, where))
            given.append(f"{split}={where.absolute()}" if split else str(where.absolute()))
        else:
            from curate.hub import fetch

            fetched.append(fetch(where, recipe, work / f"hub-{number:03d}"))
            parts += fetched[-1].parts
            given.append(fetched[-1].hub.words(local=True))
    if not parts:
        sample = sample_path(recipe.name)
        if sample is None:
            raise UserError(f"{recipe.name}: has no built-in sample; name the files with --source PATH")
        parts = [(None, sample)]
    patterns = {split: list(globs) for split, globs in recipe.source.files.items()}
    readers = recipe.source.reader
    binary = any(READERS[name].binary for name in readers)
    members = split_members if "dialogue" in readers else None
    parallel, folders = "parallel" in readers, "folders" in readers
    source = open_source(parts, patterns, recipe.name, work, members, parallel, folders, binary)
    return _with_origins(replace(source, given=given), fetched)


def parse_source(text: str, own_hub: str | None = None) -> tuple[str | None, Path | Hub]:
    """`[SPLIT=]PATH`, or a data set of the hub in the path's place; `own_hub` is the recipe's."""
    split, equals, rest = text.partition("=")
    if not equals or split not in SPLITS:
        split, rest = None, text
    if not rest:
        raise UserError(f"--source {text}: no path after {split}=")
    if rest == "hub" or rest.startswith("hf:"):
        from curate.hub import parse_hub

        return split, parse_hub(rest, split, own_hub)
    return split, Path(rest)


def _with_origins(source: Source, fetched: list[Fetched]) -> Source:
    """The source with what is known of its files from the hub; those that datasets wrote are read as rows."""
    origins = {
        file.path: origin for file in source.files for one in fetched if (origin := one.origin(file.path)) is not None
    }
    files = [replace(file, reader="rows" if "split" in origins.get(file.path, {}) else None) for file in source.files]
    ignored = sorted({*source.ignored, *(name for one in fetched for name in one.aside)})
    return replace(source, files=files, ignored=ignored, origins=origins)


def _fingerprint(
    recipe: Recipe,
    source: Source,
    templates: TemplateSet,
    tokens: TokenCounter | None,
    used: dict[str, str],
    chosen: dict[str, Any],
) -> str:
    """sha256 of everything that decides the run's bytes; `chosen` is what the command line said besides."""
    return fingerprint(
        {
            "recipe": recipe.sha256,
            "overrides": recipe.told_overrides,
            "templates": templates.sha256,
            **chosen,
            "sources": [_identity(file, source) for file in source.files],
            "versions": used,
            "tokenizer": tokens.sha256 if tokens else None,
        }
    )


def _identity(file: Any, source: Source) -> dict[str, Any]:
    info = source.infos[file.path]
    partner = source.infos[file.partner].sha256 if file.partner else None
    origin = {"hub": source.origins[file.path]} if file.path in source.origins else {}
    told = {"split": file.split, "file": file.name, "member": file.member, "sha256": info.sha256, "partner": partner}
    return {**told, **origin}
