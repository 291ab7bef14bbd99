"""segment: jieba's words, beside the text or in its place."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome
from curate.steps.normalise import map_texts

if TYPE_CHECKING:
    from curate.text.segment import Cutter


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    as_: Literal["meta", "text", "stats", "off"] = Field(
        default="meta",
        alias="as",
        description="meta: words beside the text; text: words in its place; stats: figures only",
    )
    engine: Literal["rjieba", "jieba"] = Field(default="rjieba", description="the same words; jieba is slower")
    user_dict: str | None = Field(default=None, description="a dictionary in jieba's format")
    fields: list[str] = Field(default=[], description="fields to cut; default: all texts of the task")


@lru_cache(maxsize=2)
def _cutter(engine: str, user_dict: str | None) -> Cutter:
    from curate.text.segment import Cutter

    return Cutter(engine, user_dict)


def word_column(field: str) -> str:
    """The column of a field's words, joined by spaces (the utterances of a dialogue by line ends)."""
    return f"words|{field}"


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Cut each text into words joined by single spaces, and count the words of the slice."""
    if options.as_ == "off":
        return Outcome(rows)
    cutter = _cutter(options.engine, options.user_dict)
    columns, all_words, counts = [], [], {"texts": 0, "words": 0}
    for field in options.fields or context.task.text:
        words = map_texts(rows[field], cutter.join)
        is_list = words.dtype == pl.List
        flat = words.explode() if is_list else words
        all_words.append(flat.alias("word"))
        counts["texts"] += len(flat)
        if options.as_ == "text":
            columns.append(words)
        else:
            columns.append((words.list.join("\n") if is_list else words).alias(word_column(field)))
    tally = count_words(pl.concat(all_words))
    counts["words"] = int(tally["count"].sum())
    return Outcome(rows if options.as_ == "stats" else rows.with_columns(columns), counts=counts, words=tally)


def count_words(texts: pl.Series) -> pl.DataFrame:
    """How often each word (`word`, `count`) stands in texts of words joined by spaces; each text is split once."""
    repeated = texts.drop_nulls().alias("word").value_counts(name="count")
    # Most texts stand there once: their words have no weights, and counting them so costs half.
    once = pl.col("count") == 1
    single = repeated.filter(once)["word"].str.split(" ").explode().value_counts(name="count")
    words = repeated.filter(~once).with_columns(pl.col("word").str.split(" ")).explode("word")
    counted = pl.concat([single, words]).filter(pl.col("word") != "").group_by("word").agg(pl.col("count").sum())
    return counted.with_columns(pl.col("count").cast(pl.Int64))
