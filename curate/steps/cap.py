"""cap: at most so many training rows of one label, of one template, or of one answer."""

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

    per: Literal["label", "template", "answer"] = Field(
        description="count rows of one label, of one template, or of one answer (generic replies)"
    )
    max: int = Field(ge=1, description="rows that are kept of each")


def columns(options: Options, task: Task) -> set[str]:
    return {ANSWER} if options.per == "answer" else set()


def judge(keys: pl.DataFrame, options: Options, context: Context) -> pl.DataFrame:
    """Reject train rows beyond the cap. Which ones stay is decided by the hash of their id, not by their place.

    The template of a row is the one it will be written with: `order` modulo the number of templates train may use.
    """
    train = keys.filter(pl.col("split") == "train").select("rid", "order", of=_counted(options, context))
    # Only rows of which there are too many need to be put in order: mostly few.
    ordered = train["of"].drop_nulls().sort()
    over = ordered[options.max :].filter(ordered[options.max :] == ordered.head(-options.max)).unique()
    ranked = train.filter(pl.col("of").is_in(over.implode())).sort("of", "order", "rid")
    beyond = ranked.filter(pl.col("of") == pl.col("of").shift(options.max)).sort("rid")
    return verdicts(beyond, reason="over_cap")


def _counted(options: Options, context: Context) -> pl.Expr:
    """What rows have in common that are counted together; null for rows that aren't counted."""
    if options.per == "template":
        if context.templates is None:
            raise ValueError("cap per template needs the recipe's templates")
        return pl.col("order") % len(context.templates.eligible(evaluation=False))
    return pl.col("label" if options.per == "label" else ANSWER)
