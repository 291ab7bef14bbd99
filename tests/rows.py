"""Rows to test with: records made by hand, the built-in samples, and real files where they are at hand."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from curate.formatting.render import form_verdicts
from curate.formatting.templates import Template, TemplateSet
from curate.local import choose_reader
from curate.pipeline import open_recipe_source
from curate.readers import ReadOptions
from curate.recipefile import Recipe, load_recipe
from curate.steps import Context
from curate.steps.normalise import Options, run
from curate.tasks import TASKS
from curate.text.decode import sniff
from curate.text.hashing import row_hash, seed_of
from curate.text.keys import key_frame
from curate.types import SPLITS, File

LABELS = {"0": "不同", "1": "相同"}
#: A recipe and its real file in the folder of corpora, for each family of templates.
REAL = {
    "lcqmc": "lcqmc/dev.txt",
    "chnsenticorp": "chnsenticorp/train.tsv",
    "cmrc2018": "cmrc2018/squad_dev.json",
    "lcsts": "lcsts/PART_III.txt",
    "nlpcc-kbqa": "nlpcc/nlpcc2017.kbqa.test",
    "nlpcc-summary": "nlpcc/summ2017_articles.train.sample.txt",
    "lccc": "lccc/LCCC-base_valid.json",
    "ecdt": "ecdt/smp2019_nlu_train.json",
    "nlpcc-headline": "nlpcc/headline2017_test.full.word",
    "nlpcc-stance": "nlpcc/stance2016_TaskA_gold.txt",
    "bq": "bq/dev.csv",
    "drcd": "drcd/DRCD_dev.json",
}


def context(
    task: str, labels: dict[str, str] | None = None, seed: int = 0, workers: int = 1, templates: Any = None
) -> Context:
    known = (LABELS if labels is None else labels) if TASKS[task].has_labels else {}
    return Context(TASKS[task], known, seed, workers, templates)


def templates(task: str, plain: int = 3, inverted: int = 0) -> TemplateSet:
    """So many templates; what they say is of no matter."""
    made = (Template(f"{task}/{n:02}", "答", "", "答", inverted=n >= plain) for n in range(plain + inverted))
    return TemplateSet(tuple(made), "")


def frame(task: str, *records: dict[str, Any]) -> pl.DataFrame:
    """Records by hand: `rid` 0, 1, 2 …; what isn't named is null, or "" / [] where the task never has null."""
    defaults: dict[str, Any] = {"title": "", "answers": [], "answer_starts": [], "source_id": ""}
    schema = TASKS[task].schema()
    data = {name: [record.get(name, defaults.get(name)) for record in records] for name in schema}
    rows = pl.DataFrame(data, schema=schema)
    return with_order(rows.select(pl.int_range(len(rows), dtype=pl.UInt64).alias("rid"), pl.all()))


def with_order(rows: pl.DataFrame, prefix: str = "test", seed: int = 0) -> pl.DataFrame:
    return rows.with_columns(order=row_hash(pl.col("rid"), seed_of(prefix, seed)))


def key_table(rows: pl.DataFrame, splits: list[str], step: Any, options: Any, ctx: Context) -> pl.DataFrame:
    """What a judgement gets of these rows."""
    keys = key_frame(rows, ctx.task.fields, step.columns(options, ctx.task) - {"answer|key"})
    more = [pl.Series("split", splits, dtype=pl.Enum(list(SPLITS))), rows["order"]]
    if ctx.task.has_labels:
        more.append(rows["label"].cast(pl.Enum(list(ctx.labels))))
    return keys.with_columns(more)


def with_key_texts(rows: pl.DataFrame, step: Any, options: Any, ctx: Context) -> pl.DataFrame:
    """The rows as a judgement that reads texts gets them."""
    keys = key_frame(rows, ctx.task.fields, set(), step.texts(options, ctx.task))
    return rows.with_columns(keys.drop("rid"))


def said(verdicts: pl.DataFrame | None) -> list[tuple[int, str, str, int | None]]:
    """(rid, action, reason, kept) of every verdict, sorted."""
    if verdicts is None:
        return []
    assert verdicts.columns == ["rid", "action", "reason", "kept", "score"]
    rows = verdicts.select("rid", "action", "reason", "kept").rows()
    return sorted(rows, key=lambda row: (row[0], row[1], row[2], -1 if row[3] is None else row[3]))


@lru_cache(maxsize=32)
def sample_rows(name: str) -> tuple[Recipe, Context, pl.DataFrame]:
    """The rows of a recipe's built-in training sample."""
    recipe = load_recipe(name)
    source = open_recipe_source(recipe, [], Path())
    files = [file for file in source.files if file.split == "train"]
    return _rows(recipe, files)


@lru_cache(maxsize=32)
def real_rows(name: str, corpora: Path) -> tuple[Recipe, Context, pl.DataFrame]:
    """The rows of a real file of the recipe's corpus."""
    recipe = load_recipe(name)
    source = open_recipe_source(recipe, [f"train={corpora / REAL[name]}"], Path())
    return _rows(recipe, source.files)


def _rows(recipe: Recipe, files: list[File]) -> tuple[Recipe, Context, pl.DataFrame]:
    """All rows of these files, normalised, that can become samples."""
    ctx = Context(recipe.family, dict(recipe.labels), 0, 1)
    frames = []
    for file in files:
        info = sniff(file.path)
        _, reader = choose_reader(recipe, file, info)
        for block in reader.read(file, info, ReadOptions(recipe.task, ctx.labels, extra=recipe.fields), 32_768):
            frames.append(with_order(block.frame, file.prefix))
    rows = run(pl.concat(frames), Options(), ctx).rows
    return recipe, ctx, rows.join(form_verdicts(rows, ctx, "train"), on="rid", how="anti", maintain_order="left")
