"""What stands in more than one corpus: judged by the keys of the rows, within one task family.

Only rows of different parts are held against each other: what stands twice within one corpus is its recipe's business.
As in a recipe, rows of train are rejected and rows of validation and test are flagged. A row stands for others by its
split, then by the name of its part, then by its place there; in which order a file lists the parts plays no role.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from curate.lazy import pl
from curate.mixture.parts import Part
from curate.rejects import resolve_kept
from curate.slicework import count_verdicts, flag_texts, soften
from curate.steps import Context, exact_dedup, label_conflict, verdicts
from curate.tally import Tally
from curate.tasks import TASKS
from curate.text.keys import key_column, within_split
from curate.types import RID_BITS, SPLITS, UserError

#: The steps of a mixture in their order, with the reasons they may give.
STEPS: dict[str, tuple[str, ...]] = {
    "same_id": ("same_id",),
    "label_conflict": ("conflicting_labels",),
    "exact_dedup": ("in_other_corpus",),
    "leak_check": ("in_test", "in_validation"),
    "choose": ("not_chosen",),
}
#: The key of a sidecar as the judgements of recipes name theirs.
_KEY = "own"


@dataclass
class Judged:
    """`rejects`: rid, step, reason, kept; `flags`: rid, flag, in the order of the steps; `rows` are those left."""

    rows: pl.DataFrame
    rejects: pl.DataFrame
    flags: list[pl.DataFrame] = field(default_factory=list)


def judge_across(parts: list[Part], keys: pl.DataFrame, tally: Tally) -> Judged:
    """Carry out the judgements in order; each sees only the rows that earlier ones kept."""
    alive, rejects, flags = keys, [], []
    for step, judge in (
        ("same_id", _same_id),
        ("label_conflict", _label_conflict),
        ("exact_dedup", _exact_dedup),
        ("leak_check", _leak_check),
    ):
        count_in(tally, step, alive)
        said = pl.concat([verdicts(alive.head(0)), *judge(parts, alive)]).join(alive.select("rid", "split"), on="rid")
        train = said.filter(pl.col("split") == "train")
        others = soften(said.filter(pl.col("split") != "train"), step == "same_id", "test")
        said = pl.concat([train, others])
        for (split,), part in said.group_by("split"):
            count_verdicts(tally, step, str(split), part)
        flags.append(flag_texts(step, said))
        rejected = said.filter(pl.col("action") == "reject")
        rejects.append(rejected.select("rid", pl.lit(step).alias("step"), "reason", "kept"))
        alive = alive.join(rejected, on="rid", how="anti", maintain_order="left")
    return Judged(alive, pl.concat(rejects), flags)


def count_in(tally: Tally, step: str, rows: pl.DataFrame) -> None:
    """Note the rows that come to a step."""
    for split, n in rows["split"].value_counts().iter_rows():
        tally.line(step, split).rows_in += n


def resolve(rejects: pl.DataFrame) -> pl.DataFrame:
    """The rejects, `kept` null where no row survives of those that it leads to."""
    kept = resolve_kept(rejects.filter(pl.col("step") != "same_id"))
    others = rejects.join(kept.select("rid", end="kept"), on="rid", how="left", maintain_order="left")
    # A row that stands in two runs is told by the row of the same id, whatever became of that one.
    same = pl.col("step") == "same_id"
    return others.with_columns(kept=pl.when(same).then("kept").otherwise("end")).drop("end")


def several(rows: pl.DataFrame, by: str) -> pl.DataFrame:
    """The rows whose `by` more than one part has."""
    shared = rows.filter(pl.col(by).is_not_null() & pl.col(by).is_duplicated())
    return shared.filter(pl.col("part").min().over(by) != pl.col("part").max().over(by))


def _families(parts: list[Part], rows: pl.DataFrame) -> Iterator[tuple[list[Part], pl.DataFrame]]:
    """The rows of each task that more than one part has."""
    for task in sorted({part.task for part in parts}):
        family = [part for part in parts if part.task == task]
        if len(family) > 1:
            yield family, rows.filter(pl.col("part").is_in([part.number for part in family]))


def _same_id(parts: list[Part], rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The same row in two runs is counted once. Raises UserError where its text, its label or its task differ."""
    shared = several(rows, "id")
    if not len(shared):
        return
    names = {part.number: part.task for part in parts}
    shared = shared.with_columns(task=pl.col("part").replace_strict(names, return_dtype=pl.String))
    first = shared.sort(pl.col("split").to_physical(), -pl.col("rid").cast(pl.Int64), descending=True)
    first = first.unique("id", keep="first", maintain_order=True)
    others = shared.join(first, on="id", suffix="_first").filter(pl.col("rid") != pl.col("rid_first"))
    compared = ("key", "leak", "label", "task")
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_first")) for name in compared)
    if len(differing := others.filter(~same).sort("rid")):
        rid, kept = differing.select("rid", "rid_first").row(0)
        here, there = (parts[number >> RID_BITS] for number in (rid, kept))
        name = here.ids(pl.Series([rid % (1 << RID_BITS)]))[0]
        raise UserError(
            f"parts {there.name} and {here.name}: both have {name}, with another text or label ({len(differing)} such "
            "rows); a row's id must mean one text: mix one of the two runs, or give one recipe another name"
        )
    yield verdicts(others, reason="same_id", kept=pl.col("rid_first"))


