"""chunk: long texts, cut at the end of a sentence."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome
from curate.text.distinct import put
from curate.text.sentences import cut_at


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    max: int = Field(ge=1, description="characters, inclusive")
    mode: Literal["cut"] = Field(default="cut", description="cut: the beginning is kept")


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Bring the text of each row to at most `max` characters."""
    texts = rows["text"]
    where = (texts.str.len_chars() > options.max).fill_null(False).arg_true()
    if not len(where):
        return Outcome(rows)
    long = texts.gather(where).to_list()
    short = [text[: cut_at(text, options.max)].rstrip() for text in long]
    counts = {"texts_cut": len(long), "characters_cut": sum(map(len, long)) - sum(map(len, short))}
    return Outcome(rows.with_columns(put(texts, where, pl.Series(short, dtype=pl.String))), counts=counts)
