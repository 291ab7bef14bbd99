"""The one pass over the parts: blocks of lines, those that are wanted put into one shape, the others accounted for."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from curate.ahead import side_by_side
from curate.card.measure import EXAMPLES
from curate.lazy import pl
from curate.mixture.parts import Part, changed
from curate.mixture.schema import Shape, dtype, shape_of, union, widened
from curate.run import RunFolder
from curate.sidecar import write_table
from curate.types import SPLITS

#: Bytes read at a time.
BLOCK = 4 << 20


@dataclass
class Block:
    """Whole lines of one split of one part, and the plan's rows for them."""

    part: Part
    split: str
    lines: list[bytes]
    plan: pl.DataFrame


@dataclass
class Made:
    """What a block came to."""

    block: Block
    samples: bytes
    rejects: bytes
    written: int
    flagged: int
    templates: dict[str, int]
    lengths: dict[str, Counter[int]]
    keys: pl.DataFrame
    example: dict[str, Any] | None
    rejected: list[dict[str, Any]]


@dataclass
class Written:
    """What the pass counted, by split, and for the card by corpus."""

    rows: dict[str, Counter[str]] = field(default_factory=dict)
    flagged: Counter[str] = field(default_factory=Counter)
    templates: Counter[str] = field(default_factory=Counter)
    lengths: dict[str, dict[str, Counter[int]]] = field(default_factory=dict)
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejects: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    features: dict[str, Any] = field(default_factory=dict)


class Writer:
    """Makes blocks into lines; nothing in it changes, so blocks can be made side by side.

    `plan` has a row for each row of the parts, in the order of `rid`: `copies` (0: not written), `step`, `reason`,
    `kept_id` of a reject, `flags` that were found, and what the sidecar tells of it.
    """

    def __init__(self, parts: list[Part], plan: pl.DataFrame, labels: list[str]) -> None:
        self._parts = parts
        self._plan = plan
        self._labels = labels
        first = {part.name: row for part in parts if (row := _first_row(part)) is not None}
        self._own: dict[str, Any] = {name: shape_of(row) for name, row in first.items()}
        self.shape: dict[str, Shape] = union(first) if first else {}

    def blocks(self) -> Iterator[Block]:
        """The lines of all parts in the order in which they are written; each file is read once, and checked."""
        start = {}
        at = 0
        for part in self._parts:
            for split in SPLITS:
                start[part.name, split] = at
                at += part.rows(split)
        for split in SPLITS:
            for part in self._parts:
                if part.rows(split):
                    plan = self._plan.slice(start[part.name, split], part.rows(split))
                    first = part.start(split)
                    plan = plan.with_columns(part.ids(slice(first, first + part.rows(split))).alias("id"))
                    yield from _read(part, split, plan)

    def make(self, block: Block) -> Made:
        """The samples and rejects of one block."""
        plan = block.plan
        # Most rows of a large corpus are often not chosen, and need no look at their text.
        wanted = (plan["copies"] > 0) | (plan["step"].is_not_null() & (plan["reason"] != "not_chosen"))
        where = wanted.fill_null(False).arg_true().to_list()
        rows = self._parsed(block.part, [block.lines[i] for i in where]) if where else None
        rejects = _rejects(plan, rows, where, block.split)
        made = Made(block, b"", b"", 0, 0, {}, {}, plan.head(0), None, _few(rejects))
        made.rejects = _joined(rejects.select(line=_json(_REJECT))["line"])
        if rows is not None:
            self._samples(made, rows, plan[where])
        return made

    def _parsed(self, part: Part, lines: list[bytes]) -> pl.DataFrame:
        schema = {key: dtype(shape) for key, shape in self._own[part.name].items()}
        return pl.read_ndjson(BytesIO(b"\n".join(lines)), schema=schema)

    def _samples(self, made: Made, rows: pl.DataFrame, plan: pl.DataFrame) -> None:
        chosen = rows.with_columns(plan["copies"], found=plan["flags"]).filter(pl.col("copies") > 0)
        plan = plan.filter(pl.col("copies") > 0)
        if not len(chosen):
            return
        place = pl.int_range(len(chosen), eager=True).repeat_by(chosen["copies"]).explode()
        chosen, plan = (frame[place] if len(place) > len(frame) else frame for frame in (chosen, plan))
        again = place.to_frame("place").select(k=pl.int_range(pl.len()).over("place")).to_series()
        name = pl.when(again > 0).then(pl.concat_str(plan["id"], pl.lit("~"), again)).otherwise(plan["id"])
        names = plan.select(name.alias("id")).to_series()
        part = made.block.part
        given: dict[str, pl.Expr] = {
            "id": pl.lit(names),
            "flags": pl.lit(_flags(chosen)),
            "corpus": pl.lit(part.name),
            "metrics": pl.lit(part.manifest["metrics"], pl.List(pl.String)),
        }
        full = chosen.select(widened(self.shape, self._own[part.name], given))
        made.samples = _joined(full.select(line=_json(full.columns))["line"])
        made.written = len(full)
        made.flagged = int((full["meta"].struct.field("flags") != "").sum())
        made.templates = dict(full["meta"].struct.field("template").value_counts().iter_rows())
        made.lengths = _lengths(full)
        made.example = full.row(0, named=True)
        made.keys = plan.select(
            pl.lit(made.block.split, pl.Enum(list(SPLITS))).alias("split"),
            pl.lit(names).alias("id"),
            "key",
            "own_leak",
            *([pl.col("label").cast(pl.Enum(self._labels))] if self._labels else []),
        ).rename({"own_leak": "leak"})


