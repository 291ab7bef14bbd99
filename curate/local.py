"""The local pass: bytes → records → leading steps → the check of form, one slice at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from curate.ahead import ahead, side_by_side
from curate.card.measure import leak_columns
from curate.card.shown import glimpse, merge
from curate.formatting.render import form_changes, form_verdicts
from curate.lazy import pl
from curate.readers import READERS
from curate.readers.options import ReadOptions
from curate.recipefile import Recipe
from curate.rejects import from_reading
from curate.slicework import SliceWork
from curate.sources import Source
from curate.steps import Context
from curate.steps.cap import ANSWER
from curate.store import Store
from curate.tally import Tally, add
from curate.text.decode import HEAD, FileInfo, read_blocks
from curate.text.hashing import hash_series, row_hash, seed_of
from curate.text.keys import key_frame, key_series, key_text
from curate.types import RID_BITS, SPLITS, File, ReadReject, Records, UserError
from curate.veil import veil_of, veiled

#: Characters of a file that readers look at to say whether the layout is theirs.
HEAD_CHARS = 65_536


#: Files are worked on together up to so many of their bytes: each alone, a thousand documents would cost seconds.
TOGETHER = 2 << 20


@dataclass
class Block:
    """Rows of a split that are worked on together: a block of one file, or several files that are small."""

    split: str
    parts: list[tuple[File, Records]] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0


@dataclass
class Slice:
    """A slice that waits: its split, and how many rows stand before it in the key table and in it."""

    split: str
    start: int
    rows: int
    rejects: pl.DataFrame


@dataclass
class Done:
    """What became of one block: all that later passes need of it."""

    block: Block
    work: SliceWork
    keys: pl.DataFrame
    rejects: pl.DataFrame
    glimpses: list[dict[str, Any]]


@dataclass
class FileTally:
    """What reading one file came to."""

    rows: int = 0
    reader: str = ""
    repaired: dict[str, int] = field(default_factory=dict)


class LocalPass:
    """Reads files, each after the other, and keeps what the later passes need."""

    def __init__(self, recipe: Recipe, context: Context, tally: Tally, work: Path, slice_rows: int) -> None:
        self._recipe = recipe
        self._context = context
        self._tally = tally
        self._slice_rows = slice_rows
        self._leading = recipe.leading
        self._veil = veil_of(recipe)
        self.store = Store(work)
        self.slices: list[Slice] = []
        self.files: dict[int, FileTally] = {}
        self.prefixes: dict[int, str] = {}
        self.flags: list[pl.DataFrame] = []
        self.has_source_ids = False
        self._keys: list[pl.DataFrame] = []
        self._columns = key_columns(recipe, context)
        self._texts = frozenset[str]().union(
            *(use.step.module.texts(use.options, context.task) for use in recipe.steps if use.step.reads)
        )
        # A judgement that reads texts compares their keys, which are at hand while the rows are hashed.
        self._held = [key_text(field) for field in sorted(self._texts)]
        self._read: dict[str, int] = {}
        self._glimpses: dict[str, list[dict[str, Any]]] = {}
        self._unreadable: dict[str, tuple[int, tuple[File, ReadReject]]] = {}

    def read(
        self, source: Source, limit: int | None = None, report: Callable[[str], None] = lambda message: None
    ) -> None:
        """Read all files, at most `limit` rows of each split."""
        blocks = ahead(self._blocks(source, limit, report))
        for done in side_by_side(self._block, blocks, self._context.workers):
            self._keep(done)

    def _blocks(self, source: Source, limit: int | None, report: Callable[[str], None]) -> Iterator[Block]:
        """The blocks of all files: the next file is begun while the last blocks of one are still worked on."""
        rows: dict[str, int] = {}
        block: Block | None = None
        for file in source.files:
            report(f"reading {file.name}")
            left = None if limit is None else limit - rows.get(file.split, 0)
            name, blocks = read_file(self._recipe, file, source.infos[file.path], left, self._slice_rows)
            self.prefixes[file.number] = file.prefix
            self.files.setdefault(file.number, FileTally(reader=name))
            if left is not None and left <= 0:
                continue
            size = source.infos[file.path].bytes
            for records in blocks:
                rows[file.split] = rows.get(file.split, 0) + records.rows
                if block is not None and not self._fit(block, file.split, records.rows, size):
                    yield block
                    block = None
                block = block or Block(file.split)
                block.parts.append((file, records))
                block.rows += records.rows
                block.bytes += size
        if block is not None:
            yield block

    def _fit(self, block: Block, split: str, rows: int, size: int) -> bool:
        """Whether so many more rows and bytes may be worked on together with a block."""
        return split == block.split and block.rows + rows <= self._slice_rows and block.bytes + size <= TOGETHER

    def _block(self, block: Block) -> Done:
        """One block, from records to keys; it changes nothing but what it returns."""
        split = block.split
        read = self._ordered(block)
        work = SliceWork(read, split, self._context, self._veil)
        line = work.tally.line("read", split)
        line.rows_in += block.rows
        for reject in (reject for _, records in block.parts for reject in records.rejects):
            add(line.reasons, {reject.reason: 1})
        for use in self._leading:
            work.run(use)
        glimpses = glimpse(read, work.rows, work.tally.changes(), split, self._context, self._veil)
        work.act("format", True, form_verdicts(work.rows, self._context, split))
        add(work.tally.line("format", split).changes, form_changes(work.rows, self._context))
        first, *more = block.parts
        unread = [from_reading(records.rejects, file) for file, records in more if records.rejects]
        rejects = pl.concat([from_reading(first[1].rejects, first[0]), *unread, *work.rejects])
        keys = self._key_table(work.rows, split)
        work.rows = work.rows.with_columns(keys[name] for name in self._held)
        return Done(block, work, keys.drop(self._held), rejects, glimpses)

    def _ordered(self, block: Block) -> pl.DataFrame:
        """The records of a block with their `order`, hash(seed, id)."""
        seeds = {file.number: seed_of(file.prefix, self._context.seed) for file, _ in block.parts}
        if len(block.parts) == 1:
            return block.parts[0][1].frame.with_columns(order=row_hash(pl.col("rid"), *seeds.values()))
        rows = pl.concat([records.frame for _, records in block.parts], rechunk=True)
        seed = (pl.col("rid") // (1 << RID_BITS)).replace_strict(seeds, return_dtype=pl.UInt64)
        return rows.with_columns(order=row_hash(pl.col("rid"), seed))

    def _key_table(self, rows: pl.DataFrame, split: str) -> pl.DataFrame:
        task = self._context.task
        keys = key_frame(rows, task.fields, self._columns - {ANSWER}, self._texts)
        label = [pl.col("label").cast(pl.Enum(list(self._context.labels)))] if task.has_labels else []
        extra = rows.select(pl.lit(split).cast(pl.Enum(list(SPLITS))).alias("split"), "order", *label)
        if ANSWER in self._columns:
            answers = rows.select(answer_text(task.name)).to_series()
            extra = extra.with_columns(hash_series(key_series(answers)).alias(ANSWER))
        return pl.concat([keys, extra], how="horizontal")

    def _keep(self, done: Done) -> None:
        """Add up what a block came to, in the order of the files and of their rows."""
        split, rows = done.block.split, done.work.rows
        self._read[split] = self._read.get(split, 0) + done.block.rows
        for file, records in done.block.parts:
            seen = self.files[file.number]
            seen.rows += records.rows
            add(seen.repaired, records.counts)
            if records.rejects:
                n, first = self._unreadable.get(split, (0, (file, records.rejects[0])))
                self._unreadable[split] = (n + len(records.rejects), first)
        self._tally.merge(done.work.tally)
        self._glimpses[split] = merge(self._glimpses.get(split, []), done.glimpses)
        self.flags.extend(done.work.flags)
        start = self.slices[-1].start + self.slices[-1].rows if self.slices else 0
        self.slices.append(Slice(split, start, len(rows), done.rejects))
        self.store.append(rows)
        self._keys.append(done.keys)
        if self._context.task.name == "mrc" and not self.has_source_ids:
            self.has_source_ids = bool((rows["source_id"].fill_null("") != "").any())

    def keys(self) -> pl.DataFrame:
        """The key table: a row of small columns for every row that is still there, in the order of the slices."""
        keys = pl.concat(self._keys)
        self._keys = []
        return keys

    def records(self, rids: pl.Series) -> Iterator[pl.DataFrame]:
        """The records of these rows, slice by slice in the order of the key table; each slice may be empty.

        Beside the fields there are the comparison keys (`key_text`) of those that the recipe's judgements read.
        """
        known = rids.sort()
        for index in range(len(self.slices)):
            rows = self.store.peek(index)
            if len(known):
                places = known.search_sorted(rows["rid"]).clip(upper_bound=len(known) - 1)
                yield rows.filter(known.gather(places) == rows["rid"])

    def glimpses(self) -> list[dict[str, Any]]:
        """A few rows of each split as they were read and as the leading steps left them, for the card."""
        return [row for split in SPLITS for row in self._glimpses.get(split, ())]

    def end_records(self) -> None:
        """No judgement asks for records any more."""
        self.store.drop(self._held)

    def name(self, rid: int) -> str:
        """The printed id of a row."""
        return f"{self.prefixes[rid >> RID_BITS]}/{rid & ((1 << RID_BITS) - 1):09d}"

    def rows_read(self, split: str) -> int:
        """Data rows read of a split, unreadable ones included."""
        return self._read.get(split, 0)

    def check_readable(self) -> None:
        """A split most of whose rows could not be read is the wrong file or layout."""
        for split in SPLITS:
            read = self._read.get(split, 0)
            if split in self._unreadable and self._unreadable[split][0] * 2 > read:
                bad, (file, first) = self._unreadable[split]
                shown = " ".join(first.raw.split())[:120]
                raise UserError(
                    f"{file.name}:{first.line}: {bad} of the {read} rows of {split} can't be read; the first "
                    f"is a case of {first.reason}: {shown!r}; is this the right file? "
                    "--set source.columns=… names its columns"
                )
        if not any(self._read.values()):
            raise UserError("the source has no rows; name other files with --source")


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


@veiled
def read_file(
    recipe: Recipe, file: File, info: FileInfo, limit: int | None, block_rows: int
) -> tuple[str, Iterator[Records]]:
    """The name of the reader that fits the file, and the blocks it reads, as the recipe's source says."""
    if recipe.source.encoding and not info.binary:
        info = replace(info, encoding=recipe.source.encoding)
    name, reader = choose_reader(recipe, file, info)
    options = ReadOptions(recipe.task, dict(recipe.labels), recipe.source.columns, limit, recipe.fields)
    return name, reader.read(file, info, options, block_rows)


def choose_reader(recipe: Recipe, file: File, info: FileInfo) -> tuple[str, Any]:
    """The first of the recipe's readers whose layout fits the file. Raises UserError if none does."""
    names = (file.reader,) if file.reader else recipe.source.reader
    if info.binary:
        found = next((name for name in names if info.encoding in READERS[name].binary), None)
        if found is None:
            raise UserError(
                f"{file.name}: is {info.encoding}, which {' and '.join(names)} can't read: reader rows can"
            )
        return found, READERS[found]
    head = ""
    for block in () if info.problem else read_blocks(file.path, info, HEAD):
        head += block
        if len(head) >= HEAD_CHARS:
            break
    for name in names:
        if READERS[name].fits(head[:HEAD_CHARS]):
            return name, READERS[name]
    start = " ".join(head[:120].split())
    raise UserError(f"{file.name}: not in a layout that {' or '.join(names)} reads; it begins with {start!r}")
