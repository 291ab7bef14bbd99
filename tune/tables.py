"""Figures and tables as people read them: on a terminal, in a pipe, in a model card."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

#: Figures that are no share of anything: shown as they are; all others are shown in per cent.
UNBOUNDED = ("answer_loss", "perplexity", "mae")
#: Metrics of numbers, not of texts: what is measured of scores, whatever the run's recipe names.
OF_SCORES = ("pearson", "spearman", "mae")
#: Figures of no model: what any model has to beat.
BASELINES = ("majority", "bag_of_characters")


def show_figure(name: str, figure: dict[str, Any] | None, sign: bool = False) -> str:
    """A metric with its interval, `86.8 [85.1, 88.4]`; with `sign` a difference, `+1.7 [-0.3, +3.8]`; – for none."""
    if not isinstance(figure, dict) or not isinstance(figure.get("value"), int | float):
        return "–"
    scale, form = (1, ".3f") if name in UNBOUNDED else (100, ".1f")
    form = f"+{form}" if sign else form
    value, *ends = (format(figure[key] * scale, form) for key in ("value", "low", "high") if key in figure)
    return f"{value} [{', '.join(ends)}]" if ends else value


def show_difference(name: str, difference: dict[str, float] | None) -> str:
    """A difference with its interval, and a * where that leaves out 0."""
    text = show_figure(name, difference, sign=True)
    return f"{text} *" if difference and not difference["low"] <= 0 <= difference["high"] else text


def metric_names(*sections: dict[str, Any] | None) -> list[str]:
    """The metrics of some sections of eval.json, in their order there."""
    named = (key for section in sections if section for key, value in section.items() if isinstance(value, dict))
    return list(dict.fromkeys(named))


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1, last: bool = False) -> str:
    """An aligned table; all columns but the first `texts`, and the last if that is text too, stand right-aligned."""
    widths = [max(map(_width, column)) for column in zip(columns, *rows, strict=True)]
    lines = []
    for row in [columns, *rows]:
        cells = []
        for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blank = " " * (width - _width(cell))
            cells.append(cell + blank if index < texts or (last and index == len(row) - 1) else blank + cell)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1, file: Any = None) -> None:
    """A table on a terminal (rich) or in a pipe (plain)."""
    stream = file or sys.stdout
    if not stream.isatty():
        print(text_table(columns, rows, texts), file=stream)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if index < texts else "right", overflow="fold")
    for row in rows:
        # Text, not str: rich would read the brackets of an interval as markup.
        table.add_row(*map(Text, row))
    Console(file=stream, highlight=False).print(table)


def _width(text: str) -> int:
    """Columns on a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
