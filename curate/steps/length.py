"""length: texts that are too short or too long, in characters."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome, verdicts


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    fields: list[str] = Field(default=[], description="fields to measure; default: all texts of the task")
    min: int = Field(default=0, ge=0, description="characters, inclusive")
    max: int | None = Field(default=None, ge=1, description="characters, inclusive")


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Reject rows with a measured text outside `min`..`max`; a dialogue is measured by utterance."""
    task = context.task
    fields = options.fields or list(task.text)
    low = pl.min_horizontal(chars(name, task.fields[name], "min") for name in fields)
    high = pl.max_horizontal(chars(name, task.fields[name], "max") for name in fields)
    short = rows.filter(low < options.min)
    out = [verdicts(short, reason="too_short")]
    if options.max is not None:
        out.append(verdicts(rows.filter((high > options.max) & (low >= options.min)), reason="too_long"))
    return Outcome(rows, pl.concat(out))


def chars(name: str, kind: str, of: str) -> pl.Expr:
    """Characters of a text; the shortest or longest of a list's texts."""
    if kind == "list[str]":
        lengths = pl.col(name).list.eval(pl.element().str.len_chars())
        return (lengths.list.min() if of == "min" else lengths.list.max()).fill_null(0)
    return pl.col(name).str.len_chars().fill_null(0)
