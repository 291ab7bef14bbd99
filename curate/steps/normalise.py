"""normalise: full-width letters and digits, spaces, invisible characters, in all text fields alike."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from curate.lazy import pl
from curate.steps import Context, Outcome
from curate.text.distinct import put
from curate.text.width import normalise_series


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Fold and clean every text of the record by one rule, so that answers still match their context."""
    counts: dict[str, int] = {}
    columns = [
        normalise_field(rows[name], counts)
        for name, kind in context.task.fields.items()
        if kind in ("str", "list[str]") and name not in ("label", "source_id", "intent")
    ]
    return Outcome(rows.with_columns(columns), counts=counts)


def normalise_field(column: pl.Series, counts: dict[str, int]) -> pl.Series:
    """A string column, or a column of lists of strings, normalised."""
    return map_texts(column, lambda texts: normalise_series(texts, counts))


def map_texts(column: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """`change(Series) -> Series` applied to a string column, or to the strings in a column of lists; not to nulls."""
    if column.dtype == pl.String:
        where = column.is_not_null().arg_true()
        if len(where) == len(column):
            return change(column).alias(column.name)
        return put(column, where, change(column.gather(where))).alias(column.name)
    flat = pl.DataFrame({"row": pl.int_range(len(column), eager=True), "text": column}).explode("text")
    present = flat.filter(pl.col("text").is_not_null())
    changed = present.with_columns(change(present["text"]).alias("text"))
    lists = changed.group_by("row", maintain_order=True).agg("text")
    joined = pl.DataFrame({"row": pl.int_range(len(column), eager=True)}).join(
        lists, on="row", how="left", maintain_order="left"
    )
    empty = pl.lit([], dtype=pl.List(pl.String))
    return joined.select(pl.coalesce("text", empty).alias(column.name))[column.name]
