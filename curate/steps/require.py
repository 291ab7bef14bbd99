"""require: fields that must not be empty."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome, verdicts


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    fields: list[str] = Field(default=[], description="fields that must hold text; default: what the task needs")


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Reject rows in which a required field is null, blank or an empty list: also in evaluation splits."""
    fields = options.fields or list(context.task.required)
    empty = pl.any_horizontal(is_empty(name, context.task.fields[name]) for name in fields)
    return Outcome(rows, verdicts(rows.filter(empty), reason="empty_field"))


def is_empty(name: str, kind: str) -> pl.Expr:
    """True where a field holds nothing to show."""
    column = pl.col(name)
    if kind.startswith("list"):
        return column.is_null() | (column.list.len() == 0)
    if kind == "str":
        return column.is_null() | (column.str.strip_chars() == "")
    return column.is_null()