def _label_conflict(parts: list[Part], rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Only where two runs have the same labels can one contradict the other."""
    for family, there in _families(parts, rows):
        by_labels: dict[str, list[Part]] = {}
        for part in family:
            by_labels.setdefault(repr(sorted(part.manifest["labels"].items())), []).append(part)
        for alike in by_labels.values():
            labels = alike[0].manifest["labels"]
            if labels and len(alike) > 1:
                mine = there.filter(pl.col("part").is_in([part.number for part in alike]))
                shared = _as_keys(mine).with_columns(pl.col("label").cast(pl.Enum(list(labels))))
                yield label_conflict.judge(shared, label_conflict.Options(key=[_KEY]), _context(family, labels))


def _exact_dedup(parts: list[Part], rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The first corpus that has a text keeps its rows; those of others go."""
    for family, there in _families(parts, rows):
        said = exact_dedup.judge(_as_keys(there), exact_dedup.Options(key=[_KEY]), _context(family, {}))
        other = said.filter(pl.col("rid") // (1 << RID_BITS) != pl.col("kept") // (1 << RID_BITS))
        yield other.with_columns(reason=pl.lit("in_other_corpus"))


def _as_keys(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of a split that more than one part has there, with their key under the names that judgements use."""
    grouped = rows.with_columns(group=within_split(pl.col("key")))
    return several(grouped, "group").with_columns(
        pl.col("key").alias(key_column(_KEY, "key")), pl.col("key").alias(key_column(_KEY, "text"))
    )


def _context(family: list[Part], labels: dict[str, str]) -> Context:
    """A pair's two sides are in its key already, in no order."""
    return Context(replace(TASKS[family[0].task], symmetric=False), labels, 0)


def _leak_check(parts: list[Part], rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """As the step of that name, but a row is known only from another corpus."""
    for _, there in _families(parts, rows):
        shared = several(there, "leak")
        train, validation, test = (shared.filter(pl.col("split") == split) for split in SPLITS)
        in_test = _elsewhere(train, test)
        in_validation = _elsewhere(train.join(in_test, on="rid", how="anti"), validation)
        yield verdicts(in_test, reason="in_test", kept=pl.col("kept"))
        yield verdicts(in_validation, reason="in_validation", kept=pl.col("kept"))
        yield verdicts(_elsewhere(validation, test), "flag", "in_test")
        for split in (validation, test):
            yield verdicts(_elsewhere(split, train), "flag", "in_train")


def _elsewhere(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """`rid` of the rows that another part has among `others`, and the first of those as `kept`."""
    firsts = others.group_by("leak", "part").agg(kept=pl.col("rid").min())
    found = rows.join(firsts, on="leak", suffix="_other").filter(pl.col("part") != pl.col("part_other"))
    return found.group_by("rid").agg(pl.col("kept").min())


def matrix(parts: list[Part], rows: pl.DataFrame) -> dict[str, Any]:
    """For each pair of parts, in both directions, how many rows of the one stand in the other.

    `duplicates`: rows of train that stand in the other's train; `leaks`: rows of validation and test that do.
    """
    found: dict[str, dict[str, dict[str, int]]] = {"duplicates": {}, "leaks": {}}
    for _, there in _families(parts, rows):
        train, others = (there.filter((pl.col("split") == "train") == side) for side in (True, False))
        for kind, mine, key in (("duplicates", train, "key"), ("leaks", others, "leak")):
            known = train.select(key, other="part").unique()
            pairs = mine.select("part", key).join(known, on=key).filter(pl.col("part") != pl.col("other"))
            for one, other, n in pairs.group_by("part", "other").len().sort("part", "other").iter_rows():
                found[kind].setdefault(parts[one].name, {})[parts[other].name] = n
    return found
