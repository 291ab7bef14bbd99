"""The first rows of a split as read, as cleaned and as samples, side by side; nothing is written."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from curate.card.draw import sample_text
from curate.lazy import pl
from curate.naming import placed
from curate.recipefile import Recipe
from curate.rejects import printed_id
from curate.trace import Stage, as_samples, context_of, kept, read_rows, trace
from curate.types import SPLITS, File, Records, UserError
from curate.veil import veil_of
from curate.work import passing_folder
from jingtiao.markdown import clip, visible


@dataclass
class Row:
    """One row of a preview. `cleaned` and `sample` are "" where the row doesn't get that far."""

    id: str
    raw: str
    cleaned: str = ""
    sample: str = ""
    said: list[str] = field(default_factory=list)


def preview(recipe: Recipe, sources: list[str], n: int, split: str | None = None) -> str:
    """The first `n` rows of a split (the first split there is) as text: in columns on a terminal, else as lines."""
    from curate.pipeline import open_recipe_source

    rows: list[Row] = []
    with passing_folder() as work:
        source = open_recipe_source(recipe, sources, work)
        there = [name for name in SPLITS if any(file.split == name for file in source.files)]
        if split is not None and split not in there:
            raise UserError(f"the source has no {split} split; it has {', '.join(there)}")
        chosen = split or there[0]
        for file in source.files:
            if file.split == chosen and len(rows) < n:
                for records in read_rows(recipe, file, source.infos[file.path], n - len(rows)):
                    rows += preview_block(recipe, file, records)
    if not rows:
        raise UserError(f"the source has no rows of {chosen}")
    judged = [use.name for use in recipe.steps if use.step.kind == "judgement"]
    note = f"{chosen}: the first {len(rows)} rows" + (f"; not judged here: {', '.join(judged)}" if judged else "")
    note += "; personal details are shown masked" if veil_of(recipe) else ""
    return (_in_columns if sys.stdout.isatty() else _as_lines)(rows, note)


def preview_block(recipe: Recipe, file: File, records: Records) -> list[Row]:
    """The rows of one block of records, unreadable ones among them, in the order of the file."""
    context = context_of(recipe)
    frame = records.frame
    names = list(context.task.fields)
    ids = frame.select(printed_id(pl.col("rid"), {file.number: file.prefix})).to_series().to_list()
    rids = frame["rid"].to_list()
    hide = veil_of(recipe)
    shown = hide(frame) if hide else frame
    read = zip(rids, ids, shown.select(names).to_dicts(), strict=True)
    found = {rid: Row(name, record_text(record)) for rid, name, record in read}
    stages = list(trace(recipe, context, file, frame))
    for stage in stages:
        _note(found, stage)
    cleaned = kept(stages[-1])
    for rid, record in zip(cleaned["rid"].to_list(), cleaned.select(names).to_dicts(), strict=True):
        found[rid].cleaned = record_text(record)
    trailing, made = as_samples(recipe, context, file, cleaned)
    for stage in trailing:
        _note(found, stage)
    for rid, sample in made.items():
        found[rid].sample = sample_text(sample)
    for reject in records.rejects:
        name = f"{file.prefix}/{reject.rid % (1 << 40):09d}"
        said = f"rejected by read: {reject.reason} ({placed(file.name, reject.line)})"
        found[reject.rid] = Row(name, clip(reject.raw), said=[said])
    return [row for _, row in sorted(found.items())]


def record_text(record: dict[str, Any]) -> str:
    """A record, a field a line; empty fields are left out."""
    lines = []
    for name, value in record.items():
        if value is None or value == [] or (value == "" and name in ("title", "source_id", "intent")):
            continue
        text = " / ".join(map(_item_text, value)) if isinstance(value, list) else str(value)
        lines.append(f"{name}: {clip(text)}")
    return "\n".join(lines)


def _item_text(item: Any) -> str:
    """An item of a list; a slot as `name=value`."""
    return f"{item['name']}={item['value']}" if isinstance(item, dict) else str(item)


def _note(found: dict[int, Row], stage: Stage) -> None:
    words = {"reject": "rejected", "flag": "flagged", "note": "noted"}
    for rid, action, reason in stage.said.iter_rows():
        found[rid].said.append(f"{words.get(action, action)} by {stage.step}: {reason}")


def _as_lines(rows: list[Row], note: str) -> str:
    lines = [note]
    for row in rows:
        lines += ["", row.id]
        same = row.cleaned == row.raw
        parts = [("raw", row.raw), ("cleaned", "(unchanged)" if same else row.cleaned), ("sample", row.sample)]
        for name, text in [*parts, *(("verdict", said) for said in row.said)]:
            if text:
                first, *rest = visible(text).split("\n")
                lines += [f"  {name:<8} {first}".rstrip(), *(f"{'':11}{line}".rstrip() for line in rest)]
    return "\n".join(lines)


def _in_columns(rows: list[Row], note: str) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True, header_style="bold", expand=True, title=note, title_justify="left")
    for name in ("raw", "cleaned", "sample"):
        table.add_column(name, ratio=1, overflow="fold")
    for row in rows:
        # Text, not str: rich would read [brackets] of a row as markup.
        said = Text("\n".join(row.said), style="red")
        raw = Text(f"{row.id}\n", style="dim").append(Text(visible(row.raw), style="default"))
        cleaned = Text(visible(row.cleaned))
        table.add_row(
            raw, Text("\n").join([part for part in (cleaned, said) if part.plain]), Text(visible(row.sample))
        )
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n")
