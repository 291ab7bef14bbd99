"""The judgement: steps that look at the keys of all rows at once, and what becomes of each row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from curate.card.measure import duplicate_table, leak_matrix, near_leaks
from curate.clusters import CARD, Clusters, find_clusters
from curate.lazy import pl
from curate.recipefile import Recipe
from curate.rejects import resolve_kept
from curate.sidecar import row_keys
from curate.slicework import count_verdicts, flag_texts, soften
from curate.steps import Context
from curate.steps.exact_dedup import Options as DedupOptions
from curate.steps.exact_dedup import judge as dedup
from curate.tally import Tally
from curate.text.hashing import repeated
from curate.text.keys import group_hash, key_column
from curate.types import SPLITS


@dataclass
class State:
    """What the judgements decided. `rows` has rid, split (after moves), alive and the sidecar's keys, in the order
    of the key table; `rejects` has rid, step, reason, kept, score; `flags` rid and flag, in the order of the steps;
    `clusters` is None where no step looked for near-duplicates."""

    rows: pl.DataFrame
    rejects: pl.DataFrame
    flags: list[pl.DataFrame]
    moved: dict[str, int]
    leaks: dict[str, Any]
    duplicates: dict[str, Any]
    clusters: Clusters | None


#: Gives the records of rows by their rids, slice by slice.
Records = Callable[[pl.Series], Iterator[pl.DataFrame]]


def judge(recipe: Recipe, context: Context, keys: pl.DataFrame, tally: Tally, records: Records) -> State:
    """Carry out the recipe's judgements in order, and say what the card tells of the rows before and after them."""
    keys = keys.with_columns(_shared(recipe, keys, context).alias("shared"))
    with ThreadPoolExecutor(1) as beside:
        # What the rows were like when they came depends on no judgement: it is worked out at the same time.
        duplicates = beside.submit(_duplicates, recipe, keys, context)
        before = beside.submit(_leaks, recipe, keys, context)
        alive, rejects, flags, moved, clusters, meetings = _carry_out(recipe, context, keys, tally, records)
        leaks = {"before": before.result(), "after": _leaks(recipe, alive, context)}
    if meetings is not None:
        options = recipe.step("leak_check").options  # type: ignore[union-attr]  # it found them
        near_leaks(leaks["before"], keys, meetings, options, context)
        near_leaks(leaks["after"], alive, meetings, options, context)
        leaks = {"near": options.near, "coverage": options.coverage, **leaks}
    rows = keys.select("rid", "split", alive=~pl.col("rid").is_in(rejects["rid"].implode()))
    if any(moved.values()):
        there = rows.join(alive.select("rid", to="split"), on="rid", how="left", maintain_order="left")
        rows = there.select("rid", split=pl.coalesce("to", "split"), alive="alive")
    rows = rows.hstack(row_keys(keys, context.task))
    leaks = {"key": list(_leak_fields(recipe, context)), **leaks}
    return State(rows, rejects, flags, moved, leaks, duplicates.result(), clusters)


def _duplicates(recipe: Recipe, keys: pl.DataFrame, context: Context) -> dict[str, Any]:
    use = recipe.step("exact_dedup")
    repeats = dedup(keys.filter("shared"), use.options if use else DedupOptions(), context)
    return duplicate_table(keys, repeats.join(keys.select("rid", "split"), on="rid"))


def _leaks(recipe: Recipe, keys: pl.DataFrame, context: Context) -> dict[str, Any]:
    return leak_matrix(keys, _leak_fields(recipe, context), context)


def _leak_fields(recipe: Recipe, context: Context) -> tuple[str, ...]:
    use = recipe.step("leak_check")
    return tuple((use.options.key if use else []) or context.task.leak_key)


