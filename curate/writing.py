"""The writing pass: slices again, without what was rejected; trailing steps; one sample a row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from curate.ahead import Behind, side_by_side
from curate.card.measure import Measure
from curate.card.shown import Shown
from curate.formatting.lines import sample_lines
from curate.formatting.render import CLUSTER_SIZE
from curate.formatting.templates import TemplateSet
from curate.judge import State
from curate.lazy import pl
from curate.local import LocalPass, Slice
from curate.recipefile import Recipe
from curate.rejects import from_verdicts, printed_id, write_rejects
from curate.run import Output, RunFolder
from curate.sidecar import FILE, KEY, LEAK, sidecar_rows, write_sidecar
from curate.slicework import SliceWork
from curate.steps import Context, verdicts
from curate.steps.chunk import PART, part_id
from curate.steps.segment import word_column
from curate.store import Store
from curate.tally import RENDERING, Tally
from curate.types import SPLITS

#: Lines joined at a time: a megabyte or so, whose memory is used again and again while it is in the processor's cache.
#: A whole slice at once (or polars' CSV writer) spends most of its time on pages that were never touched before.
_LINES = 2048


@dataclass
class Written:
    """Rows per split in the end, and what was measured on the way."""

    measure: Measure
    written: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    rejected: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    flagged: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    derived: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))


@dataclass
class Waiting:
    """A slice as the local pass left it: its rows, and the rejects and flags of its rows so far."""

    piece: Slice
    rows: pl.DataFrame
    rejects: pl.DataFrame
    flags: pl.DataFrame


@dataclass
class Part:
    """What a slice gives to one split: the work, its records, their lines and keys, and how many are flagged."""

    work: SliceWork
    records: pl.DataFrame
    lines: pl.DataFrame
    keys: pl.DataFrame
    flagged: int


@dataclass
class Made:
    """What one slice came to: a part for each split it feeds, and all its rejects."""

    parts: list[Part]
    rejects: pl.DataFrame


def write_slices(
    recipe: Recipe,
    context: Context,
    templates: TemplateSet,
    local: LocalPass,
    state: State,
    tally: Tally,
    run: RunFolder,
    keys: Store,
) -> Written:
    """Write every slice's samples and rejects, in the order of the splits and of the rows.

    `keys` is an empty store, for what becomes keys.parquet.
    """
    maker = _Maker(recipe, context, templates, local, state)
    measure = Measure(context, Shown(context, local.glimpses(), state))
    keeper = _Keeper(local, state, tally, run, keys, measure)
    order = sorted(range(len(local.slices)), key=lambda i: (SPLITS.index(local.slices[i].split), i))

    def slices() -> Iterator[Waiting]:
        for index in order:
            yield Waiting(local.slices[index], *local.store.take(index, "rows", "rejects", "flags"))

    try:
        for made in side_by_side(maker.make, slices(), context.workers):
            keeper.keep(made)
        keeper.finish()
    except BaseException:
        keeper.abandon()
        raise
    return keeper.result


class _Maker:
    """Makes lines of slices; nothing in it changes, so slices can be made side by side."""

    def __init__(
        self, recipe: Recipe, context: Context, templates: TemplateSet, local: LocalPass, state: State
    ) -> None:
        self._context, self._templates, self._local, self._state = context, templates, local, state
        self._trailing = recipe.trailing
        segment = recipe.step("segment")
        fields = (segment.options.fields or context.task.text) if segment else ()
        self._words = [word_column(name) for name in fields] if segment and segment.options.as_ == "meta" else []
        self._rejects = state.rejects.sort("rid")
        self._sizes = state.clusters.sizes().sort("rid") if state.clusters else None

    def make(self, waiting: Waiting) -> Made:
        """One slice: the rejects of all passes, and the lines of each split it feeds."""
        piece, rows = waiting.piece, waiting.rows
        state = self._state.rows.slice(piece.start, piece.rows)
        rows = rows.with_columns(state["split"], state["alive"], state[KEY], state[LEAK])
        gone = rows.filter(~pl.col("alive"))
        rejects = [waiting.rejects]
        flags = [waiting.flags, *(about(rows, frame) for frame in self._state.flags)]
        if len(gone):
            said = about(gone, self._rejects)
            split = pl.col("split").cast(pl.String)
            fields = list(self._context.task.fields)
            rejects.append(from_verdicts(gone.drop("alive"), said, pl.col("step"), split, fields))
            rows = rows.filter("alive")
        if self._sizes is not None:
            sizes = rows.select("rid").join(about(rows, self._sizes), on="rid", how="left", maintain_order="left")
            rows = rows.with_columns(sizes[CLUSTER_SIZE].fill_null(1))
        parts = []
        for split in rows["split"].unique().sort().to_list():
            records = rows.filter(pl.col("split") == split).drop("split", "alive")
            parts.append(self._samples(split, records, flags))
        rejects += [reject for part in parts for reject in part.work.rejects]
        return Made(parts, pl.concat(rejects).sort("rid"))

    def _samples(self, split: str, records: pl.DataFrame, flags: list[pl.DataFrame]) -> Part:
        work = SliceWork(records, split, self._context)
        for use in self._trailing:
            work.run(use)
        prefixes, ids = self._local.prefixes, self._local.has_source_ids
        name = printed_id(pl.col("rid"), prefixes)
        rows = _with_flags(work, flags)
        rows = rows.with_columns(id=part_id(name) if PART in rows.columns else name)
        lines = sample_lines(rows, self._templates, self._context, split != "train", self._words, ids)
        failed = lines.filter(~pl.col("rendered")).unique("rid", maintain_order=True)
        if PART in rows.columns and len(failed):  # where a part fails, its row does, once
            parts = len(work.rows)
            work.rows = work.rows.filter((pl.col(PART) == 0) | ~pl.col("rid").is_in(failed["rid"].implode()))
            work.derive(work.tally.line(RENDERING, split), len(work.rows) - parts)
        work.act("format", True, verdicts(failed, reason="template_error"), RENDERING)
        if len(failed):
            lines = lines.join(failed, on="rid", how="anti", maintain_order="left")
            rows = rows.join(failed, on="rid", how="anti", maintain_order="left")
        if rows["rid"].n_unique() < len(records):
            records = records.join(rows, on="rid", how="semi", maintain_order="left")
        keys = sidecar_rows(rows, split, self._context)
        return Part(work, records, lines, keys, int((rows["flags"] != "").sum()))


def about(rows: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """Of what was said of all rows, sorted by `rid`, that part which is about these rows (and some between them).

    A slice's rows follow one another, so that a look at its ends will do: not one at everything for every slice.
    """
    if not len(rows) or not len(said):
        return said.clear()
    first, last = rows["rid"].sort().gather([0, -1])
    start = said["rid"].search_sorted(first, side="left")
    return said.slice(start, said["rid"].search_sorted(last, side="right") - start)


def _with_flags(work: SliceWork, flags: list[pl.DataFrame]) -> pl.DataFrame:
    """The rows with all flags of each in one text, those of the local pass first."""
    said = [frame for frame in (*flags, *work.flags) if len(frame)]
    if not said:
        return work.rows.with_columns(flags=pl.lit(""))
    here = pl.concat(said).join(work.rows.select("rid"), on="rid", how="semi", maintain_order="left")
    joined = here.group_by("rid", maintain_order=True).agg(flags=pl.col("flag").str.join(","))
    return work.rows.join(joined, on="rid", how="left", maintain_order="left").with_columns(
        pl.col("flags").fill_null("")
    )


class _Keeper:
    """Writes what was made, in order, and adds it up. `keys`: where the sidecar's rows wait until all are there."""

    def __init__(
        self, local: LocalPass, state: State, tally: Tally, run: RunFolder, keys: Store, measure: Measure
    ) -> None:
        self._local, self._state, self._tally, self._run, self._keys = local, state, tally, run, keys
        self._parts: dict[str, list[int]] = {}
        self._late: list[pl.Series] = []
        self._behind = Behind()
        self.result = Written(measure)
        run.output("rejected.jsonl")

    def keep(self, made: Made) -> None:
        for part in made.parts:
            work, lines = part.work, part.lines
            self._tally.merge(work.tally)
            for words, counts in work.words:
                self.result.measure.words(words, counts)
            self._late += [rejects["rid"] for rejects in work.rejects]
            if len(lines):
                self.result.measure.records(work.split, part.records)
                self.result.measure.rendered(lines)
                self._parts.setdefault(work.split, []).append(self._keys.append({"rows": part.keys}))
                self._behind.call(_write_lines, lines, self._run.output(f"{work.split}.jsonl"))
            self.result.written[work.split] += len(lines)
            self.result.flagged[work.split] += part.flagged
            self.result.derived[work.split] += work.derived
        if len(made.rejects):
            output = self._run.output("rejected.jsonl")
            write_rejects(made.rejects, self._local.prefixes, output)
            output.rows += len(made.rejects)
            for split, n in made.rejects["split"].value_counts().iter_rows():
                self.result.rejected[split] += n
            self.result.measure.shown.rejects(made.rejects)

    def finish(self) -> None:
        """Rows rejected in this pass may be what earlier rejects point at: nothing survives of those groups."""
        self._run.files.append(write_sidecar(self._run.folder / FILE, self._sidecar()))
        self._behind.done()
        if self._late:
            late = lost(self._state.rejects, pl.concat(self._late))
            unlink_kept(self._run, late.select(printed_id(pl.col("rid"), self._local.prefixes)).to_series())

    def _sidecar(self) -> Iterator[pl.DataFrame]:
        for split in SPLITS:
            for index in self._parts.get(split, ()):
                yield self._keys.take(index, "rows")[0]

    def abandon(self) -> None:
        """After an error: let the writing thread end before the folder is removed."""
        self._behind.abandon()


