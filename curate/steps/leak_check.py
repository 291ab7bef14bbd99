"""leak_check: training rows that also stand in validation or test."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, verdicts
from curate.tasks import Task
from curate.text.keys import group_hash, key_column


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: list[str] = Field(default=[], description="the fields that give a row away; default: the task's")
    by: Literal["text", "key"] = "key"


def columns(options: Options, task: Task) -> set[str]:
    return {key_column(field, options.by) for field in options.key or task.leak_key}


def judge(keys: pl.DataFrame, options: Options, context: Context) -> pl.DataFrame:
    """Reject train rows known from test or validation, naming the row there; flag evaluation rows known elsewhere.

    An evaluation row that had a copy in train is flagged `in_train`, a validation row that is also in test `in_test`.
    """
    fields = tuple(options.key or context.task.leak_key)
    keyed = keys.select("rid", "split", group=group_hash(fields, options.by, context.task.symmetric))
    first = {
        split: keyed.filter(pl.col("split") == split).group_by("group").agg(pl.col("rid").min().alias("kept"))
        for split in ("train", "validation", "test")
    }
    train, validation, test = (keyed.filter(pl.col("split") == split) for split in ("train", "validation", "test"))
    in_test = train.join(first["test"], on="group")
    in_validation = train.join(first["test"], on="group", how="anti").join(first["validation"], on="group")
    said = [
        verdicts(in_test, reason="in_test", kept=pl.col("kept")),
        verdicts(in_validation, reason="in_validation", kept=pl.col("kept")),
        verdicts(validation.join(first["test"], on="group"), "flag", "in_test", pl.col("kept")),
    ]
    for split in (validation, test):
        said.append(verdicts(split.join(first["train"], on="group", how="semi"), "flag", "in_train"))
    return pl.concat(said)
