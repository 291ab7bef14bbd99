"""Rows of columns: TSV (never quoted) and comma CSV (quoted), for pairs and classification.

TSV has no quoting in these corpora: with a CSV reader's default, one stray quote silently swallows the rows up to
the next. The lines are split by polars, without any Python per row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from curate.lazy import pl
from curate.readers.columns import ALIASES, Layout, find_layout, label_lookup, plain
from curate.readers.csvrows import csv_rows
from curate.readers.options import ReadOptions, reject, rid
from curate.tasks import TASKS
from curate.text.decode import FileInfo, read_lines
from curate.types import File, ReadReject, Records, UserError

#: Lines that the layout is found out from.
HEAD_LINES = 1000
_JSON_START = re.compile(r'\s*(\{\s*("|\}|$)|\[\s*(["{\]]|\[|$))')


def fits(head: str) -> bool:
    """Most of the first lines have a tab or a comma, or the only column is named; no JSON, no pseudo-XML."""
    if _JSON_START.match(head) or head.lstrip().startswith(("<doc", "<?xml", "<question")):
        return False
    lines = [line for line in head.split("\n")[:50] if line.strip()]
    if not lines:
        return False
    # A CSV whose quoted fields hold line ends has lines without a comma.
    wide = any(3 * sum(mark in line for line in lines) >= len(lines) for mark in "\t,")
    return wide or plain(lines[0]) in ALIASES["classification"]["text"]


def read(file: File, info: FileInfo, options: ReadOptions, block_rows: int) -> Iterator[Records]:
    """The records of a TSV or CSV file; the layout follows from its first lines or `options.columns`."""
    if options.task not in ("pair", "classification"):
        raise UserError(
            f"{file.name}: a table holds sentence pairs or labelled texts, the recipe's task is {options.task}"
        )
    blocks = iter(read_lines(file.path, info))
    head: list[str] = []
    while len(head) < HEAD_LINES and (more := next(blocks, None)) is not None:
        head.extend(more)
    layout = find_layout(file.name, head[:HEAD_LINES], options)
    lines = chain(head, chain.from_iterable(blocks))
    return _read(file, options, block_rows, layout, lines)


def _read(
    file: File, options: ReadOptions, block_rows: int, layout: Layout, lines: Iterator[str]
) -> Iterator[Records]:
    counts: Counter[str] = Counter()
    line = 1
    if layout.header:
        for text in lines:  # the header is the first line that isn't blank
            line += 1
            if text.strip():
                break
            counts["blank_lines"] += 1
        counts["header"] += 1
    if layout.delimiter == "\t":
        blocks = _tsv_blocks(lines, line, layout.width, block_rows, options.limit)
    else:
        blocks = _csv_blocks(lines, line, layout.width, block_rows, options.limit)
    row, empty = 0, True
    for block in blocks:
        counts["blank_lines"] += block.blank
        yield _records(file, options, layout, block, row, counts)
        row += block.rows
        empty = False
    if empty:
        yield _records(file, options, layout, _Block([], [], [], None, [], 0, 0), 0, counts)


class _Block:
    """Lines of the right width (as a Series, cells cut or still to cut), and the others with their reasons."""

    __slots__ = ("bad", "blank", "cells", "lines", "raw", "rows", "where")

    def __init__(
        self,
        raw: list[str] | pl.Series,
        where: list[int] | pl.Series,
        lines: list[int] | pl.Series,
        cells: list[pl.Series] | None,
        bad: list[tuple[int, str, str, int]],
        blank: int,
        rows: int,
    ) -> None:
        self.raw = raw if isinstance(raw, pl.Series) else pl.Series("raw", raw, dtype=pl.String)
        self.where = where if isinstance(where, pl.Series) else pl.Series("row", where, dtype=pl.UInt64)
        self.lines = lines if isinstance(lines, pl.Series) else pl.Series("line", lines, dtype=pl.UInt64)
        self.cells, self.bad, self.blank, self.rows = cells, bad, blank, rows

    def cut(self, width: int) -> list[pl.Series]:
        """The columns."""
        if self.cells is not None:
            return self.cells
        if width == 1:
            return [self.raw]
        return self.raw.str.split_exact("\t", width - 1).struct.unnest().get_columns()


def _tsv_blocks(lines: Iterator[str], line: int, width: int, size: int, limit: int | None) -> Iterator[_Block]:
    left = limit
    while left is None or left > 0:
        part = list(islice(lines, size if left is None else min(size, left)))
        if not part:
            return
        block = _tsv_block(part, line, width)
        line += len(part)
        left = None if left is None else left - block.rows
        yield block


def _tsv_block(part: list[str], line: int, width: int) -> _Block:
    raw = pl.Series("raw", part, dtype=pl.String)
    index = pl.int_range(len(part), dtype=pl.UInt64, eager=True)
    tabs = raw.str.count_matches("\t", literal=True)
    wrong = (tabs != width - 1) if width > 1 else (tabs != 0) | (raw.str.strip_chars() == "")
    if not wrong.any():
        return _Block(raw, index.alias("row"), index + line, None, [], 0, len(part))
    # Only the lines that are not as wide as the others are looked at one by one: blank, too few or too many columns.
    blanks = [i for i in wrong.arg_true().to_list() if "\t" not in part[i] and not part[i].strip()]
    skip = pl.Series([False]).new_from_index(0, len(part)).scatter(blanks, True) if blanks else None
    # A blank line gets its predecessor's number (-1 at the start), and is filtered out below.
    where = index if skip is None else (~skip).cast(pl.Int64).cum_sum() - 1
    bad = []
    blank_set = set(blanks)
    for i in wrong.arg_true().to_list():
        if i not in blank_set:
            reason = "too_few_columns" if part[i].count("\t") < width - 1 else "too_many_columns"
            bad.append((where[i], reason, part[i], line + i))
    good = ~wrong
    return _Block(
        raw.filter(good),
        where.filter(good),
        index.filter(good) + line,
        None,
        bad,
        len(blanks),
        len(part) - len(blanks),
    )


def _csv_blocks(lines: Iterable[str], line: int, width: int, size: int, limit: int | None) -> Iterator[_Block]:
    counts: Counter[str] = Counter()
    rows = islice(csv_rows(lines, line, counts), limit)
    while part := list(islice(rows, size)):
        good, bad = [], []
        for i, (cells, raw, number) in enumerate(part):
            if isinstance(cells, str):
                bad.append((i, cells, raw, number))
            elif len(cells) != width:
                bad.append((i, "too_few_columns" if len(cells) < width else "too_many_columns", raw, number))
            else:
                good.append((i, number, raw, cells))
        columns = zip(*(cells for *_, cells in good), strict=True) if good else [()] * width
        series = [pl.Series(str(i), column, dtype=pl.String) for i, column in enumerate(columns)]
        where, numbers, raws = ([row[k] for row in good] for k in range(3))
        yield _Block(raws, where, numbers, series, bad, counts.pop("blank_lines", 0), len(part))
    if counts:
        yield _Block([], [], [], [pl.Series(dtype=pl.String)] * width, [], counts["blank_lines"], 0)


def _records(
    file: File, options: ReadOptions, layout: Layout, block: _Block, first: int, counts: Counter[str]
) -> Records:
    cells = block.cut(layout.width)
    fields = TASKS[options.task].schema()
    columns = [(block.where + rid(file, first)).cast(pl.UInt64).alias("rid")]
    columns += [cells[layout.fields[name]].alias(name) for name in fields if name != "label"]
    rejects = [reject(file, first + row, reason, raw, line) for row, reason, raw, line in block.bad]
    label = layout.fields.get("label")
    keep = None
    if label is None:
        columns.append(pl.Series("label", [None], dtype=pl.String).new_from_index(0, len(block.raw)))
        if len(block.raw):
            counts["unlabelled"] += len(block.raw)
    else:
        column, keep = _labels(cells[label], options, counts)
        columns.append(column)
        if keep is not None:
            rejects += _outside(file, block, first, keep)
    frame = pl.DataFrame(columns)
    if keep is not None:
        frame = frame.filter(keep)
    rejects.sort(key=lambda one: one.rid)
    taken = {name: count for name, count in counts.items() if count}
    counts.clear()
    return Records(frame, rejects, taken, block.rows)


def _labels(cells: pl.Series, options: ReadOptions, counts: Counter[str]) -> tuple[pl.Series, pl.Series | None]:
    """The label keys, and which rows may stay (None: all)."""
    # Few distinct cells in a proper file, so each is looked up once.
    found = label_lookup(cells.unique().to_list(), options.labels)
    keys = cells.replace_strict(list(found), list(found.values()), default=None, return_dtype=pl.String).alias("label")
    if not (nulls := keys.null_count()):
        return keys, None
    empty = cells.str.strip_chars() == ""
    counts["unlabelled"] += int(empty.sum())
    return keys, None if empty.sum() == nulls else (keys.is_not_null() | empty)


def _outside(file: File, block: _Block, first: int, keep: pl.Series) -> list[ReadReject]:
    out = ~keep
    triples = zip(block.where.filter(out), block.raw.filter(out), block.lines.filter(out), strict=True)
    return [reject(file, first + row, "label_outside_list", raw, line) for row, raw, line in triples]
