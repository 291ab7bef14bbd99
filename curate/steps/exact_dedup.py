"""exact_dedup: the same text twice in one split."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, verdicts
from curate.tasks import Task
from curate.text.hashing import combine
from curate.text.keys import group_hash, key_column, within_split


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: list[str] = Field(default=[], description="the fields that make two rows the same; default: the task's")
    by: Literal["text", "key"] = "key"


def columns(options: Options, task: Task) -> set[str]:
    fields = options.key or task.key
    return {key_column(field, by) for field in fields for by in {"text", options.by}}


def judge(keys: pl.DataFrame, options: Options, context: Context) -> pl.DataFrame:
    """Keep the smallest rid of each group within its split; say of the others in which way they are the same.

    `same_text`: the same up to width and white space; `swapped`: a pair the other way round; `same_key`: the
    same only once case and punctuation are set aside. What stands in two splits is leak_check's to judge.
    """
    fields = tuple(options.key or context.task.key)
    symmetric = context.task.symmetric and len(fields) == 2
    texts = [pl.col(key_column(field, "text")) for field in fields]
    hashed = keys.select("rid", "split", group=group_hash(fields, options.by, symmetric))
    keyed = hashed.select("rid", group=within_split(pl.col("group")))
    repeated = keyed.filter(pl.col("group").is_duplicated())
    members = (
        repeated.with_columns(kept=pl.col("rid").min().over("group"))
        .join(keys, on="rid")
        .select(
            "rid",
            "kept",
            text=combine(*texts),
            swapped=combine(*(reversed(texts) if symmetric else texts)),
        )
    )
    survivors = members.filter(pl.col("rid") == pl.col("kept")).select("kept", kept_text="text")
    others = members.filter(pl.col("rid") != pl.col("kept")).join(survivors, on="kept")
    reason = (
        pl.when(pl.col("text") == pl.col("kept_text"))
        .then(pl.lit("same_text"))
        .when(pl.col("swapped") == pl.col("kept_text"))
        .then(pl.lit("swapped"))
        .otherwise(pl.lit("same_key"))
    )
    return verdicts(others, reason=reason, kept=pl.col("kept"))
