"""The rows that a card shows: what was read and what became of it, rejects, conflicts and clusters, capped.

Which rows these are is decided by a hash of their ids under the seed, so that neither slices nor workers show in the
choice. They are gathered in passing, in Python and cut to a few hundred characters: nothing is read a second time, and
no frame is kept alive for the sake of one of its rows.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from curate.card.excerpts import cut_sample, excerpt, excerpts
from curate.lazy import pl
from curate.steps import Context
from curate.text.hashing import lot
from curate.types import SPLITS

if TYPE_CHECKING:
    from curate.judge import State

#: Rows of a split that are shown from reading to sample, and as many again of those whose text was changed.
ROWS = 5
#: Rejects of a reason, groups of contradicting rows, and rows of such a group.
REJECTS, CONFLICTS, RIVALS = 12, 6, 4
#: Clusters of repeated rows in a split, and members of one that are shown beside the row that stays.
CLUSTERS, MEMBERS = 10, 4

Row = dict[str, Any]


def _lots(rids: pl.Expr, context: Context) -> pl.Expr:
    return lot(rids, "card", context.seed)


# ---- in the local pass


def glimpse(
    read: pl.DataFrame,
    cleaned: pl.DataFrame,
    changes: bool,
    split: str,
    context: Context,
    veil: Callable[[pl.DataFrame], pl.DataFrame] | None,
) -> list[Row]:
    """A few rows of a block as they were read and as the leading steps left them; `changes`: some step changed some.

    `read` and `cleaned` have rid and the record's fields; rows that a step rejected are missing in `cleaned`.
    """
    lots = read.select("rid", lot=_lots(pl.col("rid"), context))
    chosen = lots.bottom_k(ROWS, by="lot").with_columns(changed=pl.lit(False))
    if changes:
        altered = lots.join(_altered(read, cleaned, context), on="rid", how="semi").bottom_k(ROWS, by="lot")
        chosen = pl.concat([chosen, altered.with_columns(changed=pl.lit(True))])
    names = [name for name in context.task.fields if name in read.columns]
    wanted = chosen["rid"].unique().implode()
    before, after = (_records(rows.filter(pl.col("rid").is_in(wanted)), names, veil) for rows in (read, cleaned))
    found = []
    for rid, number, changed in chosen.iter_rows():
        pair = excerpts(before[rid], after[rid]) if rid in after else (excerpt(before[rid]), None)
        told = {"rid": rid, "lot": number, "changed": changed, "split": split}
        found.append({**told, "read": pair[0], "cleaned": pair[1]})
    return found


def _altered(read: pl.DataFrame, cleaned: pl.DataFrame, context: Context) -> pl.DataFrame:
    """The rids of rows whose text isn't what it was."""
    if len(read) != len(cleaned):
        read = read.join(cleaned.select("rid"), on="rid", how="semi", maintain_order="left")
    differs = [pl.Series(read[name]).ne_missing(cleaned[name]) for name in context.task.text]
    return read.select("rid").filter(pl.any_horizontal(differs))


def _records(
    rows: pl.DataFrame, names: list[str], veil: Callable[[pl.DataFrame], pl.DataFrame] | None
) -> dict[int, Row]:
    rows = veil(rows) if veil is not None else rows
    return {record.pop("rid"): record for record in rows.select("rid", *names).to_dicts()}


def merge(kept: list[Row], more: Iterable[Row]) -> list[Row]:
    """Of two gatherings of one split, those that a gathering over all of their rows would have found."""
    rows = [*kept, *more]
    return [
        row
        for changed in (False, True)
        for row in heapq.nsmallest(ROWS, (r for r in rows if r["changed"] is changed), key=lambda r: r["lot"])
    ]


# ---- in the writing pass


