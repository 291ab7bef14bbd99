"""Rows of a comma CSV with the physical line each begins at; an unclosed quote costs one row, not the rest."""

from __future__ import annotations

import csv
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator

#: A quoted field that runs over more lines than this was never meant to: a stray quote opened it.
MAX_LINES = 500
#: Nor has any row as many cells, each of which is an object; a text of as many commas is too long in any case.
MAX_COMMAS = 1 << 20


class _TooLong(Exception):
    pass


class _TooWide(Exception):
    pass


def csv_rows(
    lines: Iterable[str], first_line: int, counts: Counter[str]
) -> Iterator[tuple[list[str] | str, str, int]]:
    """(cells, raw text, line number) of each row; instead of cells the reason why a row can't be read.

    That is a quote opened and never closed, where the csv module would hand back the whole rest of the file
    as one field, or a carriage return in the middle of a line, at which it stops.
    """
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    source = iter(lines)
    again: deque[str] = deque()
    pulled: list[str] = []

    ended = False

    def feed() -> Iterator[str]:
        nonlocal ended
        while True:
            if len(pulled) > MAX_LINES:
                raise _TooLong
            line = again.popleft() if again else next(source, None)
            if line is None:
                ended = True
                return
            pulled.append(line)
            if len(line) > MAX_COMMAS and line.count(",") > MAX_COMMAS:
                raise _TooWide
            yield line + "\n"

    number = first_line
    reader = csv.reader(feed())
    while True:
        pulled.clear()
        reason = ""
        cells: list[str] | None = None
        try:
            cells = next(reader, None)
            # Only the row that reached the end of the file can have been closed by force.
            if cells is not None and ended and _is_open(pulled):
                reason = "unclosed_quote"
        except _TooLong:
            reason = "unclosed_quote"
        except _TooWide:
            reason = "too_many_columns" if len(pulled) == 1 else "unclosed_quote"
        except csv.Error:
            reason = "stray_carriage_return"
        if reason:
            # Put back all but the line at fault, and start afresh behind it.
            again.extendleft(reversed(pulled[1:]))
            ended = False
            yield reason, pulled[0], number
            number += 1
            reader = csv.reader(feed())
            continue
        if cells is None:
            return
        if not cells or (len(cells) == 1 and not cells[0].strip()):
            counts["blank_lines"] += len(pulled)
        else:
            yield cells, pulled[0] if len(pulled) == 1 else "\n".join(pulled), number
        number += len(pulled)


def _is_open(pulled: list[str]) -> bool:
    """Whether a quote is still open at the end of these lines: then one more line would belong to the same row."""
    rows = csv.reader([*(line + "\n" for line in pulled), "x\n"])
    return sum(1 for _ in rows) == 1
