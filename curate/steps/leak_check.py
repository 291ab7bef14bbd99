"""leak_check: training rows that also stand in validation or test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.ahead import side_by_side
from curate.lazy import pl
from curate.steps import Context, verdicts
from curate.steps.near_dedup import compared, number_or
from curate.tasks import Task
from curate.text.hashing import combine
from curate.text.keys import group_hash, key_column

if TYPE_CHECKING:
    from curate.known import Known


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: list[str] = Field(default=[], description="the fields that give a row away; default: the task's")
    by: Literal["text", "key"] = "key"
    near: Annotated[float | Literal["off"], number_or("off", 0.5, 1)] = Field(
        default="off",
        description="texts of up to 200 characters: least similarity to one of train, 0.5 to 1, or off",
    )
    coverage: Annotated[float | Literal["off"], number_or("off", 0.1, 1)] = Field(
        default="off",
        description="longer texts: least share of their 13-grams that stand in one of train, 0.1 to 1, or off",
    )


def columns(options: Options, task: Task) -> set[str]:
    fixed = {key_column(field, "key") for field in fixed_fields(options.key, task)} if texts(options, task) else set()
    return {key_column(field, options.by) for field in options.key or task.leak_key} | fixed


def texts(options: Options, task: Task) -> frozenset[str]:
    """The fields whose comparison keys it reads as texts."""
    if options.near == options.coverage == "off":
        return frozenset()
    return frozenset(text_fields(options.key, task))


def text_fields(key: list[str], task: Task) -> list[str]:
    """The fields of a key that are compared as texts: the task's own leak key where they are among them."""
    fields = key or list(task.leak_key)
    return [field for field in fields if field in task.leak_key] or fields


def fixed_fields(key: list[str], task: Task) -> list[str]:
    """The fields of a key that must be the same: of one passage another question, of one text another target."""
    return [field for field in key if field not in text_fields(key, task)]


def thresholds(options: Any) -> tuple[float | None, float | None]:
    """`near` and `coverage`, None for off."""
    near, coverage = (None if value == "off" else float(value) for value in (options.near, options.coverage))
    return near, coverage


# ---- what meets what


def collect(
    keys: pl.DataFrame,
    alive: pl.DataFrame,
    options: Options,
    context: Context,
    records: Callable[[pl.Series], Iterator[pl.DataFrame]],
) -> pl.DataFrame:
    """Every text that meets a text of validation or test, other than by being the same.

    `group` and `known` are the two rows' group hashes, `covers` tells coverage from nearness, `score` is the coverage
    or the similarity, `leak` whether that is enough. The texts of all rows are looked at, also of those that are gone
    by now: the card tells what there was before. `alive` knows the splits that rows were moved to. Which of its rows
    holds a text plays no part.
    """
    from curate.known import Known, blocks

    task = context.task
    rows = keys.select("rid", "split", group=meeting_group(options, task), apart=apart(options.key, task))
    moved = alive.filter(pl.col("split") != "train").select("rid")
    evaluation = rows.filter((pl.col("split") != "train") | pl.col("rid").is_in(moved["rid"].implode()))
    if not len(evaluation) or rows["split"].n_unique() + bool(len(moved)) < 2:
        return pl.DataFrame(schema=_meeting_columns())
    firsts = rows.filter(pl.col("group").is_first_distinct()).select("rid", "group", "apart")
    near, coverage = thresholds(options)
    read = partial(_with_texts, records, options, task)
    known = pl.concat(read(firsts.join(evaluation, on="group", how="semi", maintain_order="left"))).sort("group")
    found = [pl.DataFrame(schema=_meeting_columns())]
    for begin, end in blocks(known["text"]):
        block = known[begin:end]
        index = Known(block["text"], block["apart"].to_numpy(), near, coverage)
        found += side_by_side(partial(_meetings, index, block["group"]), read(firsts), context.workers)
    return pl.concat(found)


def meeting_group(options: Options, task: Task) -> pl.Expr:
    """One u64 for what gives a row away."""
    return group_hash(tuple(options.key or task.leak_key), options.by, task.symmetric)


def apart(key: list[str], task: Task) -> pl.Expr:
    """One u64 for the fields of a key that must be the same."""
    fixed = [pl.col(key_column(field, "key")).fill_null(0) for field in fixed_fields(key, task)]
    return combine(pl.lit(1, pl.UInt64), *fixed) if fixed else pl.lit(0, pl.UInt64)


