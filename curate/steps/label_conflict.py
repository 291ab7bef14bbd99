"""label_conflict: one text, two labels."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, verdicts
from curate.tasks import Task
from curate.text.keys import group_hash, key_column, within_split


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: list[str] = Field(default=[], description="the fields that make two rows the same; default: the task's")
    by: Literal["text", "key"] = "key"


def columns(options: Options, task: Task) -> set[str]:
    return {key_column(field, options.by) for field in options.key or task.key}


def judge(keys: pl.DataFrame, options: Options, context: Context) -> pl.DataFrame:
    """Reject every row of a group that carries more than one label within a split: none of them can be trusted."""
    fields = tuple(options.key or context.task.key)
    group = group_hash(fields, options.by, context.task.symmetric)
    hashed = keys.select("rid", "split", group=group, label=pl.col("label").to_physical())
    keyed = hashed.with_columns(group=within_split(pl.col("group")))
    mixed = (
        keyed.drop_nulls("label")
        .group_by("group")
        .agg(pl.col("label").min().alias("least"), pl.col("label").max().alias("most"))
        .filter(pl.col("least") != pl.col("most"))
    )
    return verdicts(keyed.join(mixed, on="group", how="semi"), reason="conflicting_labels")
