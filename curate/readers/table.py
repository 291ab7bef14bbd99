"""Rows of columns: TSV (never quoted) and comma CSV (quoted), for pairs and classification.

How the lines of a TSV become columns is told in `tsv.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from curate.lazy import pl
from curate.readers import tsv
from curate.readers.columns import Layout, find_layout
from curate.readers.csvrows import csv_rows
from curate.readers.names import ALIASES, EXTRA_ALIASES, label_lookup, plain
from curate.readers.options import ReadOptions, reject, rid
from curate.readers.tsv import Block
from curate.text.decode import HEAD, FileInfo, read_lines
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
    if strange := [name for name in options.extra if name not in EXTRA_ALIASES]:
        raise UserError(
            f"{file.name}: a table has no column for {' and '.join(strange)}: leave it out of the recipe's fields"
        )
    head = list(islice(chain.from_iterable(read_lines(file.path, info, HEAD)), HEAD_LINES))
    layout = find_layout(file.name, head, options)
    counts: Counter[str] = Counter()
    above = 0
    if layout.header:
        above = next(i for i, line in enumerate(head, 1) if line.strip())  # the header is the first that isn't blank
        counts["header"] = 1
        counts["blank_lines"] = above - 1
    if layout.delimiter == "\t" and options.limit is None and tsv.plain(info, layout.width, above):
        blocks = tsv.from_bytes(file.path, info, above, layout.width, block_rows)
    else:
        lines = islice(chain.from_iterable(read_lines(file.path, info)), above, None)
        cut = tsv.from_lines if layout.delimiter == "\t" else _csv_blocks
        blocks = cut(lines, above + 1, layout.width, block_rows, options.limit)
    return _read(file, options, layout, blocks, counts)


def _read(
    file: File, options: ReadOptions, layout: Layout, blocks: Iterator[Block], counts: Counter[str]
) -> Iterator[Records]:
    row, empty = 0, True
    for block in blocks:
        counts["blank_lines"] += block.blank
        if not block.rows:
            continue  # nothing but blank lines, which are counted with the next rows
        yield _records(file, options, layout, block, row, counts)
        row += block.rows
        empty = False
    if empty or any(counts.values()):
        yield _records(file, options, layout, Block([], [], [], None, [], 0, 0), row, counts)


def _csv_blocks(lines: Iterable[str], line: int, width: int, size: int, limit: int | None) -> Iterator[Block]:
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
        yield Block(raws, where, numbers, series, bad, counts.pop("blank_lines", 0), len(part))
    if counts:
        yield Block([], [], [], [pl.Series(dtype=pl.String)] * width, [], counts["blank_lines"], 0)


def _records(
    file: File, options: ReadOptions, layout: Layout, block: Block, first: int, counts: Counter[str]
) -> Records:
    cells = block.cut(layout.width)
    fields = options.schema()
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
    frame = pl.DataFrame(columns).select("rid", *fields)
    if keep is not None:
        frame = frame.filter(keep)
    rejects.sort(key=lambda one: one.rid)
    taken = {name: count for name, count in counts.items() if count}
    counts.clear()
    return Records(frame, rejects, taken, block.rows)


def _labels(cells: pl.Series, options: ReadOptions, counts: Counter[str]) -> tuple[pl.Series, pl.Series | None]:
    """The label keys, and which rows may stay (None: all)."""
    # Few distinct cells in a proper file, so each is looked up once.
    distinct = cells.unique().to_list()
    found = label_lookup(distinct, options.labels)
    if all(found.get(cell) == cell for cell in distinct):
        return cells.alias("label"), None
    keys = cells.replace_strict(list(found), list(found.values()), default=None, return_dtype=pl.String).alias("label")
    if not (nulls := keys.null_count()):
        return keys, None
    empty = cells.str.strip_chars() == ""
    counts["unlabelled"] += int(empty.sum())
    return keys, None if empty.sum() == nulls else (keys.is_not_null() | empty)


def _outside(file: File, block: Block, first: int, keep: pl.Series) -> list[ReadReject]:
    out = ~keep
    triples = zip(block.where.filter(out), block.raw.filter(out), block.lines.filter(out), strict=True)
    return [reject(file, first + row, "label_outside_list", raw, line) for row, raw, line in triples]
