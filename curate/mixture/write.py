"""The one pass over the parts: blocks of lines, those that are wanted put into one shape, the others accounted for."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO, Any, Self

from curate.ahead import side_by_side
from curate.lazy import pl
from curate.mixture.order import BLOCK, END, Block, blocks, take
from curate.mixture.parts import Part
from curate.mixture.schema import Shape, dtype, shape_of, union, widened
from curate.run import RunFolder
from curate.sidecar import write_table
from curate.types import SPLITS

#: Examples a reason gets in the card.
EXAMPLES = 3


@dataclass
class Made:
    """What a block came to. `rows` has `place`, `part`, `line`, and then the columns of the sidecar."""

    part: Part
    first: float
    rejects: bytes
    rejected: list[dict[str, Any]]
    rows: pl.DataFrame | None = None
    flagged: int = 0
    templates: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, Counter[int]] = field(default_factory=dict)
    example: dict[str, Any] | None = None


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

    def add(self, split: str, made: Made, rows: int) -> None:
        """Count a block of which rows are written."""
        part = made.part.name
        self.rows.setdefault(part, Counter())[split] += rows
        self.flagged[split] += made.flagged
        self.templates.update(made.templates)
        for name, counted in made.lengths.items():
            self.lengths.setdefault(part, {}).setdefault(name, Counter()).update(counted)
        self.features = self.features or made.example or {}
        self.examples.setdefault(part, made.example or {})


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

    def blocks(self, split: str) -> Iterator[Block]:
        """The lines of all parts in a split, as they are written."""
        plans = []
        at = 0
        for part in self._parts:
            if rows := part.rows(split):
                first = part.start(split)
                plan = self._plan.slice(at + first, rows)
                plans.append((part, plan.with_columns(part.ids(slice(first, first + rows)).alias("id"))))
            at += sum(map(part.rows, SPLITS))
        return blocks(split, plans)

    def make(self, block: Block) -> Made:
        """The samples and rejects of one block."""
        plan = block.plan
        # Most rows of a large corpus are often not chosen, and need no look at their text.
        wanted = plan["copies"] > block.turns.start
        if not block.turns.start:
            wanted |= (plan["step"].is_not_null() & (plan["reason"] != "not_chosen")).fill_null(False)
        where = wanted.arg_true().to_list()
        rows = self._parsed(block.part, [block.lines[i] for i in where]) if where else None
        made = Made(block.part, block.first, b"", [])
        if not block.turns.start:
            rejects = _rejects(plan, rows, where, block.split)
            made.rejects = _joined(rejects.select(line=_json(_REJECT))["line"])
            made.rejected = _few(rejects)
        if rows is not None:
            self._samples(made, block, rows, plan[where])
        return made

    def _parsed(self, part: Part, lines: list[bytes]) -> pl.DataFrame:
        schema = {key: dtype(shape) for key, shape in self._own[part.name].items()}
        return pl.read_ndjson(BytesIO(b"\n".join(lines)), schema=schema)

    def _samples(self, made: Made, block: Block, rows: pl.DataFrame, plan: pl.DataFrame) -> None:
        copies = plan.select("copies").with_row_index("row")
        turns = [
            copies.filter(pl.col("copies") > turn).select("row", pl.lit(turn).alias("turn")) for turn in block.turns
        ]
        row, turn = pl.concat(turns)
        if not len(row):
            return
        plan = plan[row]
        chosen = rows[row].with_columns(found=plan["flags"])
        name = pl.when(turn > 0).then(pl.concat_str(plan["id"], pl.lit("~"), turn)).otherwise(plan["id"])
        names = plan.select(name.alias("id")).to_series()
        part = block.part
        given: dict[str, pl.Expr] = {
            "id": pl.lit(names),
            "flags": pl.lit(_flags(chosen)),
            "corpus": pl.lit(part.name),
            "metrics": pl.lit(part.manifest["metrics"], pl.List(pl.String)),
        }
        full = chosen.select(widened(self.shape, self._own[part.name], given))
        made.flagged = int((full["meta"].struct.field("flags") != "").sum())
        made.templates = dict(full["meta"].struct.field("template").value_counts().iter_rows())
        made.lengths = _lengths(full)
        made.example = full.row(0, named=True)
        made.rows = plan.select(
            block.places(),
            pl.lit(part.number).alias("part"),
            full.select(line=_json(full.columns))["line"],
            pl.lit(block.split, pl.Enum(list(SPLITS))).alias("split"),
            pl.lit(names).alias("id"),
            "key",
            pl.col("own_leak").alias("leak"),
            *([pl.col("label").cast(pl.Enum(self._labels))] if self._labels else []),
        )


def write_rows(writer: Writer, run: RunFolder, workers: int) -> Written:
    """Write all samples in their order, split by split; rejects stand by part there."""
    result = Written()
    keys: list[pl.DataFrame] = []
    run.output("rejected.jsonl")
    for split in SPLITS:
        waiting: list[pl.DataFrame] = []
        with _Rejects(run, result) as rejects:
            for made in side_by_side(writer.make, writer.blocks(split), workers):
                rejects.add(made)
                if waiting:
                    keys.append(_write(run, split, take(waiting, made.first)))
                if made.rows is not None:
                    waiting.append(made.rows)
                    result.add(split, made, len(made.rows))
            if waiting:
                keys.append(_write(run, split, take(waiting, END)))
    if keys:
        run.files.append(write_table(run.folder / "keys.parquet", pl.concat(keys)))
    return result


def _write(run: RunFolder, split: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Write samples; returns their rows of the sidecar."""
    if len(rows):
        output = run.output(f"{split}.jsonl")
        output.write(_joined(rows["line"]))
        output.rows += len(rows)
    return rows.drop("place", "part", "line")


class _Rejects:
    """The rejects of a split, which come in the order of blocks and are written by part: a file for each meanwhile."""

    def __init__(self, run: RunFolder, result: Written) -> None:
        self._run = run
        self._result = result
        self._files: dict[int, IO[bytes]] = defaultdict(partial(TemporaryFile, dir=run.folder))
        self._few: dict[tuple[int, str, str], list[dict[str, Any]]] = {}

    def add(self, made: Made) -> None:
        number = made.part.number
        if made.rejects:
            self._files[number].write(made.rejects)
        for row in made.rejected:
            kept = self._few.setdefault((number, row["step"], row["reason"]), [])
            if len(kept) < EXAMPLES:
                kept.append({key: row[key] for key in ("id", "split", "fields")})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *more: object) -> None:
        output = self._run.output("rejected.jsonl")
        for _, file in sorted(self._files.items()):
            with file:
                file.seek(0)
                while error is None and (data := file.read(BLOCK)):
                    output.write(data)
                    output.rows += data.count(b"\n")
        for (_, *why), rows in sorted(self._few.items()):
            known = self._result.rejects.setdefault((why[0], why[1]), [])
            known += rows[: EXAMPLES - len(known)]


# ---- making


def _first_row(part: Part) -> dict[str, Any] | None:
    for split in SPLITS:
        if part.rows(split):
            with (part.path / f"{split}.jsonl").open("rb") as lines:
                return json.loads(next(lines))
    return None


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
