"""Rows of named values: JSON Lines of objects, a JSON list of them, Parquet, Excel, and tables with a header.

Which column is which field is known by the names corpora use, or said by `source.columns` as {field: column}; what the
values become is told in `rowvalues.py`. Files of any size are read block by block.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from curate.lazy import pl
from curate.readers.columns import find_delimiter
from curate.readers.csvrows import csv_rows
from curate.readers.dialogue import joined
from curate.readers.jsonstream import JsonStream
from curate.readers.names import ALIASES, NEEDED, find_fields, match_names, plain
from curate.readers.options import Problem, ReadOptions, collect
from curate.readers.rowvalues import BadValue, RecordMaker
from curate.readers.workbook import sheet_rows
from curate.text.decode import HEAD, FileInfo, read_blocks, read_lines
from curate.types import File, Records, UserError

#: Rows that the names and the label column are found out from.
HEAD_ROWS = 1000
#: Rows of a Parquet file taken into Python at a time.
_PARQUET_ROWS = 8192
_LIST = re.compile(r"\s*\[\s*(\{|\]|$)")
_OBJECT = re.compile(r'\s*\{\s*("|\}|$)')
#: An object that is a tree of rows, not a row.
_TREE = re.compile(r'"(data|paragraphs|qas)"\s*:\s*\[\s*\{')


@dataclass(frozen=True)
class Item:
    """A row: its number (of the line, where rows are lines), its values by name, its text if it has one of its own."""

    number: int
    values: dict[str, Any]
    raw: str = ""


#: The same of a row whose columns have no names yet: its number, its cells, its text.
_Cells = tuple[int, list[Any], str]


@dataclass(frozen=True)
class Rows:
    """The columns' names, the first rows, and a call that gives all rows, with the named columns at least.

    `loose` where cells are texts or numbers only, and a list stands in one as text.
    """

    names: list[str]
    head: list[Item | Problem]
    all: Callable[[list[str]], Iterator[Item | Problem]]
    loose: bool = False


def fits(head: str) -> bool:
    """JSON objects, in lines or in a list, but no tree of articles; or lines, of which the first may be a header."""
    if _LIST.match(head) or _OBJECT.match(head):
        return not _TREE.search(head[:2000])
    return not head.lstrip().startswith(("[", "{", "<"))


def read(file: File, info: FileInfo, options: ReadOptions, block_rows: int) -> Iterator[Records]:
    """The records of a file of rows."""
    counts: Counter[str] = Counter()
    rows = open_rows(file, info, options, counts)
    stream = _records(rows, file.name, options, counts)
    if options.task == "dialogue":
        stream = joined((row if isinstance(row, Problem) else row[0] for row in stream), counts)
    yield from collect(file, options, block_rows, stream, counts)


def open_rows(file: File, info: FileInfo, options: ReadOptions, counts: Counter[str]) -> Rows:
    """The rows of a file as they stand in it; `counts` is added to while they are taken."""
    if info.encoding == "parquet" and info.binary:
        return _parquet(_by_name(file, options), info)
    if info.binary:
        cells = ((n, cells, "") for n, cells in sheet_rows(file.path, file.name, counts, info.stamp))
        return _cells(file, cells, options, counts)
    start = next((text for block in read_blocks(file.path, info, HEAD) if (text := block.lstrip())), "")
    if start.startswith("["):
        return _objects(_by_name(file, options), _list_items(JsonStream(file.name, read_blocks(file.path, info))))
    if start.startswith("{"):
        return _objects(_by_name(file, options), _line_items(file, info, counts))
    return _cells(file, _table_items(file, info, counts), options, counts)


def _by_name(file: File, options: ReadOptions) -> File:
    if isinstance(options.columns, tuple):
        raise UserError(
            f"{file.name}: its values have names, so source.columns is a mapping, like "
            f"--set 'source.columns={{{NEEDED[options.task][0]}: {options.columns[0]}}}'"
        )
    return file


def _records(rows: Rows, name: str, options: ReadOptions, counts: Counter[str]) -> Iterator[Any]:
    seen = [item.values for item in rows.head if isinstance(item, Item)]
    if not rows.names and len(rows.head) == HEAD_ROWS:
        raise UserError(f"{name}: none of the first {HEAD_ROWS} rows is an object of names and values")
    fields = find_fields(name, rows.names, seen, options) if rows.names else {}
    make = RecordMaker(fields, options, counts, rows.loose)
    for item in rows.all(list(fields.values())):
        if isinstance(item, Problem):
            yield item
            continue
        try:
            yield make(item.values)
        except BadValue as bad:
            yield Problem(bad.reason, item.raw or _shown(item.values), item.number)


def _shown(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, default=str)


# ---- JSON


def _objects(file: File, items: Iterator[Item | Problem]) -> Rows:
    head = list(islice(items, HEAD_ROWS))
    names = dict.fromkeys(name for item in head if isinstance(item, Item) for name in item.values)
    return Rows(list(names), head, lambda columns: chain(head, items))


def _list_items(stream: JsonStream) -> Iterator[Item | Problem]:
    for number, value in enumerate(stream.items(), 1):
        yield _item(number, value, "")
    if stream.peek():
        stream.fail("text after the end of the list")


def _line_items(file: File, info: FileInfo, counts: Counter[str]) -> Iterator[Item | Problem]:
    decode = json.JSONDecoder().decode
    for number, line in enumerate(chain.from_iterable(read_lines(file.path, info)), 1):
        if not line.strip():
            counts["blank_lines"] += 1
            continue
        try:
            value = decode(line)
        except (ValueError, RecursionError):
            if number == 1 and line.rstrip()[-1] in "{[,:":
                raise UserError(
                    f"{file.name}:1: begins one JSON object over several lines, which is no row: rows are a JSON "
                    "list of objects, or one object a line"
                ) from None
            yield Problem("bad_json", line, number)
            continue
        yield _item(number, value, line)


def _item(number: int, value: Any, raw: str) -> Item | Problem:
    if isinstance(value, dict):
        return Item(number, value, raw)
    return Problem("not_an_object", raw or json.dumps(value, ensure_ascii=False), number)


# ---- columns


def _parquet(file: File, info: FileInfo) -> Rows:
    try:
        frame = pl.scan_parquet(file.path, glob=False)
        names = frame.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _no_parquet(file, info, error) from None

    def rows(columns: list[str] | None, end: int | None = None) -> Iterator[Item | Problem]:
        wanted = frame if columns is None else frame.select(columns)
        first = 0
        while end is None or first < end:
            try:
                part = wanted.slice(first, _PARQUET_ROWS if end is None else end).collect()
            except (pl.exceptions.PolarsError, OSError) as error:
                raise _no_parquet(file, info, error) from None
            if info.stamp is not None:
                info.stamp.check(file.path)
            yield from (Item(n, values) for n, values in enumerate(part.iter_rows(named=True), first + 1))
            if not len(part):
                return
            first += len(part)

    return Rows(names, list(rows(None, HEAD_ROWS)), rows)


def _no_parquet(file: File, info: FileInfo, error: Exception) -> UserError:
    if info.stamp is not None:
        info.stamp.check(file.path)
    what = str(error).split("\n")[0]
    return UserError(f"{file.name}: can't be read as Parquet ({what}): it may be cut short, get it again")


def _cells(file: File, items: Iterator[_Cells | Problem], options: ReadOptions, counts: Counter[str]) -> Rows:
    """Rows of cells below a header; where `source.columns` lists their names, there may be none."""
    first = next(items, None)
    if first is None:
        return Rows([], [], lambda columns: iter(()))
    if isinstance(first, Problem):
        raise UserError(f"{file.name}:{first.line}: the header can't be read ({first.reason}): {first.raw[:200]}")
    names = ["" if cell is None else str(cell).strip() for cell in first[1]]
    if isinstance(options.columns, tuple):
        given = list(options.columns)
        if len(given) != len(names):
            raise UserError(
                f"{file.name}: has {len(names)} columns, but source.columns names {len(given)} ({','.join(given)})"
            )
        if not _same_names(names, given, options.task):
            items = chain([first], items)
            first = None
        names = given
    counts["header"] = first is not None
    named = (item if isinstance(item, Problem) else _named(item, names) for item in items)
    head = list(islice(named, HEAD_ROWS))
    return Rows(names, head, lambda columns: chain(head, named), loose=True)


def _same_names(names: list[str], given: list[str], task: str) -> bool:
    """Whether a first row is a header: these names, or those that corpora use."""
    cells = [plain(name) for name in names]
    known = match_names(cells, ALIASES[task], {})
    return cells == [plain(name) for name in given] or all(field in known for field in NEEDED[task])


def _named(item: _Cells, names: list[str]) -> Item | Problem:
    number, cells, raw = item
    if len(cells) != len(names):
        return Problem("too_few_columns" if len(cells) < len(names) else "too_many_columns", raw, number)
    return Item(number, dict(zip(names, cells, strict=True)), raw)


def _table_items(file: File, info: FileInfo, counts: Counter[str]) -> Iterator[_Cells | Problem]:
    """The rows of a TSV, which is never quoted, or of a comma CSV."""
    lines = chain.from_iterable(read_lines(file.path, info))
    head = list(islice(lines, HEAD_ROWS))
    whole = chain(head, lines)
    filled = [line for line in head if line.strip()]
    # A CSV of one column has no comma in its header.
    single = file.name.lower().endswith(".csv") and "\t" not in filled[0]
    if single or find_delimiter(filled) == ",":
        for cells, raw, number in csv_rows(whole, 1, counts):
            if isinstance(cells, str):
                yield Problem(cells, raw, number)
            else:
                yield number, cells, raw
        return
    for number, line in enumerate(whole, 1):
        if line.strip():
            yield number, line.split("\t"), line
        else:
            counts["blank_lines"] += 1