class Shown:
    """Gathers the texts of the chosen rows as they pass by; `examples` then gives them to the card."""

    def __init__(self, context: Context, glimpses: list[Row], state: State) -> None:
        self._context = context
        self._rows = list({row["rid"]: row for row in glimpses}.values())
        self._ends, kept = _followed(_chosen(state.rejects, context), state.rejects)
        self._conflicts = _conflicts(state, context)
        self._clusters = _clusters(state)
        self._sampled = pl.Series([row["rid"] for row in self._rows], dtype=pl.UInt64)
        groups = [rid for group in self._conflicts for rid in group]
        members = [rid for cluster in self._clusters for rid in (cluster["kept"], *cluster["members"])]
        wanted = {*kept, *self._ends.values(), *groups, *members, *self._sampled}
        self._wanted = pl.Series(sorted(wanted), dtype=pl.UInt64)
        self._texts: dict[int, Row | None] = {}
        self._written: set[int] = set()
        self._samples: dict[int, Row] = {}
        self._rejected: dict[int, tuple[str, str]] = {}
        self._splits: dict[int, str] = {}
        self._rejects: dict[tuple[str, str], list[tuple[int, int, Row]]] = {}

    def records(self, split: str, rows: pl.DataFrame) -> None:
        """Rows that are about to be written."""
        here = rows.filter(pl.col("rid").is_in(self._wanted.implode()))
        for record in here.select("rid", *self._context.task.fields).to_dicts():
            rid = record.pop("rid")
            self._written.add(rid)
            self._splits[rid] = split
            self._texts[rid] = excerpt(record)

    def samples(self, lines: pl.DataFrame) -> None:
        """Samples as they are written (`rid`, `template`, `line`); of a row in parts, the first."""
        here = lines.filter(pl.col("rid").is_in(self._sampled.implode()))
        for rid, template, line in here.select("rid", "template", "line").iter_rows():
            if rid not in self._samples:
                self._samples[rid] = {**cut_sample(json.loads(line)), "template": template}

    def rejects(self, rows: pl.DataFrame) -> None:
        """Rejects as they are written: `rid`, `split`, `step`, `reason`, `kept`, `score`, `fields` (JSON)."""
        lots = rows.select("rid", "split", "step", "reason", "kept", "score", "fields").with_columns(
            lot=_lots(pl.col("rid"), self._context)
        )
        chosen = pl.col("lot").rank("ordinal").over("step", "reason") <= REJECTS
        known = pl.col("rid").is_in(self._wanted.implode())
        wanted = set(self._wanted)
        for row in lots.with_columns(chosen=chosen).filter(chosen | known).to_dicts():
            fields = excerpt(json.loads(row["fields"]))
            if row["rid"] in wanted:
                self._texts[row["rid"]] = fields
                self._rejected[row["rid"]] = (row["step"], row["reason"])
                self._splits[row["rid"]] = row["split"]
            if row["chosen"]:
                kept = self._rejects.setdefault((row["step"], row["reason"]), [])
                kept.append((row["lot"], row["rid"], {**row, "fields": fields}))
                self._rejects[row["step"], row["reason"]] = heapq.nsmallest(REJECTS, kept, key=lambda one: one[:2])

    def examples(self, name: Callable[[int], str]) -> dict[str, Any]:
        """What `examples` of card.json shows beside templates; `name` gives a rid's printed id."""
        return {
            "rejects": [
                {
                    "step": step,
                    "reason": reason,
                    "rows": [self._reject(row, name) for *_, row in sorted(rows, key=_id)],
                }
                for (step, reason), rows in sorted(self._rejects.items())
            ],
            "rows": [self._row(row, name) for row in sorted(self._rows, key=_place)],
            "conflicts": [[self._member(rid, name) for rid in group] for group in self._conflicts],
            "clusters": [
                {
                    "step": cluster["step"],
                    "split": cluster["split"],
                    "rows": cluster["rows"],
                    "kept": self._member(cluster["kept"], name),
                    "members": [self._member(rid, name) for rid in cluster["members"]],
                }
                for cluster in self._clusters
            ],
        }

    def _member(self, rid: int, name: Callable[[int], str]) -> Row:
        step, reason = self._rejected.get(rid, (None, None))
        return {"id": name(rid), "step": step, "reason": reason, "fields": self._texts.get(rid)}

    def _reject(self, row: Row, name: Callable[[int], str]) -> Row:
        kept = row["kept"]
        # A row that was itself rejected while samples were written stands for nobody, as in rejected.jsonl.
        if kept is not None and self._ends.get(row["rid"], kept) not in self._written:
            kept = None
        told = {"id": name(row["rid"]), "split": row["split"], "score": row["score"], "fields": row["fields"]}
        return {
            **told,
            "kept_id": None if kept is None else name(kept),
            "kept": None if kept is None else self._texts.get(kept),
        }

    def _row(self, row: Row, name: Callable[[int], str]) -> Row:
        rid = row["rid"]
        step, reason = self._rejected.get(rid, (None, None))
        told = {"id": name(rid), "split": self._splits.get(rid, row["split"]), "step": step, "reason": reason}
        return {**told, "read": row["read"], "cleaned": row["cleaned"], "sample": self._samples.get(rid)}


