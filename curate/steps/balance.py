"""balance: frequent labels of the training rows, thinned to a multiple of the rarest one."""

from __future__ import annotations

from fractions import Fraction

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, verdicts
from curate.tasks import Task
from curate.text.hashing import lot


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ratio: float = Field(
        default=1.0,
        ge=1,
        allow_inf_nan=False,
        description="rows of a label, at most so many times those of the rarest",
    )


def columns(options: Options, task: Task) -> set[str]:
    return set()


def judge(keys: pl.DataFrame, options: Options, context: Context) -> pl.DataFrame:
    """Reject train rows of frequent labels. Which ones stay is decided by the hash of their id, not by their place.

    A label of which no train row is left doesn't count as the rarest: there is nothing to balance with.
    """
    train = keys.filter((pl.col("split") == "train") & pl.col("label").is_not_null())
    if not len(train):
        return verdicts(train)
    rarest = min(train["label"].value_counts()["count"].to_list())
    most = int(Fraction(str(options.ratio)) * rarest)  # as written: 1.15 × 100 is 115, not 114.99…
    drawn = train.select("rid", "label", lot=lot(pl.col("order"), "balance", context.seed))
    rank = pl.struct("lot", "rid").rank("ordinal").over("label")
    return verdicts(drawn.with_columns(rank=rank).filter(pl.col("rank") > most), reason="over_ratio")
