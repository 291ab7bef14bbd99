"""sample: a part of the training rows, drawn by hash."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from curate.lazy import pl
from curate.shares import allocate
from curate.steps import Context, verdicts
from curate.tasks import Task
from curate.text.hashing import lot


class Options(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"oneOf": [{"required": ["share"]}, {"required": ["rows"]}]}
    )

    share: float | None = Field(
        default=None, gt=0, le=1, description="each row stays with this probability: another row changes nothing"
    )
    rows: int | None = Field(default=None, ge=1, description="exactly so many rows stay, or all where there are fewer")
    per: Literal["label"] | None = Field(
        default=None, description="with rows: every label keeps its share of the rows, to within one"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Options:
        if (self.share is None) == (self.rows is None):
            raise ValueError("give either 'share', like 0.1, or 'rows', like 1000")
        if self.per and self.rows is None:
            raise ValueError("'per: label' goes with 'rows'; a share is drawn from every label alike")
        return self


def columns(options: Options, task: Task) -> set[str]:
    return set()


def judge(keys: pl.DataFrame, options: Options, context: Context) -> pl.DataFrame:
    """Reject the train rows that aren't drawn.

    With `share` a row's own hash decides, so the number of rows that stay is near the share and not just it. With
    `rows` those with the smallest hashes stay: each row added puts out at most one other.
    """
    label = ["label"] if options.per else []
    train = keys.filter(pl.col("split") == "train").select(
        "rid", *label, lot=lot(pl.col("order"), "sample", context.seed)
    )
    if options.share is not None:
        return verdicts(train.filter(pl.col("lot").cast(pl.Float64) / 2.0**64 >= options.share), reason="not_sampled")
    assert options.rows is not None
    rank = pl.struct("lot", "rid").rank("ordinal")
    if not options.per or not len(train):
        return verdicts(train.filter(rank > options.rows), reason="not_sampled")
    sizes = train["label"].value_counts().sort("label")
    quotas = dict(zip(sizes["label"], shares(sizes["count"].to_list(), options.rows), strict=True))
    most = pl.col("label").cast(pl.String).replace_strict(quotas, return_dtype=pl.UInt32)
    return verdicts(train.filter(rank.over("label") > most), reason="not_sampled")


def shares(sizes: list[int], rows: int) -> list[int]:
    """`rows` dealt out in proportion to `sizes`, by largest remainder (of equal ones the first); at most the sizes."""
    total = sum(sizes)
    if rows >= total:
        return sizes
    return list(allocate(rows, {i: Fraction(size, total) for i, size in enumerate(sizes)}).values())
