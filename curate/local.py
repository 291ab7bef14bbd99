"""The local pass: bytes → records → leading steps → the check of form, one slice at a time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from curate.ahead import ahead
from curate.card.measure import leak_columns
from curate.formatting.render import form_verdicts
from curate.lazy import pl
from curate.readers import READERS
from curate.readers.options import ReadOptions
from curate.recipe import Recipe
from curate.rejects import from_reading, from_verdicts
from curate.steps import Context
from curate.steps.cap import ANSWER
from curate.store import Store
from curate.tally import Tally, add
from curate.text.decode import FileInfo, read_blocks
from curate.text.hashing import hash_series, row_hash, seed_of
from curate.text.keys import key_frame, key_series
from curate.types import RID_BITS, SPLITS, File, Records, UserError

#: Characters of a file that readers look at to say whether the layout is theirs.
HEAD_CHARS = 65_536


@dataclass
class Slice:
    """A slice that waits: its file, and how many rows stand before it in the key table and in it."""

    file: File
    start: int
    rows: int
    rejects: pl.DataFrame


@dataclass
class FileTally:
    """What reading one file came to."""

    rows: int = 0
    unreadable: int = 0
    reader: str = ""
    repaired: dict[str, int] = field(default_factory=dict)


class LocalPass:
    """Reads files one after the other and keeps what the later passes need."""

    def __init__(self, recipe: Recipe, context: Context, tally: Tally, work: Path, slice_rows: int) -> None:
        from curate.pipeline import leading

        self._recipe = recipe
        self._context = context
        self._tally = tally
        self._slice_rows = slice_rows
        self._leading = leading(recipe)
        self.store = Store(work)
        self.slices: list[Slice] = []
        self.files: dict[int, FileTally] = {}
        self.prefixes: dict[int, str] = {}
        self.flags: list[pl.DataFrame] = []
        self.has_source_ids = False
        self._keys: list[pl.DataFrame] = []
        self._columns = key_columns(recipe, context)
        self._read: dict[str, int] = {}
        self._unreadable: dict[str, list[Any]] = {}

    def read(self, file: File, info: FileInfo, limit: int | None) -> None:
        """Read one file, at most `limit` rows of its split in all."""
        if self._recipe.source.encoding:
            info = replace(info, encoding=self._recipe.source.encoding)
        name, reader = choose_reader(self._recipe, file, info)
        self.prefixes[file.number] = file.prefix
        seen = self.files.setdefault(file.number, FileTally(reader=name))
        left = None if limit is None else limit - self._read.get(file.split, 0)
        columns = tuple(self._recipe.source.columns) if self._recipe.source.columns else None
        options = ReadOptions(self._recipe.task, self._context.labels, columns, left)
        if left is not None and left <= 0:
            return
        for records in ahead(reader.read(file, info, options, self._slice_rows)):
            self._block(file, records, seen)

    def _block(self, file: File, records: Records, seen: FileTally) -> None:
        seen.rows += records.rows
        seen.unreadable += len(records.rejects)
        add(seen.repaired, records.counts)
        self._read[file.split] = self._read.get(file.split, 0) + records.rows
        if records.rejects:
            self._unreadable.setdefault(file.split, []).extend((file, r) for r in records.rejects)
        line = self._tally.line("read", file.split)
        line.rows_in += records.rows
        for reject in records.rejects:
            line.reasons[reject.reason] = line.reasons.get(reject.reason, 0) + 1
        rejects = [from_reading(records.rejects, file)] if records.rejects else []

        rows = records.frame.with_columns(order=row_hash(pl.col("rid"), seed_of(file.prefix, self._context.seed)))
        for use in self._leading:
            rows, rejected = self._step(use, rows, file.split)
            rejects.extend(rejected)
        said = form_verdicts(rows, self._context, file.split)
        rows, rejected = self._act("format", True, rows, said, file.split)
        rejects.extend(rejected)

        self._keep(file, rows, rejects)

    def _keep(self, file: File, rows: pl.DataFrame, rejects: list[pl.DataFrame]) -> None:
        task = self._context.task
        keys = key_frame(rows, task.fields, self._columns - {ANSWER})
        label = [pl.col("label").cast(pl.Enum(list(self._context.labels)))] if task.has_labels else []
        extra = rows.select(
            pl.lit(file.split).cast(pl.Enum(list(SPLITS))).alias("split"),
            "order",
            *label,
        )
        if ANSWER in self._columns:
            answers = rows.select(answer_text(task.name)).to_series()
            extra = extra.with_columns(hash_series(key_series(answers)).alias(ANSWER))
        start = self.slices[-1].start + self.slices[-1].rows if self.slices else 0
        empty = from_reading([], file)
        self.slices.append(Slice(file, start, len(rows), pl.concat([empty, *rejects])))
        self.store.append(rows)
        self._keys.append(pl.concat([keys, extra], how="horizontal"))
        if task.name == "mrc" and not self.has_source_ids:
            self.has_source_ids = bool((rows["source_id"].fill_null("") != "").any())

    def _step(self, use: Any, rows: pl.DataFrame, split: str) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
        outcome = use.step.module.run(rows, use.options, self._context)
        add(self._tally.line(use.name, split).changes, outcome.counts)
        return self._act(use.name, use.step.binding, outcome.rows, outcome.verdicts, split)

    def _act(
        self, step: str, binding: bool, rows: pl.DataFrame, said: pl.DataFrame | None, split: str
    ) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
        """Carry out a local step's verdicts: the one place where rows leave in this pass."""
        self._tally.line(step, split).rows_in += len(rows)
        if said is None or not len(said):
            return rows, []
        said = soften(said, binding, split)
        count_verdicts(self._tally, step, split, said)
        flags = said.filter(pl.col("action") == "flag")
        if len(flags):
            self.flags.append(flags.select("rid", flag=pl.lit(f"{step}:") + pl.col("reason")))
        rejected = said.filter(pl.col("action") == "reject")
        if not len(rejected):
            return rows, []
        fields = list(self._context.task.fields)
        gone = from_verdicts(rows, rejected.select("rid", "reason", "kept", "score"), step, split, fields)
        return rows.join(rejected, on="rid", how="anti", maintain_order="left"), [gone]

    def keys(self) -> pl.DataFrame:
        """The key table: a row of small columns for every row that is still there, in the order of the slices."""
        keys = pl.concat(self._keys)
        self._keys = []
        return keys

    def rows_read(self, split: str) -> int:
        """Data rows read of a split, unreadable ones included."""
        return self._read.get(split, 0)

    def check_readable(self) -> None:
        """A split most of whose rows could not be read is the wrong file or layout."""
        for split in SPLITS:
            bad, read = self._unreadable.get(split, []), self._read.get(split)
            if read is not None and len(bad) * 2 > read:
                file, first = bad[0]
                shown = " ".join(first.raw.split())[:120]
                raise UserError(
                    f"{file.name}:{first.line}: {len(bad)} of the {read} rows of {split} can't be read; the first is a case "
                    f"of {first.reason}: {shown!r}; is this the right file? --set source.columns=… names its columns"
                )
        if not any(self._read.values()):
            raise UserError("the source has no rows; name other files with --source")