def _id(one: tuple[int, int, Row]) -> int:
    return one[1]


def _place(row: Row) -> tuple[int, int]:
    return SPLITS.index(row["split"]), row["rid"]


def _chosen(rejects: pl.DataFrame, context: Context) -> pl.DataFrame:
    """The rejects of judgements that will be shown; their `kept` must be gathered before they are met."""
    lots = rejects.filter(pl.col("kept").is_not_null()).with_columns(lot=_lots(pl.col("rid"), context))
    return lots.filter(pl.col("lot").rank("ordinal").over("step", "reason") <= REJECTS)


def _followed(chosen: pl.DataFrame, rejects: pl.DataFrame) -> tuple[dict[int, int], list[int]]:
    """For each chosen reject the row at the end of its chain of `kept`; and all rows that they name themselves."""
    ends = dict(chosen.select("rid", "kept").iter_rows())
    named = list(ends.values())
    following = set(named)
    while following:
        here = rejects.filter(pl.col("rid").is_in(list(following)), pl.col("kept").is_not_null())
        further = dict(here.select("rid", "kept").iter_rows())
        ends = {rid: further.get(end, end) for rid, end in ends.items()}
        following = set(further.values())
    return ends, named


def _conflicts(state: State, context: Context) -> list[list[int]]:
    """Groups of rows that label_conflict found to contradict each other, rejected ones first."""
    flagged = [flags.filter(pl.col("flag").str.starts_with("label_conflict:")).select("rid") for flags in state.flags]
    rejected = state.rejects.filter(pl.col("step") == "label_conflict").select("rid")
    found = pl.concat([rejected, *flagged]).unique()
    if not len(found):
        return []
    from curate.sidecar import KEY

    keyed = state.rows.join(found, on="rid", how="semi").filter(pl.col(KEY).is_not_null())
    groups = keyed.group_by(KEY, "split").agg(pl.col("rid").sort(), n=pl.len()).filter(pl.col("n") > 1)
    groups = groups.with_columns(lot=_lots(pl.col(KEY), context), train=pl.col("split") != "train")
    return [rids[:RIVALS] for rids in groups.sort("train", "lot", "split").head(CONFLICTS)["rid"].to_list()]


def _clusters(state: State) -> list[Row]:
    """The largest groups of repeated rows, exact ones by split and near ones."""
    found = []
    for split in SPLITS:
        largest = state.duplicates.get(split, {}).get("largest", ())
        found += [{"step": "exact_dedup", "split": split, **cluster} for cluster in largest]
    if state.clusters is not None:
        rows = state.clusters.rows.filter(pl.col("rid") != pl.col("cluster"))
        near = rows.group_by("cluster", "split").agg(
            rows=pl.len() + 1,
            members=pl.col("rid").sort().head(MEMBERS),
            step=pl.col("step").filter(pl.col("step") != "exact_dedup").max(),
        )
        largest = near.drop_nulls("step").sort("rows", "cluster", descending=[True, False]).head(CLUSTERS)
        found += largest.rename({"cluster": "kept"}).select("step", "split", "kept", "rows", "members").to_dicts()
    return found
