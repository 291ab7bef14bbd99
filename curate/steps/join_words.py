"""join_words: text published as words set apart by spaces, as it stood before it was segmented."""

from __future__ import annotations

from operator import ne

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome
from curate.steps.normalise import map_texts
from curate.text.pieces import join_words


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    fields: list[str] = Field(default=[], description="fields whose words are joined; default: all texts of the task")


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Take out the spaces between words, but for those between Latin words or numbers; `words_joined` counts texts."""
    counts = {"words_joined": 0}

    def join(texts: pl.Series) -> pl.Series:
        before = texts.to_list()
        after = list(map(join_words, before))
        counts["words_joined"] += sum(map(ne, after, before))
        return pl.Series(texts.name, after, dtype=pl.String)

    columns = [map_texts(rows[name], join) for name in options.fields or context.task.text]
    return Outcome(rows.with_columns(columns), counts=counts)