def write_rows(writer: Writer, run: RunFolder, workers: int) -> Written:
    """Write all samples and rejects, in the order of the splits, the parts and their rows."""
    result = Written()
    keys: list[pl.DataFrame] = []
    run.output("rejected.jsonl")
    for made in side_by_side(writer.make, writer.blocks(), workers):
        part, split = made.block.part.name, made.block.split
        if made.rejects:
            output = run.output("rejected.jsonl")
            output.write(made.rejects)
            output.rows += made.rejects.count(b"\n")
        for row in made.rejected:
            kept = result.rejects.setdefault((row["step"], row["reason"]), [])
            if len(kept) < EXAMPLES:
                kept.append({key: row[key] for key in ("id", "split", "fields")})
        if made.written:
            output = run.output(f"{split}.jsonl")
            output.write(made.samples)
            output.rows += made.written
            keys.append(made.keys)
            result.rows.setdefault(part, Counter())[split] += made.written
            result.flagged[split] += made.flagged
            result.templates.update(made.templates)
            for name, counted in made.lengths.items():
                result.lengths.setdefault(part, {}).setdefault(name, Counter()).update(counted)
            result.features = result.features or made.example or {}
            result.examples.setdefault(part, made.example or {})
    if keys:
        run.files.append(write_table(run.folder / "keys.parquet", pl.concat(keys)))
    return result


# ---- reading


def check_files(parts: list[Part]) -> None:
    """UserError for the first file that isn't what its manifest says: what a broken line comes from, if not a bug."""
    for part in parts:
        for split in SPLITS:
            if part.rows(split):
                for _ in _read(part, split, pl.DataFrame()):
                    pass


def _first_row(part: Part) -> dict[str, Any] | None:
    for split in SPLITS:
        if part.rows(split):
            with (part.path / f"{split}.jsonl").open("rb") as lines:
                return json.loads(next(lines))
    return None


def _read(part: Part, split: str, plan: pl.DataFrame) -> Iterator[Block]:
    """The lines of a file in blocks, each with its rows of the plan. UserError where the file was changed."""
    name = f"{split}.jsonl"
    entry = part.entry(name)
    sha = hashlib.sha256()
    at, rest = 0, b""
    with (part.path / name).open("rb") as file:
        while data := file.read(BLOCK):
            sha.update(data)
            *lines, rest = (rest + data).split(b"\n")
            if lines:
                yield Block(part, split, lines, plan.slice(at, len(lines)))
                at += len(lines)
    if entry is None or sha.hexdigest() != entry["sha256"]:
        raise changed(part, name)


# ---- making


_REJECT = ["id", "split", "step", "reason", "kept_id", "score", "fields"]


def _json(columns: list[str]) -> pl.Expr:
    return pl.struct(columns).struct.json_encode()


def _joined(lines: pl.Series) -> bytes:
    # As bytes, not as a str that would have to be encoded again.
    return lines.str.join("\n").cast(pl.Binary).item() + b"\n" if len(lines) else b""


def _rejects(plan: pl.DataFrame, rows: pl.DataFrame | None, where: list[int], split: str) -> pl.DataFrame:
    """The rejects of a block; those that were merely not chosen have no fields."""
    texts = ["instruction", "input", "output"]
    empty = {name: pl.String for name in texts}
    said = (rows.select(texts) if rows is not None else pl.DataFrame(schema=empty)).with_columns(
        row=pl.Series(where, dtype=pl.UInt32)
    )
    gone = plan.with_row_index("row").filter(pl.col("step").is_not_null())
    told = gone.join(said, on="row", how="left", maintain_order="left")
    fields = pl.when(pl.col("instruction").is_not_null()).then(pl.struct(texts)).alias("fields")
    score = pl.lit(None, pl.Float64).alias("score")
    return told.select("id", pl.lit(split).alias("split"), "step", "reason", "kept_id", score, fields)


def _few(rejects: pl.DataFrame) -> list[dict[str, Any]]:
    """The first rejects of each reason, for the card."""
    firsts = rejects.filter(pl.int_range(pl.len()).over("step", "reason") < EXAMPLES)
    return firsts.select("step", "reason", "id", "split", "fields").to_dicts()


def _flags(rows: pl.DataFrame) -> pl.Series:
    """The flags that rows came with and those found here, none twice."""
    flags = rows["meta"].struct.field("flags")
    found = rows["found"]
    where = found.is_not_null().arg_true()
    joined = [
        ",".join(dict.fromkeys([*filter(None, old.split(",")), *new.split(",")]))
        for old, new in zip(flags.gather(where), found.gather(where), strict=True)
    ]
    return flags.clone().scatter(where, joined) if joined else flags


def _lengths(rows: pl.DataFrame) -> dict[str, Counter[int]]:
    """Characters of the user's message and of the answer."""
    user, text = pl.col("instruction").str.len_chars(), pl.col("input").str.len_chars()
    between = ((user > 0) & (text > 0)).cast(pl.UInt32)
    counted = rows.select(prompt=user + text + between, output=pl.col("output").str.len_chars())
    return {name: Counter(dict(counted[name].value_counts().iter_rows())) for name in counted.columns}