def _carry_out(
    recipe: Recipe, context: Context, keys: pl.DataFrame, tally: Tally, records: Records
) -> tuple[pl.DataFrame, pl.DataFrame, list[pl.DataFrame], dict[str, int], Clusters | None, pl.DataFrame | None]:
    """The keys of the rows that are left, the rejects, the flags, how many rows each split lost or won by moves, the
    clusters, and which texts meet one of an evaluation split (None where nobody looked).

    Each judgement sees only the rows that earlier ones kept.
    """
    alive = keys
    rejects, flags = [], []
    meetings = None
    near: dict[str, pl.DataFrame] = {}
    moved = dict.fromkeys(SPLITS, 0)
    for use in recipe.steps:
        if use.step.kind != "judgement":
            continue
        for split, n in alive["split"].value_counts().iter_rows():
            tally.line(use.name, split).rows_in += n
        step = use.step.module
        reads = use.step.reads and bool(step.texts(use.options, context.task))
        more: list[Any] = [records] if use.step.reads else []
        if use.step.collects:
            meetings = step.collect(keys, alive, use.options, context, records) if reads else None
            more = [meetings]
        judged = alive.filter("shared") if use.step.groups and not reads else alive
        said = step.judge(judged, use.options, context, *more)
        said = said.join(judged.select("rid", "split"), on="rid")
        train = said.filter(pl.col("split") == "train")
        said = pl.concat([train, soften(said.filter(pl.col("split") != "train"), use.step.binding, "test")])
        for (split,), part in said.group_by("split"):
            count_verdicts(tally, use.name, str(split), part)
        flags.append(flag_texts(use.name, said))
        if use.name in CARD and use.options.threshold != "off":
            near[use.name] = said
        rejected = said.filter(pl.col("action") == "reject")
        rejects.append(rejected.select("rid", pl.lit(use.name).alias("step"), "reason", "kept", "score"))
        alive = _move(alive, said, use.name, tally, moved)
        alive = alive.join(rejected, on="rid", how="anti", maintain_order="left")
    all_rejects = pl.concat(rejects) if rejects else _no_rejects()
    resolved = resolve_kept(all_rejects)
    all_rejects = all_rejects.drop("kept").join(resolved, on="rid", how="left").select(_no_rejects().columns)
    told = {use.name: use.step.module.figures(use.options, context.task) for use in recipe.steps if use.name in near}
    clusters = find_clusters(near, all_rejects, told) if near else None
    return alive, all_rejects, flags, moved, clusters, meetings


def _shared(recipe: Recipe, keys: pl.DataFrame, context: Context) -> pl.Series:
    """True for rows that share the loosest of the recipe's keys with another row, in whatever split.

    All others are groups of one by every rule: no step about groups has anything to say of them, and on most corpora
    they are nearly all rows. Where the keys can't be put in such an order, every row counts as sharing one.
    """
    task = context.task
    uses = [use for use in recipe.steps if use.step.groups]
    default = {"leak_check": task.leak_key}
    named = {tuple(use.options.key or default.get(use.name, task.key)) for use in uses} | {task.key, task.leak_key}
    common = tuple(field for field in task.key if all(field in fields for fields in named))
    comparable = len(named) == 1 or not task.symmetric
    if not common or not comparable or any(key_column(field, "key") not in keys.columns for field in common):
        return pl.Series([True]).new_from_index(0, len(keys))
    return repeated(keys.select(group_hash(common, "key", task.symmetric)).to_series())


def _no_rejects() -> pl.DataFrame:
    schema = {"rid": pl.UInt64, "step": pl.String, "reason": pl.String, "kept": pl.UInt64, "score": pl.Float64}
    return pl.DataFrame(schema=schema)


def _move(alive: pl.DataFrame, said: pl.DataFrame, step: str, tally: Tally, moved: dict[str, int]) -> pl.DataFrame:
    """Carry out `move` verdicts: the row's reason is the split it goes to."""
    moves = said.filter(pl.col("action") == "move").select("rid", to=pl.col("reason").cast(pl.Enum(list(SPLITS))))
    if not len(moves):
        return alive
    joined = alive.join(moves, on="rid", how="left", maintain_order="left")
    for origin, to, n in joined.filter(pl.col("to").is_not_null()).group_by("split", "to").len().iter_rows():
        for split, change in ((origin, -n), (to, n)):
            tally.line(step, split).moved += change
            moved[split] += change
    return joined.with_columns(split=pl.coalesce("to", "split")).drop("to")
