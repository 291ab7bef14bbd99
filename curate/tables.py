"""Tables on a terminal (rich) and in a pipe (plain, aligned), and the funnel of a run as such a table."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

from curate.types import SPLITS

#: The steps that no recipe lists, by the name their column gets.
_OWN_STEPS = {"read": "unreadable", "format": "unformattable"}


def print_table(columns: list[str], rows: list[list[str]], *, numbers: bool = False) -> None:
    """Print a table on stdout; with `numbers`, all columns but the first stand right-aligned."""
    if sys.stdout.isatty():
        _print_rich(columns, rows, numbers)
        return
    widths = [max(_width(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    for row in [columns, *rows]:
        cells = []
        for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - _width(cell))
            cells.append(blank + cell if numbers and index else cell + blank)
        print("  ".join(cells).rstrip())


def _print_rich(columns: list[str], rows: list[list[str]], numbers: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if numbers and index else "left", overflow="fold")
    for row in rows:
        # Text, not str: rich would read [brackets] in a title as markup.
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def _width(text: str) -> int:
    """Columns on a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def funnel(manifest: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """A run's funnel: a row a split, what each step removed there, and what was written.

    Each row adds up: read ± moved, less what the steps removed, is written. Steps that removed nothing anywhere have
    no column. `split` and `chunk` remove nothing either: rows moved and parts of rows are in the column `moved`.
    """
    removed: dict[str, dict[str, int]] = {}
    for entry in manifest["steps"]:
        step = removed.setdefault(entry["step"], {})
        step[entry["split"]] = step.get(entry["split"], 0) + sum(entry["reasons"].values())
    removed = {step: counts for step, counts in removed.items() if any(counts.values())}
    splits = manifest["splits"]
    shown = [split for split in SPLITS if split in splits]
    moved = any(splits[split].get("derived", 0) for split in shown)
    names = [_OWN_STEPS.get(step, step) for step in removed]
    columns = ["split", "read", *(["moved"] if moved else []), *names, "written", "flagged"]
    rows = []
    for split in shown:
        numbers = splits[split]
        row = [split, f"{numbers['read']:,}"]
        if moved:
            row.append(f"{numbers.get('derived', 0):+,}")
        row += [f"-{count:,}" if count > 0 else "0" for count in (counts.get(split, 0) for counts in removed.values())]
        rows.append([*row, f"{numbers['written']:,}", f"{numbers['flagged']:,}"])
    return columns, rows