def _with_texts(
    records: Callable[[pl.Series], Iterator[pl.DataFrame]], options: Options, task: Task, rows: pl.DataFrame
) -> Iterator[pl.DataFrame]:
    """The rows with their `text`, slice by slice."""
    begun = 0
    for frame in records(rows["rid"]):
        text = compared(frame, task, "count", text_fields(options.key, task))
        yield rows[begun : begun + len(frame)].with_columns(text.alias("text"))
        begun += len(frame)


def _meeting_columns() -> dict[str, Any]:
    return {"group": pl.UInt64, "known": pl.UInt64, "covers": pl.Boolean, "score": pl.Float64, "leak": pl.Boolean}


def _meetings(index: Known, known: pl.Series, rows: pl.DataFrame) -> pl.DataFrame:
    found = index.find(rows["text"], rows["apart"].to_numpy())
    met = {"group": rows["group"].gather(found.text), "known": known.gather(found.known)}
    told = {"covers": found.covers, "score": found.score, "leak": found.leak}
    return pl.DataFrame({**met, **told}, schema=_meeting_columns()).filter(pl.col("group") != pl.col("known"))


# ---- what is said


def judge(
    keys: pl.DataFrame, options: Options, context: Context, meetings: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Reject train rows known from test or validation, naming the row there; flag evaluation rows known elsewhere.

    `in_test`, `in_validation`: the same key. `near_test`, `near_validation`: nearly the same text; `covers_test`,
    `covers_validation`: a text that holds much of a long one (`meetings`); the score is the similarity or the
    coverage, and of several rows the likest is named. An evaluation row of which the same was in train is flagged
    `in_train`, else `near_train` or `covered_by_train`; a validation row is flagged for test as a training row is
    rejected.
    """
    keyed = keys.select("rid", "split", group=meeting_group(options, context.task))
    first = {
        split: keyed.filter(pl.col("split") == split).group_by("group").agg(pl.col("rid").min().alias("kept"))
        for split in ("train", "validation", "test")
    }
    train, validation, test = (keyed.filter(pl.col("split") == split) for split in ("train", "validation", "test"))
    in_test = train.join(first["test"], on="group")
    in_validation = train.join(first["test"], on="group", how="anti").join(first["validation"], on="group")
    said = [
        verdicts(in_test, reason="in_test", kept=pl.col("kept")),
        verdicts(in_validation, reason="in_validation", kept=pl.col("kept")),
        verdicts(validation.join(first["test"], on="group"), "flag", "in_test", pl.col("kept")),
    ]
    for split in (validation, test):
        said.append(verdicts(split.join(first["train"], on="group", how="semi"), "flag", "in_train"))
    if meetings is None or not len(meetings):
        return pl.concat(said)
    met = meetings.filter("leak")
    known = pl.concat([in_test.select("rid"), in_validation.select("rid")])
    left = train.join(known, on="rid", how="anti")
    near_test = _nearest(left, met, first["test"])
    left = left.join(near_test, on="rid", how="anti")
    others = validation.join(first["test"], on="group", how="anti")
    said += [
        _near_verdicts(near_test, "reject", "test"),
        _near_verdicts(_nearest(left, met, first["validation"]), "reject", "validation"),
        _near_verdicts(_nearest(others, met, first["test"]), "flag", "test"),
    ]
    for split in (validation, test):
        others = split.join(first["train"], on="group", how="anti")
        flagged = _nearest(others, met.rename({"group": "known", "known": "group"}), first["train"])
        reason = pl.when("covers").then(pl.lit("covered_by_train")).otherwise(pl.lit("near_train"))
        said.append(verdicts(flagged, "flag", reason))
    return pl.concat(said)


def _nearest(rows: pl.DataFrame, met: pl.DataFrame, there: pl.DataFrame) -> pl.DataFrame:
    """`rid` of the rows that meet a text of another split, `kept` the likest row there, nearness first."""
    found = rows.join(met, on="group").join(there.rename({"group": "known"}), on="known")
    return found.sort("rid", "covers", -pl.col("score"), "kept").unique("rid", keep="first", maintain_order=True)


def _near_verdicts(rows: pl.DataFrame, action: str, split: str) -> pl.DataFrame:
    reason = pl.when("covers").then(pl.lit(f"covers_{split}")).otherwise(pl.lit(f"near_{split}"))
    return verdicts(rows, action, reason, pl.col("kept")).with_columns(score=rows["score"])
