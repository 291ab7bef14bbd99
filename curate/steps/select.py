"""select: rows that the corpus's own definition of its splits leaves out (LCSTS: human score below 3)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome, verdicts


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    field: str = Field(description="a numeric field of the record; rows without a value stay")
    min: int = Field(description="the smallest value that belongs to the split")


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Reject rows whose field is below the minimum.

    Args: rows, a frame of the task's fields with `rid`. Rows whose field is null are not judged.
    """
    below = rows.filter(pl.col(options.field) < options.min)
    return Outcome(rows, verdicts(below, reason="not_in_split"))
