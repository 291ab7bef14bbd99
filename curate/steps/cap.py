"""cap: at most so many training rows of one label, or of one answer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, verdicts
from curate.tasks import Task

#: The key column of what a model would have to answer (the last utterance, the first answer, the summary).
ANSWER = "answer|key"


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    per: Literal["label", "answer"] = Field(description="count rows of one label, or of one answer (generic replies)")
    max: int = Field(ge=1, description="rows that are kept of each")


def columns(options: Options, task: Task) -> set[str]:
    return {ANSWER} if options.per == "answer" else set()


def judge(keys: pl.DataFrame, options: Options, context: Context) -> pl.DataFrame:
    """Reject train rows beyond the cap. Which ones stay is decided by the hash of their id, not by their place."""
    column = "label" if options.per == "label" else ANSWER
    rank = pl.struct("order", "rid").rank("ordinal").over(column)
    train = keys.filter((pl.col("split") == "train") & pl.col(column).is_not_null()).select("rid", rank=rank)
    return verdicts(train.filter(pl.col("rank") > options.max), reason="over_cap")
