"""What became of each row in two runs, by id. Rows are matched by hashes of their ids, and their lines by theirs.

So a row costs about thirty bytes of each run, whatever its text is; only lines that differ are parsed, to tell which
of their parts do. An id of a part or of a copy (`…#2`, `…~1`) that one run doesn't have is looked up without its end
too: why it is not there is told by what became of the row it is of.
"""

from __future__ import annotations

import re
from functools import cached_property
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any

from curate.diff.examples import EXAMPLES, groups, show
from curate.diff.lines import SIZE, blocks, line_hashes, part_hashes, samples
from curate.lazy import pl
from curate.sidecar import FILE
from curate.text.hashing import hash_series
from curate.types import SPLITS, UserError

#: What meta tells besides the text: where none but these differ, the row says the same.
_ABOUT = {"id", "task", "template", "flags", "corpus", "metrics", "cluster_size", "source_id", "words"}
#: How many rows of the source a sample stands for: a step that finds more of them says nothing new of the sample.
_GROUP = "meta.cluster_size"
#: Why a row that was not rejected isn't there.
NOT_READ, OTHER_PARTS, FEWER_COPIES = "not_read", "other_parts", "fewer_copies"
#: What is added to the id of a row of which there are several: parts of it, copies.
_END = r"(#\d+)?(~\d+)?$"


def plain_name(name: str) -> str:
    """The id of the row that a part or a copy is of."""
    return re.sub(_END, "", name)


