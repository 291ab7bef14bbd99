"""The local pass: bytes → records → leading steps → the check of form, one slice at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from curate.ahead import ahead, side_by_side
from curate.budget import Budget
from curate.card.measure import leak_columns
from curate.card.shown import glimpse, merge
from curate.formatting.render import form_changes, form_verdicts
from curate.lazy import pl
from curate.naming import placed
from curate.readers import READERS
from curate.readers.options import ReadOptions
from curate.recipefile import Recipe
from curate.rejects import from_reading
from curate.slicework import SliceWork, no_flags
from curate.sources import Source
from curate.steps import Context
from curate.steps.cap import ANSWER
from curate.store import Kept, Store
from curate.tally import Tally, add
from curate.text.decode import HEAD, FileInfo, read_blocks
from curate.text.hashing import hash_series, row_hash, seed_of
from curate.text.keys import key_frame, key_series, key_text
from curate.types import RID_BITS, SPLITS, File, Records, UserError
from curate.veil import veil_of, veiled

#: Characters of a file that readers look at to say whether the layout is theirs.
HEAD_CHARS = 65_536

#: Files are worked on together up to so many of their bytes: each alone, a thousand documents would cost seconds.
TOGETHER = 2 << 20


@dataclass
class Block:
    """Rows of a split that are worked on together: a block of one file, or several files that are small."""

    split: str
    number: int
    parts: list[tuple[File, Records]] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0


@dataclass
class Slice:
    """A slice that waits: its split, and how many rows stand before it in the key table and in it."""

    split: str
    start: int
    rows: int


@dataclass
class Share:
    """What one file gave to a slice. `unreadable`: how many rows could not be read; `first`: line, reason, text."""

    number: int
    rows: int
    repaired: dict[str, int]
    unreadable: int = 0
    first: tuple[int, str, str] = (0, "", "")


@dataclass
class Facts:
    """All of a slice that is no frame; it goes to disk with it as JSON."""

    split: str
    shares: list[Share]
    tally: list[Any]
    rows: int
    glimpses: list[dict[str, Any]]
    source_ids: bool = False

    @classmethod
    def of(cls, told: dict[str, Any]) -> Facts:
        """The facts that were written as JSON."""
        shares = [Share(**{**share, "first": tuple(share["first"])}) for share in told.pop("shares")]
        return cls(shares=shares, **told)


@dataclass
class Done:
    """What became of one block: its facts and its keys; the frames that wait for later passes, or where they are."""

    facts: Facts
    keys: pl.DataFrame
    frames: dict[str, pl.DataFrame] | Kept


@dataclass
class FileTally:
    """What reading one file came to."""

    rows: int = 0
    reader: str = ""
    repaired: dict[str, int] = field(default_factory=dict)


class LocalPass:
    """Reads files, each after the other, and keeps what the later passes need."""

    def __init__(
        self, recipe: Recipe, context: Context, tally: Tally, store: Store, slice_rows: int, budget: Budget
    ) -> None:
        self._recipe = recipe
        self._context = context
        self._tally = tally
        self._slice_rows = slice_rows
        self._budget = budget
        self._leading = recipe.leading
        self._veil = veil_of(recipe)
        self.store = store
        self.slices: list[Slice] = []
        self.files: dict[int, FileTally] = {}
        self.prefixes: dict[int, str] = {}
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
        self._unreadable: dict[str, tuple[int, int, tuple[int, str, str]]] = {}

    def read(
        self, source: Source, limit: int | None = None, report: Callable[[str], None] = lambda message: None
    ) -> None:
        """Read all files, at most `limit` rows of each split. Slices that a killed process left are not worked on."""
        self.prefixes = {file.number: file.prefix for file in source.files}
        self._names = {file.number: file.name for file in source.files}
        if self._read_before():
            return
        blocks = ahead(self._blocks(source, limit, report))
        for done in side_by_side(self._block, blocks, self._context.workers):
            self._keep(done)
        self.store.end({number: file.reader for number, file in self.files.items()})

    def _read_before(self) -> bool:
        """Take over all slices from a process that was killed later on, if it is so: then nothing is read again."""
        slices, readers = self.store.ended() or (0, {})
        found = list(side_by_side(self.store.restore, iter(range(slices)), self._context.workers))
        if not found or None in found:
            return False
        self.files = {int(number): FileTally(reader=name) for number, name in readers.items()}
        for kept in found:
            if kept is not None:
                self._keep(Done(Facts.of(kept.facts), kept.read("keys"), kept))
        return True

    def _blocks(self, source: Source, limit: int | None, report: Callable[[str], None]) -> Iterator[Block]:
        """The blocks of all files: the next file is begun while the last blocks of one are still worked on."""
        rows: dict[str, int] = {}
        number = 0
        block: Block | None = None
        for file in source.files:
            report(f"reading {file.name}")
            left = None if limit is None else limit - rows.get(file.split, 0)
            info = source.infos[file.path]
            slice_rows = self._budget.slice_rows.get(file.number, self._slice_rows)
            name, blocks = read_file(self._recipe, file, info, left, slice_rows)
            self.files.setdefault(file.number, FileTally(reader=name))
            if left is not None and left <= 0:
                continue
            size = info.bytes
            for records in blocks:
                rows[file.split] = rows.get(file.split, 0) + records.rows
                if block is not None and not self._fit(block, file.split, records.rows, size):
                    yield block
                    block = None
                if block is None:
                    block = Block(file.split, number)
                    number += 1
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
        shares = [_share(file, records) for file, records in block.parts]
        if (kept := self.store.restore(block.number)) is not None:
            facts = Facts.of(kept.facts)
            if [(share.number, share.rows) for share in facts.shares] == [(one.number, one.rows) for one in shares]:
                return Done(facts, kept.read("keys"), kept)
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
        rows = work.rows.with_columns(keys[name] for name in self._held)
        facts = Facts(split, shares, work.tally.lines(), len(rows), glimpses)
        if self._context.task.name == "mrc":
            facts.source_ids = bool((rows["source_id"].fill_null("") != "").any())
        frames = {"rows": rows, "rejects": rejects, "flags": pl.concat([no_flags(), *work.flags])}
        return Done(facts, keys.drop(self._held), frames)

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
        facts, split = done.facts, done.facts.split
        for share in facts.shares:
            self._read[split] = self._read.get(split, 0) + share.rows
            seen = self.files[share.number]
            seen.rows += share.rows
            add(seen.repaired, share.repaired)
            if share.unreadable:
                n, number, first = self._unreadable.get(split, (0, share.number, share.first))
                self._unreadable[split] = (n + share.unreadable, number, first)
        self._tally.merge(Tally.of(facts.tally))
        self._glimpses[split] = merge(self._glimpses.get(split, []), facts.glimpses)
        start = self.slices[-1].start + self.slices[-1].rows if self.slices else 0
        self.slices.append(Slice(split, start, facts.rows))
        self._budget.check(start + facts.rows)
        if isinstance(done.frames, Kept):
            self.store.adopt(done.frames)
        else:
            self.store.append(done.frames, facts, {"keys": done.keys})
        self._keys.append(done.keys)
        self.has_source_ids |= facts.source_ids

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
                bad, number, (line, reason, raw) = self._unreadable[split]
                shown = " ".join(raw.split())[:120]
                raise UserError(
                    f"{placed(self._names[number], line)}: {bad} of the {read} rows of {split} can't be read; the "
                    f"first is a case of {reason}: {shown!r}; is this the right file? "
                    "--set source.columns=… names its columns"
                )
        if not any(self._read.values()):
            raise UserError("the source has no rows; name other files with --source")


def _share(file: File, records: Records) -> Share:
    first = next(iter(records.rejects), None)
    told = (first.line, first.reason, first.raw) if first else (0, "", "")
    return Share(file.number, records.rows, dict(records.counts), len(records.rejects), told)


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
    if READERS[names[0]].any_text:
        return names[0], READERS[names[0]]
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
