"""The writing pass: slices again, without what was rejected; trailing steps; one sample a row."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

from curate.ahead import Behind
from curate.card.measure import Measure
from curate.formatting.lines import sample_lines
from curate.formatting.templates import TemplateSet
from curate.judge import State
from curate.lazy import pl
from curate.local import LocalPass, Slice, count_verdicts, soften
from curate.recipe import Recipe
from curate.rejects import from_verdicts, printed_id, write_rejects
from curate.run import Output, RunFolder
from curate.steps import Context
from curate.steps.segment import word_column
from curate.tally import Tally, add
from curate.types import SPLITS


@dataclass
class Written:
    """Rows per split in the end, and what was measured on the way."""

    written: dict[str, int]
    rejected: dict[str, int]
    flagged: dict[str, int]
    measure: Measure


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
    writer = _Writer(recipe, context, templates, local, state, tally, run)
    order = sorted(range(len(local.slices)), key=lambda i: (SPLITS.index(local.slices[i].file.split), i))
    try:
        for index in order:
            writer.slice(local.slices[index], local.store.take(index))
        writer.finish()
    except BaseException:
        writer.abandon()
        raise
    return writer.result


class _Writer:
    """What the slices of one run share while they are written."""

    def __init__(
        self,
        recipe: Recipe,
        context: Context,
        templates: TemplateSet,
        local: LocalPass,
        state: State,
        tally: Tally,
        run: RunFolder,
    ) -> None:
        self._context, self._templates, self._local = context, templates, local
        self._state, self._tally, self._run = state, tally, run
        from curate.pipeline import leading

        judged = [use for use in recipe.steps if use.step.kind == "local"]
        self._trailing = judged[len(leading(recipe)) :]
        segment = recipe.step("segment")
        fields = (segment.options.fields or context.task.text) if segment else ()
        self._words = [word_column(name) for name in fields] if segment and segment.options.as_ == "meta" else []
        flags = [*local.flags, *state.flags]
        self._flags = _join_flags(pl.concat(flags)) if flags else None
        self._late: set[int] = set()
        self._behind = Behind()
        counts = dict.fromkeys(SPLITS, 0)
        self.result = Written(dict(counts), dict(counts), dict(counts), Measure(context))
        run.output("rejected.jsonl")

    def slice(self, piece: Slice, rows: pl.DataFrame) -> None:
        """One slice: rejects of all passes first, then the samples of each split it feeds."""
        state = self._state.rows.slice(piece.start, piece.rows)
        rows = rows.with_columns(state["split"], state["alive"])
        fields = list(self._context.task.fields)
        gone = rows.filter(~pl.col("alive"))
        rejects = [piece.rejects]
        if len(gone):
            said = self._state.rejects.join(gone.select("rid"), on="rid", how="semi")
            split = pl.col("split").cast(pl.String)
            rejects.append(from_verdicts(gone.drop("alive"), said, pl.col("step"), split, fields))
        alive = rows.filter(pl.col("alive")).drop("alive")
        for split in SPLITS:
            part = alive.filter(pl.col("split") == split).drop("split")
            if len(part):
                rejects.extend(self._samples(split, part))
        self._reject(pl.concat(rejects))

    def _samples(self, split: str, rows: pl.DataFrame) -> list[pl.DataFrame]:
        records = rows
        rows, rejects = self._trail(split, rows)
        rows = self._with_flags(rows).with_columns(id=printed_id(pl.col("rid"), self._local.prefixes))
        ids = self._local.has_source_ids
        lines = sample_lines(rows, self._templates, self._context, split != "train", self._words, ids)
        failed = lines.filter(~pl.col("rendered")).select(
            "rid",
            action=pl.lit("reject"),
            reason=pl.lit("template_error"),
            kept=pl.lit(None, dtype=pl.UInt64),
            score=pl.lit(None, dtype=pl.Float64),
        )
        if len(failed):
            count_verdicts(self._tally, "format", split, failed)
            rejects.append(self._gone(rows, failed, "format", split))
            lines = lines.filter(pl.col("rendered"))
            rows = rows.join(failed, on="rid", how="anti", maintain_order="left")
        if not len(lines):
            return rejects
        self.result.measure.records(split, records.join(rows, on="rid", how="semi", maintain_order="left"))
        self.result.measure.rendered(lines)
        self._behind.call(_write_lines, lines, self._run.output(f"{split}.jsonl"))
        self.result.written[split] += len(lines)
        self.result.flagged[split] += int((rows["flags"] != "").sum())
        return rejects

    def _trail(self, split: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
        """Trailing local steps, on the rows that are left."""
        rejects: list[pl.DataFrame] = []
        for use in self._trailing:
            line = self._tally.line(use.name, split)
            line.rows_in += len(rows)
            outcome = use.step.module.run(rows, use.options, self._context)
            rows = outcome.rows
            add(line.changes, outcome.counts)
            if outcome.words is not None:
                self.result.measure.words(outcome.words, outcome.counts)
            if outcome.verdicts is None or not len(outcome.verdicts):
                continue
            said = soften(outcome.verdicts, use.step.binding, split)
            count_verdicts(self._tally, use.name, split, said)
            flags = said.filter(pl.col("action") == "flag")
            if len(flags):
                more = flags.select("rid", flag=pl.lit(f"{use.name}:") + pl.col("reason"))
                self._flags = _join_flags(more if self._flags is None else pl.concat([self._flags, more]))
            rejected = said.filter(pl.col("action") == "reject")
            if len(rejected):
                rejects.append(self._gone(rows, rejected, use.name, split))
                rows = rows.join(rejected, on="rid", how="anti", maintain_order="left")
        return rows, rejects

    def _gone(self, rows: pl.DataFrame, rejected: pl.DataFrame, step: str, split: str) -> pl.DataFrame:
        self._late.update(rejected["rid"].to_list())
        said = rejected.select("rid", "reason", "kept", "score")
        return from_verdicts(rows, said, step, split, list(self._context.task.fields))

    def _with_flags(self, rows: pl.DataFrame) -> pl.DataFrame:
        if self._flags is None:
            return rows.with_columns(flags=pl.lit(""))
        joined = rows.join(self._flags, on="rid", how="left", maintain_order="left")
        return joined.with_columns(flags=pl.col("flag").fill_null("")).drop("flag")

    def _reject(self, rejects: pl.DataFrame) -> None:
        if not len(rejects):
            return
        rejects = rejects.sort("rid")
        output = self._run.output("rejected.jsonl")
        write_rejects(rejects, self._local.prefixes, output)
        output.rows += len(rejects)
        for split, n in rejects["split"].value_counts().iter_rows():
            self.result.rejected[split] += n
        ids = rejects.select(printed_id(pl.col("rid"), self._local.prefixes)).to_series()
        self.result.measure.rejects(rejects, ids)

    def finish(self) -> None:
        """Rows rejected in this pass may be what earlier rejects point at: nothing survives of those groups."""
        self._behind.done()
        if not self._late:
            return
        late = pl.DataFrame({"rid": pl.Series(sorted(self._late), dtype=pl.UInt64)})
        ids = set(late.select(printed_id(pl.col("rid"), self._local.prefixes)).to_series().to_list())
        unlink_kept(self._run, ids)


    def abandon(self) -> None:
        """After an error: let the writing thread end before the folder is removed."""
        self._behind.abandon()


def _write_lines(lines: pl.DataFrame, output: Output) -> None:
    buffer = io.BytesIO()
    # A line holds no line end and no bare quote that CSV would have to mind: it is written as it is.
    lines.select("line").write_csv(buffer, include_header=False, quote_style="never", line_terminator="\n")
    output.write(buffer.getbuffer())
    output.rows += len(lines)


def _join_flags(flags: pl.DataFrame) -> pl.DataFrame:
    return flags.group_by("rid", maintain_order=True).agg(pl.col("flag").str.join(","))


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


__all__ = ["Written", "write_slices"]
