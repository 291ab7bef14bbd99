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
) -> Written:
    """Write every slice's samples and rejects, in the order of the splits and of the rows."""
    maker = _Maker(recipe, context, templates, local, state)
    keeper = _Keeper(local, tally, run, Measure(context, Shown(context, local.glimpses(), state)))
    order = sorted(range(len(local.slices)), key=lambda i: (SPLITS.index(local.slices[i].split), i))

    def slices() -> Iterator[tuple[Slice, pl.DataFrame]]:
        for index in order:
            yield local.slices[index], local.store.take(index)

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
        self._flags = [*local.flags, *state.flags]
        self._sizes = state.clusters.sizes() if state.clusters else None

    def make(self, item: tuple[Slice, pl.DataFrame]) -> Made:
        """One slice: the rejects of all passes, and the lines of each split it feeds."""
        piece, rows = item
        state = self._state.rows.slice(piece.start, piece.rows)
        rows = rows.with_columns(state["split"], state["alive"], state[KEY], state[LEAK])
        gone = rows.filter(~pl.col("alive"))
        rejects = [piece.rejects]
        if len(gone):
            said = self._state.rejects.join(gone.select("rid"), on="rid", how="semi")
            split = pl.col("split").cast(pl.String)
            fields = list(self._context.task.fields)
            rejects.append(from_verdicts(gone.drop("alive"), said, pl.col("step"), split, fields))
            rows = rows.filter("alive")
        if self._sizes is not None:
            sizes = rows.select("rid").join(self._sizes, on="rid", how="left", maintain_order="left")
            rows = rows.with_columns(sizes[CLUSTER_SIZE].fill_null(1))
        parts = []
        for split in rows["split"].unique().sort().to_list():
            records = rows.filter(pl.col("split") == split).drop("split", "alive")
            parts.append(self._samples(split, records))
        rejects += [reject for part in parts for reject in part.work.rejects]
        return Made(parts, pl.concat(rejects).sort("rid"))

    def _samples(self, split: str, records: pl.DataFrame) -> Part:
        work = SliceWork(records, split, self._context)
        for use in self._trailing:
            work.run(use)
        prefixes, ids = self._local.prefixes, self._local.has_source_ids
        name = printed_id(pl.col("rid"), prefixes)
        rows = self._with_flags(work)
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

    def _with_flags(self, work: SliceWork) -> pl.DataFrame:
        flags = [frame for frame in (*self._flags, *work.flags) if len(frame)]
        if not flags:
            return work.rows.with_columns(flags=pl.lit(""))
        here = pl.concat(
            [frame.join(work.rows.select("rid"), on="rid", how="semi", maintain_order="left") for frame in flags]
        )
        joined = here.group_by("rid", maintain_order=True).agg(flags=pl.col("flag").str.join(","))
        return work.rows.join(joined, on="rid", how="left", maintain_order="left").with_columns(
            pl.col("flags").fill_null("")
        )


class _Keeper:
    """Writes what was made, in order, and adds it up."""

    def __init__(self, local: LocalPass, tally: Tally, run: RunFolder, measure: Measure) -> None:
        self._local, self._tally, self._run = local, tally, run
        self._late: list[pl.DataFrame] = []
        self._keys: dict[str, list[pl.DataFrame]] = {}
        self._behind = Behind()
        self.result = Written(measure)
        run.output("rejected.jsonl")

    def keep(self, made: Made) -> None:
        for part in made.parts:
            work, lines = part.work, part.lines
            self._tally.merge(work.tally)
            for words, counts in work.words:
                self.result.measure.words(words, counts)
            self._late += [rejects.select("rid") for rejects in work.rejects]
            if len(lines):
                self.result.measure.records(work.split, part.records)
                self.result.measure.rendered(lines)
                self._keys.setdefault(work.split, []).append(part.keys)
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
        self._run.files.append(write_sidecar(self._run.folder / FILE, self._keys))
        self._behind.done()
        if self._late:
            late = pl.concat(self._late).select(printed_id(pl.col("rid"), self._local.prefixes))
            unlink_kept(self._run, set(late.to_series().to_list()))

    def abandon(self) -> None:
        """After an error: let the writing thread end before the folder is removed."""
        self._behind.abandon()


def _write_lines(lines: pl.DataFrame, output: Output) -> None:
    for part in lines.select("line").iter_slices(_LINES):
        output.write(part.to_series().str.join("\n").cast(pl.Binary).item())
        output.write(b"\n")
    output.rows += len(lines)


def unlink_kept(run: RunFolder, late: set[str]) -> None:
    """Set `kept_id` to null where its chain ends at one of the ids in `late`, which were rejected after all."""
    output = run.output("rejected.jsonl")
    output.stream.close()
    lines = output.path.read_text(encoding="utf-8").split("\n")[:-1]
    links = {row["id"]: row["kept_id"] for row in map(json.loads, lines)}

    def lost(name: str | None) -> bool:
        while name is not None and name not in late:
            name = links.get(name)
        return name is not None

    kept_lines = []
    for line in lines:
        row = json.loads(line)
        if lost(row["kept_id"]):
            row["kept_id"] = None
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        kept_lines.append(line + "\n")
    run.rewrite("rejected.jsonl", "".join(kept_lines).encode())
