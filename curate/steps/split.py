"""split: a validation (and test) split for corpora that come without one."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, verdicts
from curate.tasks import Task
from curate.text.hashing import mix, seed_of
from curate.text.keys import group_hash, key_column


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    validation: float = Field(default=0.1, ge=0, lt=1, description="share of the groups that goes to validation")
    test: float = Field(default=0.0, ge=0, lt=1, description="share of the groups that goes to test")
    key: list[str] = Field(default=[], description="rows that share this key stay together; default: the task's")
    by: Literal["text", "key"] = "key"


def columns(options: Options, task: Task) -> set[str]:
    return {key_column(field, options.by) for field in options.key or task.leak_key}


def judge(keys: pl.DataFrame, options: Options, context: Context) -> pl.DataFrame:
    """Move train rows to splits that the source lacks; a split that has rows already is left as published.

    A group's place follows from the hash of its key alone, so adding rows moves no other row.
    """
    present = set(keys["split"].unique().to_list())
    fields = tuple(options.key or context.task.leak_key)
    group = group_hash(fields, options.by, context.task.symmetric)
    draw = mix(group + pl.lit(seed_of("split", context.seed), dtype=pl.UInt64)).cast(pl.Float64) / 2.0**64
    train = keys.filter(pl.col("split") == "train").select("rid", draw=draw)
    test = 0.0 if "test" in present else options.test
    validation = 0.0 if "validation" in present else options.validation
    to_test = train.filter(pl.col("draw") < test)
    to_validation = train.filter((pl.col("draw") >= test) & (pl.col("draw") < test + validation))
    return pl.concat([verdicts(to_test, "move", "test"), verdicts(to_validation, "move", "validation")])
