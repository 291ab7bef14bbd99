"""quality: texts that little can be learnt from; each rule has its reason, and `null` turns it off."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome, verdicts
from curate.tasks import Task
from curate.text.distinct import map_distinct
from curate.text.quality import (
    boilerplate_phrases,
    boilerplate_share,
    garbled_share,
    han_share,
    repeated_characters,
    repeated_phrases,
)


class Options(BaseModel):
    """What the defaults reject of real corpora: reviews 0.7 % (texts pasted again and again, the page's own lines),
    articles 0.6 % (pages in English, error messages), microblogs 0.2 %, bank questions 0.1 %, all others less."""

    model_config = ConfigDict(extra="forbid")

    fields: list[str] = Field(default=[], description="fields to look at; default: all texts of the task")
    min_chars: int | None = Field(default=2, ge=1, description="too_short: fewer characters than this")
    max_chars: int | None = Field(default=100_000, ge=1, description="too_long: more characters than this")
    max_run: float | None = Field(
        default=0.5, ge=0, le=1, description="repeated_characters: share of the text in runs of 5 or more of one"
    )
    max_repeat: float | None = Field(
        default=0.5, ge=0, le=1, description="repeated_phrases: share of 5-character strings that stood before"
    )
    min_han: float | None = Field(
        default=0.1, ge=0, le=1, description="little_han: share of Han characters, white space not counted"
    )
    max_garbled: float | None = Field(
        default=0.05, ge=0, le=1, description="garbled: signs of a wrong decoding, a character"
    )
    max_boilerplate: float | None = Field(
        default=0.5, ge=0, le=1, description="boilerplate: share of the text in sentences that hold some"
    )


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Reject rows with a text that breaks a rule; the first rule broken gives the reason.

    Each field is looked at by itself, the utterances of a dialogue together. An empty text breaks none: `require` and
    the check of form judge those.
    """
    task = context.task
    reason = pl.lit(None, dtype=pl.String)
    for name in options.fields or task.text:
        broken = _broken(rows.select(text=text_of(name, task.fields[name])), options)
        reason = pl.coalesce(reason, pl.lit(broken))
    judged = rows.select("rid", reason=reason).filter(pl.col("reason").is_not_null())
    return Outcome(rows, verdicts(judged, reason=pl.col("reason")))


def text_of(name: str, kind: str) -> pl.Expr:
    """A field as one text: utterances joined by line ends."""
    return pl.col(name).list.join("\n", ignore_nulls=True) if kind == "list[str]" else pl.col(name)


def whole_text(task: Task) -> pl.Expr:
    """All running texts of a record as one."""
    return pl.concat_str([text_of(name, task.fields[name]) for name in task.text], separator="\n", ignore_nulls=True)


def _broken(texts: pl.DataFrame, options: Options) -> pl.Series:
    """The reason for each of the texts (a column `text`), null where no rule is broken."""
    text, rules = pl.col("text"), []
    length = text.str.len_chars()
    if options.min_chars is not None:
        rules.append(("too_short", length < options.min_chars))
    if options.max_chars is not None:
        rules.append(("too_long", length > options.max_chars))
    if (most := options.max_run) is not None:
        rules.append(("repeated_characters", _above(texts["text"], lambda one: repeated_characters(one, most), most)))
    if (share := options.max_repeat) is not None:
        rules.append(("repeated_phrases", _above(texts["text"], lambda one: repeated_phrases(one, share), share)))
    if options.min_han is not None:
        rules.append(("little_han", han_share(text) < options.min_han))
    if options.max_garbled is not None:
        rules.append(("garbled", garbled_share(text) > options.max_garbled))
    if options.max_boilerplate is not None:
        some = texts["text"].str.contains_any(boilerplate_phrases())
        held = texts["text"].set(~some, None)
        rules.append(("boilerplate", _above(held, boilerplate_share, options.max_boilerplate)))
    reason = pl.when(text.is_null() | (text == "")).then(None)
    for name, broken in rules:
        reason = reason.when(broken).then(pl.lit(name))
    return texts.select(reason.otherwise(None).cast(pl.String)).to_series()


def _above(texts: pl.Series, measure: Callable[[str], float], most: float) -> pl.Expr:
    """True where what is measured of a text is more than `most`; nulls are not measured."""

    def look(values: pl.Series) -> pl.Series:
        return pl.Series([bool(one) and measure(one) > most for one in values.to_list()], dtype=pl.Boolean)

    return pl.lit(map_distinct(texts, look))
