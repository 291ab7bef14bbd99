"""TSV lines into columns: `from_lines` for any file, `from_bytes` for the usual one; both say the same.

TSV has no quoting in these corpora: with a CSV reader's default, one stray quote silently swallows the rows up to
the next. Lines are split by polars, without any Python per row.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from curate.lazy import pl
from curate.text.decode import FileInfo, byte_lines


class Block:
    """Lines of the right width (as a Series, cells cut or still to cut), and the others with their reasons."""

    __slots__ = ("_raw", "bad", "blank", "cells", "lines", "rows", "where")

    def __init__(
        self,
        raw: list[str] | pl.Series | None,
        where: list[int] | pl.Series,
        lines: list[int] | pl.Series,
        cells: list[pl.Series] | None,
        bad: list[tuple[int, str, str, int]],
        blank: int,
        rows: int,
    ) -> None:
        self._raw = pl.Series("raw", raw, dtype=pl.String) if isinstance(raw, list) else raw
        self.where = where if isinstance(where, pl.Series) else pl.Series("row", where, dtype=pl.UInt64)
        self.lines = lines if isinstance(lines, pl.Series) else pl.Series("line", lines, dtype=pl.UInt64)
        self.cells, self.bad, self.blank, self.rows = cells, bad, blank, rows

    @property
    def raw(self) -> pl.Series:
        """The lines as they stand in the file."""
        if self._raw is None:
            assert self.cells is not None
            self._raw = pl.select(pl.concat_str(self.cells, separator="\t")).to_series()
        return self._raw

    def cut(self, width: int) -> list[pl.Series]:
        """The columns."""
        if self.cells is not None:
            return self.cells
        if width == 1:
            return [self.raw]
        return self.raw.str.split_exact("\t", width - 1).struct.unnest().get_columns()


def from_lines(lines: Iterator[str], line: int, width: int, size: int, limit: int | None) -> Iterator[Block]:
    """Blocks of `size` lines; `line` is the number of the first."""
    left = limit
    while left is None or left > 0:
        part = list(islice(lines, size if left is None else min(size, left)))
        if not part:
            return
        block = _block(part, line, width)
        line += len(part)
        left = None if left is None else left - block.rows
        yield block


def plain(info: FileInfo, width: int, above: int) -> bool:
    """Whether `from_bytes` can read it: its bytes are its text, and at most one line (`above`) precedes its rows."""
    return width > 1 and above < 2 and info.encoding == "utf-8" and info.newline == "\n" and not info.nul


def from_bytes(path: Path, info: FileInfo, above: int, width: int, size: int) -> Iterator[Block]:
    """What `from_lines` makes of the lines below the header (`above` is 1 if there is one) of a file that is `plain`.

    polars cuts the bytes itself. Only where that isn't certain to give the same rows, the lines are looked at.
    """
    line = 1
    for data in byte_lines(path, info):
        if line <= above:
            data = data.partition(b"\n")[2]
            line += 1
        frame = _columns(data, width) if data else pl.DataFrame()
        if frame is None:
            lines = _lines(data)
            yield from from_lines(iter(lines), line, width, size, None)
            line += len(lines)
            continue
        for part in frame.iter_slices(size):
            index = pl.int_range(len(part), dtype=pl.UInt64, eager=True).alias("row")
            yield Block(None, index, index + line, part.get_columns(), [], 0, len(part))
            line += len(part)


def _columns(data: bytes, width: int) -> pl.DataFrame | None:
    """The columns of whole lines, or None where one of them is not `width` cells that all have a text.

    A row that is too short would have nulls; with none, all that is left to go wrong is that something was dropped (a
    carriage return, a byte order mark, a blank line, a cell too many): then the bytes of the cells don't add up.
    polars makes columns of all cells of the first line, asked for or not, and a line may be nothing but tabs.
    """
    if data[: data.find(b"\n") + 1 or None].count(b"\t") != width - 1:
        return None
    schema = {str(i): pl.String for i in range(width)}
    try:
        frame = pl.read_csv(data, separator="\t", quote_char=None, has_header=False, schema=schema)
    except pl.exceptions.PolarsError:
        return None
    if any(column.null_count() for column in frame):
        return None
    cells = sum(int(column.str.len_bytes().sum()) for column in frame)
    return frame.rechunk() if cells + width * len(frame) == len(data) + (not data.endswith(b"\n")) else None


def _lines(data: bytes) -> list[str]:
    lines = data.decode("utf-8", "replace").split("\n")
    lines = [line.rstrip("\r") for line in lines] if b"\r" in data else lines
    return lines if lines[-1] else lines[:-1]


def _block(part: list[str], line: int, width: int) -> Block:
    raw = pl.Series("raw", part, dtype=pl.String)
    index = pl.int_range(len(part), dtype=pl.UInt64, eager=True)
    tabs = raw.str.count_matches("\t", literal=True)
    wrong = (tabs != width - 1) if width > 1 else (tabs != 0) | (raw.str.strip_chars() == "")
    if not wrong.any():
        return Block(raw, index.alias("row"), index + line, None, [], 0, len(part))
    # Only the lines that are not as wide as the others are looked at one by one: blank, too few or too many columns.
    # Empty ones are known without a look: a file may end in millions of them.
    blank = raw.str.len_bytes() == 0
    odd = (wrong & ~blank).arg_true().to_list()
    if spaces := [i for i in odd if "\t" not in part[i] and not part[i].strip()]:
        blank = blank.scatter(spaces, True)
    # A blank line gets its predecessor's number (-1 at the start), and is filtered out below.
    where = (~blank).cast(pl.Int64).cum_sum() - 1
    bad = []
    for i in sorted(set(odd).difference(spaces)):
        reason = "too_few_columns" if part[i].count("\t") < width - 1 else "too_many_columns"
        bad.append((where[i], reason, part[i], line + i))
    good = ~wrong
    blanks = int(blank.sum())
    return Block(
        raw.filter(good),
        where.filter(good),
        index.filter(good) + line,
        None,
        bad,
        blanks,
        len(part) - blanks,
    )