class Side:
    """One of the two runs. A row's number is its place in keys.parquet: all of train, then validation, then test."""

    def __init__(self, run: Path, manifest: dict[str, Any]) -> None:
        self.run = run
        entries = {entry["file"]: entry["rows"] for entry in manifest["outputs"]}
        self.rows = {split: entries.get(f"{split}.jsonl", 0) for split in SPLITS}
        self.starts = dict(zip(SPLITS, accumulate(self.rows.values(), initial=0), strict=False))
        self.seed = manifest["seed"]
        self.veiled = any(entry["step"] == "redact_pii" for entry in manifest["steps"])

    @cached_property
    def written(self) -> pl.DataFrame:
        """`id` (hash), `key`, `split`, `row` and `line` (hash) of every sample."""
        if not any(self.rows.values()):
            kinds = {"id": pl.UInt64, "key": pl.UInt64, "split": pl.String, "row": pl.UInt32, "line": pl.UInt64}
            return pl.DataFrame(schema=kinds)
        keys = pl.read_parquet(self.run / FILE, columns=["split", "id", "key"])
        lines = pl.concat([line_hashes(self.run / f"{split}.jsonl") for split in SPLITS])
        if not len(keys) == len(lines) == sum(self.rows.values()):
            raise UserError(f"{self.run}: its files don't belong together; curate again with --force")
        split = pl.col("split").cast(pl.String)
        return keys.select(
            hash_series(keys["id"]), "key", split, pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), lines
        )

    @cached_property
    def rejected(self) -> pl.DataFrame:
        """`id` (hash), `name`, `split` and `why` ("step:reason") of every id that was rejected and not written."""
        kinds: dict[str, Any] = dict.fromkeys(("id", "split", "step", "reason"), pl.String)
        read = [
            pl.read_ndjson(BytesIO(b"\n".join(lines)), schema=kinds) for lines in blocks(self.run / "rejected.jsonl")
        ]
        rows = pl.concat(read) if read else pl.DataFrame(schema=kinds)
        why = pl.concat_str("step", pl.lit(":"), "reason").alias("why")
        found = rows.select(hash_series(rows["id"]), pl.col("id").alias("name"), "split", why)
        # Where two runs of a mixture share a row, its second copy is rejected under an id that is written.
        return found.unique("id", keep="first", maintain_order=True).join(
            self.written, on="id", how="anti", maintain_order="left"
        )

    def rejects(self, names: set[str]) -> dict[str, dict[str, Any]]:
        """`kept_id` and `score` of some ids: the first that was said of each."""
        kinds: dict[str, Any] = {"id": pl.String, "kept_id": pl.String, "score": pl.Float64}
        found: dict[str, dict[str, Any]] = {}
        for lines in blocks(self.run / "rejected.jsonl"):
            rows = pl.read_ndjson(BytesIO(b"\n".join(lines)), schema=kinds)
            for row in rows.filter(pl.col("id").is_in(list(names))).to_dicts():
                found.setdefault(row["id"], row)
        return found

    def names(self, rows: pl.Series) -> pl.Series:
        """The ids of some rows."""
        return pl.read_parquet(self.run / FILE, columns=["id"])["id"].gather(rows)

    def split_rows(self, split: str, rows: pl.Series) -> pl.Series:
        """Those of some sorted row numbers that are of a split, counted from its start."""
        start = self.starts[split]
        return rows.filter((rows >= start) & (rows < start + self.rows[split])) - start

    def parts(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Hashes of the parts of some samples (one or more), by `id`; `rows` has `id` and `row`, sorted by row."""
        found = [
            part_hashes(frame)
            for split in SPLITS
            for _, frame in samples(self.run, split, self.split_rows(split, rows["row"]))
        ]
        return pl.concat(found).with_columns(rows["id"])


def compare_rows(first: Side, second: Side) -> dict[str, Any]:
    """The rows of both runs in groups, with counts and a few rows of each; plain values, ready for JSON.

    `splits` has for each split how many rows the first run has there, `lost`, `moved_away`, `moved_here`, `added`, and
    how many the second has: first - lost - moved_away + moved_here + added = second. `changed` has the samples that
    are not the same, of three kinds: `text` (question, answer or label say something else), `wording` (the same text
    in another template or, where the seeds differ, with its options in another order) and `meta` (only what is told
    beside them); `fields` counts the parts that differ. Texts in another wording are the same if their keys are: their
    spaces and punctuation may still differ. `resized` has samples that are the same but for the number of rows they
    stand for: where one run looked for near-duplicates these are many, and nothing was changed. `rejected` is about
    ids that neither run has written.
    """
    both = first.written.join(second.written, on="id").sort("row")
    lost = first.written.join(second.written, on="id", how="anti").with_columns(pl.lit(None).alias("row_right"))
    added = second.written.join(first.written, on="id", how="anti").rename({"row": "row_right"})
    added = added.with_columns(pl.lit(None, pl.UInt32).alias("row"))
    changed = both.filter(pl.col("line") != pl.col("line_right"))
    moved = both.filter(pl.col("split") != pl.col("split_right"))
    kinds, fields = _kinds(changed, first, second)
    changed = changed.with_columns(kinds)
    resized, changed = changed.filter(pl.col("kind") == "size"), changed.filter(pl.col("kind") != "size")
    seed = first.seed
    listed = {
        "lost": groups(_why(lost, "row", first, second), seed, "split", "why"),
        "added": groups(_why(added, "row_right", second, first), seed, "split", "why"),
        "moved": groups(moved.rename({"split": "from", "split_right": "to"}), seed, "from", "to"),
        "changed": groups(changed, seed, "kind"),
        "resized": groups(resized.drop("split").rename({"split_right": "split"}), seed, "split"),
    }
    show(listed, first, second)
    return {
        "same": int(((both["line"] == both["line_right"]) & (both["split"] == both["split_right"])).sum()),
        "common": len(both),
        "splits": _splits(first, second, lost=lost, added=added, moved=moved, changed=changed, resized=resized),
        **listed,
        "fields": fields,
        "rejected": _rejected(first, second),
    }


def _splits(first: Side, second: Side, **rows: pl.DataFrame) -> dict[str, dict[str, int]]:
    columns = {
        "lost": rows["lost"]["split"],
        "moved_away": rows["moved"]["split"],
        "moved_here": rows["moved"]["split_right"],
        "added": rows["added"]["split"],
        "changed": rows["changed"]["split_right"],
        "resized": rows["resized"]["split_right"],
    }
    counts = {name: dict(column.value_counts().iter_rows()) for name, column in columns.items()}
    found = {}
    for split in SPLITS:
        told = {name: counted.get(split, 0) for name, counted in counts.items()}
        beside = {name: told.pop(name) for name in ("changed", "resized")}
        if first.rows[split] or second.rows[split]:
            found[split] = {"first": first.rows[split], **told, "second": second.rows[split], **beside}
    return found


def _why(rows: pl.DataFrame, row: str, has: Side, lacks: Side) -> pl.DataFrame:
    """Samples of one run with `why` the other lacks them."""
    told = rows.join(lacks.rejected.select("id", "why"), on="id", how="left", maintain_order="left")
    unknown = told["why"].is_null().arg_true()
    if not len(unknown):
        return told
    names = has.names(told[row].gather(unknown)).alias("id")
    plain = names.str.replace(_END, "")
    of = (
        hash_series(plain)
        .to_frame()
        .join(lacks.rejected.select("id", "why"), on="id", how="left", maintain_order="left")
    )
    ended = pl.when(names.str.contains("~", literal=True)).then(pl.lit(FEWER_COPIES)).otherwise(pl.lit(OTHER_PARTS))
    there = of.select(pl.when(pl.col("id").is_in(lacks.written["id"].implode())).then(ended)).to_series()
    why = of["why"].fill_null(there).fill_null(NOT_READ)
    return told.with_columns(told["why"].scatter(unknown, why))


def _kinds(changed: pl.DataFrame, first: Side, second: Side) -> tuple[pl.Series, dict[str, int]]:
    """The kind of change of each row, and how many rows differ in each part."""
    if not len(changed):
        return pl.Series("kind", [], dtype=pl.String), {}
    ours = first.parts(changed.select("id", "row"))
    theirs = second.parts(changed.select("id", row="row_right").sort("row"))
    pairs = ours.join(theirs, on="id", maintain_order="left")
    names = [name for name in dict.fromkeys([*ours.columns, *theirs.columns]) if name not in ("id", SIZE)]
    # A part that one of the runs doesn't have differs in every row.
    shared = set(ours.columns) & set(theirs.columns)
    differs = pairs.select(
        (pl.col(name).ne_missing(pl.col(f"{name}_right")) if name in shared else pl.lit(True)).alias(name)
        for name in names
    )
    message = [name for name in names if not name.startswith("meta.")]
    facts = [name for name in names if name.startswith("meta.") and name.removeprefix("meta.") not in _ABOUT]
    told = differs.select(
        pl.any_horizontal(pl.lit(False), *message).alias("message"),
        pl.any_horizontal(pl.lit(False), *facts).alias("facts"),
        pl.col("meta.template").alias("template"),
    ).with_columns(
        changed.select(pl.col("key").ne_missing(pl.col("key_right"))), size=pairs[SIZE] != pairs[f"{SIZE}_right"]
    )
    # The seed orders the options: with another one a message of the same length and template is the same text.
    reordered = pl.lit(first.seed != second.seed) & ~pl.col("size")
    text = pl.col("facts") | pl.col("key") | (pl.col("message") & ~pl.col("template") & ~reordered)
    kind = pl.when(text).then(pl.lit("text")).when("message").then(pl.lit("wording")).otherwise(pl.lit("meta"))
    rest = differs.select(pl.any_horizontal(pl.lit(False), *(name for name in names if name != _GROUP))).to_series()
    only_size = (differs[_GROUP] if _GROUP in names else pl.repeat(False, len(differs), eager=True)) & ~rest
    kinds = told.select(pl.when(only_size).then(pl.lit("size")).otherwise(kind).alias("kind")).to_series()
    counts = {name: int((differs[name] & ~only_size).sum()) for name in names}
    return kinds, {name: n for name, n in counts.items() if n}


def _rejected(first: Side, second: Side) -> dict[str, Any]:
    """Ids that neither run has written: rejected alike, for another reason, or known to one of them only."""
    mine = first.rejected.join(second.written, on="id", how="anti", maintain_order="left")
    theirs = second.rejected.join(first.written, on="id", how="anti", maintain_order="left")
    both = mine.join(theirs.select("id", "why"), on="id", maintain_order="left").rename(
        {"why": "first", "why_right": "second"}
    )
    other = both.filter(pl.col("first") != pl.col("second"))
    groups = other.group_by("first", "second", maintain_order=True).agg(
        rows=pl.len(), examples=pl.col("name").head(EXAMPLES)
    )
    return {
        "same": len(both) - len(other),
        "other_reason": groups.sort(["rows", "first", "second"], descending=[True, False, False]).to_dicts(),
        "only_first": len(mine) - len(both),
        "only_second": len(theirs) - len(both),
    }