def _write_lines(lines: pl.DataFrame, output: Output) -> None:
    for part in lines.select("line").iter_slices(_LINES):
        output.write(part.to_series().str.join("\n").cast(pl.Binary).item())
        output.write(b"\n")
    output.rows += len(lines)


def lost(rejects: pl.DataFrame, late: pl.Series) -> pl.DataFrame:
    """`rid` of the judgements' `rejects` whose chain of kept rows ends at one of `late`, rejected after all."""
    links = rejects.filter(pl.col("kept").is_not_null()).select("rid", "kept")
    found = [links.clear().select("rid")]
    ends = late.alias("kept").to_frame()
    while len(ends):
        found.append(links.join(ends, on="kept", how="semi").select("rid"))
        ends = found[-1].select(kept="rid")
    return pl.concat(found)


def unlink_kept(run: RunFolder, ids: pl.Series) -> None:
    """Set `kept_id` to null in the rejects of these ids."""
    if not len(ids):
        return
    wanted = set(ids)
    output = run.output("rejected.jsonl")
    output.stream.close()
    aside = output.path.with_suffix(".before")
    output.path.rename(aside)
    rewritten = run.again("rejected.jsonl")
    with aside.open("rb") as lines:
        for line in lines:
            row = json.loads(line)
            if row["id"] in wanted:
                row["kept_id"] = None
                line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            rewritten.write(line)
    aside.unlink()
