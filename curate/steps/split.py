"""split: a validation (and test) split for corpora that come without one."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, verdicts
from curate.tasks import Task
from curate.text.hashing import lot
from curate.text.keys import group_hash, key_column


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    validation: float = Field(default=0.1, ge=0, lt=1, description="share of the groups that goes to validation")
    test: float = Field(default=0.0, ge=0, lt=1, description="share of the groups that goes to test")
    key: list[str] = Field(default=[], description="rows that share this key stay together; default: the task's")
    by: Literal["text", "key"] = "key"
    connected: bool = Field(
        default=False,
        description="pairs that have one sentence in common stay together too, and so on from pair to pair",
    )
    stratify: Literal["label"] | None = Field(
        default=None, description="every label gives the asked shares of its groups, to within one group"
    )


def columns(options: Options, task: Task) -> set[str]:
    return {key_column(field, options.by) for field in options.key or task.leak_key}


def judge(keys: pl.DataFrame, options: Options, context: Context) -> pl.DataFrame:
    """Move train rows to splits that the source lacks; a split that has rows already is left as published.

    A group's place follows from the hash of its key alone, so adding rows moves no other row. With `stratify` it
    follows from its place among the groups of its label in the order of their hashes: a group that is added may move
    one group of its label at each border, and no other. A group of several labels counts as of its first row's.
    With `connected` a row that is added may join groups, which then go together.
    """
    present = set(keys["split"].unique().to_list())
    test = 0.0 if "test" in present else options.test
    validation = 0.0 if "validation" in present else options.validation
    train = keys.filter(pl.col("split") == "train")
    fields = tuple(options.key or context.task.leak_key)
    if options.connected:
        sides = [train[key_column(field, options.by)] for field in fields]
        train = train.with_columns(group=connected(*sides))
    else:
        train = train.with_columns(group=group_hash(fields, options.by, context.task.symmetric))
    drawn = train.with_columns(lot=lot(pl.col("group"), "split", context.seed))
    placed = (
        _placed_evenly(drawn)
        if options.stratify
        else drawn.with_columns(place=pl.col("lot").cast(pl.Float64) / 2.0**64)
    )
    to_test = placed.filter(pl.col("place") < test)
    to_validation = placed.filter((pl.col("place") >= test) & (pl.col("place") < test + validation))
    return pl.concat([verdicts(to_test, "move", "test"), verdicts(to_validation, "move", "validation")])


def _placed_evenly(drawn: pl.DataFrame) -> pl.DataFrame:
    """With a `place` in 0..1: the groups of each label at equal distances, in the order of their lots."""
    groups = drawn.group_by("group").agg(
        pl.col("label").sort_by("rid").first().alias("stratum"), pl.col("lot").first()
    )
    # Half a step in: of n groups, n × share rounded to the nearest lie below the share.
    place = (pl.struct("lot", "group").rank("ordinal").over("stratum") - 0.5) / pl.len().over("stratum")
    return drawn.join(groups.select("group", place=place), on="group", how="left", maintain_order="left")


def connected(a: pl.Series, b: pl.Series) -> pl.Series:
    """For each pair the smallest hash among all sentences that can be reached from it, over pairs that share one.

    Disjoint sets with path halving; the smaller root wins, so the order of the pairs decides nothing.
    """
    root: dict[int, int] = {}

    def find(x: int) -> int:
        while (above := root.setdefault(x, x)) != x:
            root[x] = x = root[above]
        return x

    for one, other in zip(a.to_list(), b.to_list(), strict=True):
        first, second = find(one), find(other)
        if first != second:
            root[max(first, second)] = min(first, second)
    return pl.Series("group", [find(one) for one in a.to_list()], dtype=pl.UInt64)
