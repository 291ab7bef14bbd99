"""chunk: long texts, cut at the end of a sentence: the beginning alone, or every part as a sample of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome
from curate.text.hashing import combine
from curate.text.sentences import cut_at

#: The column that numbers the parts of a row. Part 0 keeps the row's id, which rejected copies of it may name.
PART = "part"


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    max: int = Field(ge=1, description="characters, inclusive")
    mode: Literal["cut", "split"] = Field(
        default="cut", description="cut: the beginning is kept; split: every part becomes a sample with `#k` in its id"
    )


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Bring the text of each row to at most `max` characters. With `split` a row becomes several, of one rid.

    A part takes its template by the hash of its own id, as any other sample does.
    """
    texts = rows["text"].to_list()
    long = rows["text"].str.len_chars().fill_null(0) > options.max
    counts = {"texts_cut": 0, "characters_cut": 0}
    parts: list[list[str | None]] = [[text] for text in texts]
    for row in long.arg_true().to_list():
        found = pieces(texts[row], options.max)
        first = next(found)  # of a text that is cut, the rest is not looked at
        parts[row] = [first, *found] if options.mode == "split" else [first]
        counts["texts_cut"] += 1
        counts["characters_cut"] += len(texts[row]) - len(first) if options.mode == "cut" else 0
    counts = {kind: n for kind, n in counts.items() if n}
    if options.mode == "cut":
        return Outcome(rows.with_columns(text=pl.Series([part for (part,) in parts], dtype=pl.String)), counts=counts)
    numbers = pl.Series([list(range(len(part))) for part in parts], dtype=pl.List(pl.UInt64))
    lists = pl.Series(parts, dtype=pl.List(pl.String))
    split = rows.with_columns(lists.alias("text"), numbers.alias(PART)).explode("text", PART)
    order = pl.when(pl.col(PART) > 0).then(combine(pl.col("order"), pl.col(PART))).otherwise(pl.col("order"))
    return Outcome(split.with_columns(order=order).select(*rows.columns, PART), counts=counts)


def pieces(text: str, most: int) -> Iterator[str]:
    """The text in parts of at most `most` characters; white space at their edges is dropped. At least one part."""
    start = 0
    found = False
    while start < len(text):
        end = cut_at(text, most, start)
        if part := text[start:end].strip():
            found = True
            yield part
        start = end
    if not found:
        yield ""


def part_id(name: pl.Expr) -> pl.Expr:
    """The id of a part: that of its row, with `#k` from the second one on."""
    return pl.when(pl.col(PART) > 0).then(pl.concat_str(name, pl.lit("#"), pl.col(PART))).otherwise(name)