def soften(said: pl.DataFrame, binding: bool, split: str) -> pl.DataFrame:
    """On evaluation splits a reject is a flag, unless the step defines the split or judges form."""
    if binding or split == "train":
        return said
    action = pl.when(pl.col("action") == "reject").then(pl.lit("flag")).otherwise(pl.col("action"))
    return said.with_columns(action.alias("action"))


def count_verdicts(tally: Tally, step: str, split: str, said: pl.DataFrame) -> None:
    """Add verdicts to the funnel."""
    for action, reason, n in said.group_by("action", "reason").len().sort("action", "reason").iter_rows():
        if action in ("reject", "flag", "note"):
            tally.said(step, split, action, {reason: n})


def key_columns(recipe: Recipe, context: Context) -> set[str]:
    """All key columns that the recipe's judgements and the card need."""
    wanted = leak_columns(context)
    for use in recipe.steps:
        if use.step.kind == "judgement":
            wanted |= use.step.module.columns(use.options, context.task)
    if recipe.step("exact_dedup") is None:
        from curate.steps.exact_dedup import Options, columns

        wanted |= columns(Options(), context.task)
    return wanted


def answer_text(task: str) -> pl.Expr:
    """What a model would have to answer, as one text."""
    if task == "dialogue":
        return pl.col("turns").list.last()
    if task == "mrc":
        return pl.col("answers").list.first()
    return pl.col("summary" if task == "summarization" else "label")


def choose_reader(recipe: Recipe, file: File, info: FileInfo) -> tuple[str, Any]:
    """The first of the recipe's readers whose layout fits the file. Raises UserError if none does."""
    names = recipe.source.reader
    head = ""
    for block in read_blocks(file.path, info):
        head += block
        if len(head) >= HEAD_CHARS:
            break
    for name in names:
        if READERS[name].fits(head[:HEAD_CHARS]):
            return name, READERS[name]
    start = " ".join(head[:120].split())
    raise UserError(f"{file.name}: not in a layout that {' or '.join(names)} reads; it begins with {start!r}")


__all__ = ["RID_BITS", "LocalPass", "Slice", "choose_reader", "count_verdicts", "soften"]
