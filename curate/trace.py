"""A few rows on their way through the local steps, one step at a time: what `preview` and `explain` show.

The order of the steps and what a verdict means are the local pass's own; nothing is written and nothing is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from curate.formatting.render import form_verdicts, render, samples
from curate.formatting.templates import load_templates
from curate.lazy import pl
from curate.local import read_file
from curate.recipefile import Recipe
from curate.rejects import printed_id
from curate.slicework import soften
from curate.steps import Context, Outcome
from curate.steps.chunk import PART
from curate.steps.segment import word_column
from curate.text.decode import FileInfo
from curate.text.hashing import row_hash, seed_of
from curate.types import File, Records


@dataclass
class Stage:
    """What one step made of the rows: the frame after it, its verdicts (rid, action, reason, …), what it changed."""

    step: str
    rows: pl.DataFrame
    said: pl.DataFrame
    counts: dict[str, int]


def context_of(recipe: Recipe, seed: int = 0) -> Context:
    """The context of a recipe's steps, with a single process."""
    return Context(recipe.family, dict(recipe.labels), seed, workers=1)


def read_rows(recipe: Recipe, file: File, info: FileInfo, limit: int, block: int = 1024) -> Iterator[Records]:
    """The first `limit` rows of a file, as its reader gives them."""
    _, blocks = read_file(recipe, file, info, limit, block)
    yield from blocks


def trace(recipe: Recipe, context: Context, file: File, rows: pl.DataFrame) -> Iterator[Stage]:
    """The leading local steps and the check of form; each sees the rows that the one before it kept."""
    rows = rows.with_columns(order=row_hash(pl.col("rid"), seed_of(file.prefix, context.seed)))
    for use in recipe.leading:
        outcome = use.step.module.run(rows, use.options, context)
        yield (stage := _stage(use.name, outcome, use.step.binding, file.split))
        rows = kept(stage)
    yield _stage("format", Outcome(rows, form_verdicts(rows, context, file.split)), True, file.split)


def _stage(step: str, outcome: Outcome, binding: bool, split: str) -> Stage:
    said = outcome.verdicts
    if said is None:
        said = pl.DataFrame(schema={"rid": pl.UInt64, "action": pl.String, "reason": pl.String})
    return Stage(step, outcome.rows, soften(said, binding, split).select("rid", "action", "reason"), outcome.counts)


def kept(stage: Stage) -> pl.DataFrame:
    """The rows that a stage did not reject."""
    return stage.rows.join(
        stage.said.filter(pl.col("action") == "reject"), on="rid", how="anti", maintain_order="left"
    )


def as_samples(recipe: Recipe, context: Context, file: File, rows: pl.DataFrame) -> tuple[list[Stage], dict[int, Any]]:
    """Trailing local steps on the rows, and the samples of those that are left, by rid; judgements are not made."""
    from curate.pipeline import token_counter

    templates = load_templates(recipe.templates_path, recipe.task, recipe.fields)
    context = replace(context, templates=templates, tokens=token_counter(recipe), split=file.split)
    stages, words = [], []
    for use in recipe.trailing:
        outcome = use.step.module.run(rows, use.options, context)
        stages.append(_stage(use.name, outcome, use.step.binding, file.split))
        rows = kept(stages[-1])
        words += [name for name in map(word_column, context.task.fields) if name in rows.columns and name not in words]
    rendered = render(rows, templates, context, file.split != "train").filter(pl.col("rendered"))
    rendered = rendered.with_columns(id=printed_id(pl.col("rid"), {file.number: file.prefix}), flags=pl.lit(""))
    if PART in rendered.columns:
        rendered = rendered.filter(pl.col(PART) == 0)
    lines = samples(rendered, context, words, source_ids=False).to_dicts()
    return stages, dict(zip(rendered["rid"].to_list(), lines, strict=True))
