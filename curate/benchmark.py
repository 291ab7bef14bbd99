"""Benchmarks outside the corpus: what their files hold of the fields of a task.

A `.txt` file is a text a line. Everything else is rows of named values, as the reader `rows` knows them (JSON Lines, a
JSON list, CSV, TSV, Parquet), the trees of SQuAD and CMRC for task mrc, and lists of utterances for task dialogue.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from curate.binary import binary_info, binary_kind
from curate.lazy import pl
from curate.naming import placed
from curate.readers import READERS
from curate.readers.names import ALIASES, EXTRA_ALIASES, match_names, plain
from curate.readers.options import ReadOptions
from curate.readers.rows import Item, open_rows
from curate.readers.rowvalues import BadValue, text_of, turns_of, unpacked
from curate.tasks import Task
from curate.text.decode import HEAD, FileInfo, read_blocks, read_lines, sniff
from curate.types import File, UserError

#: Layouts of a task that are no rows of named values.
_LAYOUTS = {"mrc": ("cmrc", "squad"), "dialogue": ("dialogue",)}
_BLOCK_ROWS = 65_536


def sha256_of(path: str) -> str:
    """The hash of a benchmark's file. Raises UserError if it can't be read."""
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: the benchmark can't be read ({error.strerror}); name a file of texts") from None


def read_benchmark(path: str, task: Task, fields: list[str], columns: dict[str, str]) -> pl.DataFrame:
    """The `fields` of every row of a benchmark, rows of which all are empty left out.

    `columns` says which column a field is where its name doesn't tell. Raises UserError for a file that can't be read
    or lacks a field, and for a row that can't be read: a benchmark that is not read whole protects nothing.
    """
    file = File(Path(path), Path(path).name, "test", 0)
    try:
        kind = binary_kind(file.path)
        info = binary_info(file.path, file.name, kind) if kind else sniff(file.path, file.name)
    except OSError as error:
        raise UserError(f"{path}: the benchmark can't be read ({error.strerror}); name a file of texts") from None
    schema = {name: task.schema()[name] for name in fields}
    if file.path.suffix.lower() == ".txt":
        rows = _lines(file, info, fields, schema)
    else:
        rows = _in_layout(file, info, task, fields) or _rows(file, info, task, fields, columns)
    found = pl.concat([pl.DataFrame(schema=schema), *rows])
    sized = [
        pl.col(name).list.len() if kind == pl.List else pl.col(name).str.len_bytes() for name, kind in schema.items()
    ]
    found = found.filter(pl.any_horizontal(size.fill_null(0) > 0 for size in sized))
    if not len(found):
        raise UserError(f"{path}: the benchmark holds no texts; is it the right file?")
    return found


def _lines(file: File, info: FileInfo, fields: list[str], schema: dict[str, object]) -> list[pl.DataFrame]:
    if len(fields) > 1 or schema[fields[0]] != pl.String:
        raise UserError(
            f"{file.name}: a text a line can't be compared with {' and '.join(fields)}; give rows of named values "
            "(.jsonl, .csv), or name one text in decontaminate.key"
        )
    return [
        pl.DataFrame({fields[0]: [line for line in lines if line.strip()]}, schema={fields[0]: pl.String})
        for lines in read_lines(file.path, info)
    ]


def _in_layout(file: File, info: FileInfo, task: Task, fields: list[str]) -> list[pl.DataFrame]:
    """The rows of a file in a layout of the task's own; none if it is in no such layout."""
    if info.binary:
        return []
    head = next(read_blocks(file.path, info, HEAD), "")
    for name in _LAYOUTS.get(task.name, ()):
        if READERS[name].fits(head):
            records = list(READERS[name].read(file, info, ReadOptions(task.name), _BLOCK_ROWS))
            for reject in (reject for block in records for reject in block.rejects):
                raise _unreadable(file, reject.line, reject.reason)
            return [block.frame.select(fields) for block in records]
    return []


def _rows(
    file: File, info: FileInfo, task: Task, fields: list[str], columns: dict[str, str]
) -> Iterator[pl.DataFrame]:
    """The rows of a file of named values."""
    rows = open_rows(file, info, ReadOptions(task.name), Counter())
    places = _columns(file, rows.names, task, fields, columns)
    values: dict[str, list[object]] = {name: [] for name in fields}
    for item in rows.all(list(places.values())):
        if not isinstance(item, Item):
            raise _unreadable(file, item.line, item.reason)
        try:
            for name, column in places.items():
                value = item.values.get(column)
                value = None if value != value else value  # NaN is no value
                if task.fields[name] == "list[str]":
                    value = turns_of(unpacked(value, lines=True) if rows.loose else value, Counter())
                else:
                    value = text_of(value, f"bad_{name}")
                values[name].append(value)
        except BadValue as bad:
            raise _unreadable(file, item.number, bad.reason) from None
    yield pl.DataFrame(values, schema={name: task.schema()[name] for name in fields})


def _columns(file: File, names: list[str], task: Task, fields: list[str], columns: dict[str, str]) -> dict[str, str]:
    """Field → column: those that were named, and those known by the names that corpora use."""
    given = {field: names.index(column) for field, column in columns.items() if column in names}
    aliases = {**EXTRA_ALIASES, **ALIASES[task.name]}
    wanted = {field: aliases.get(field, [field]) for field in fields if field not in columns}
    found = match_names([plain(name) for name in names], wanted, given)
    if missing := [field for field in fields if field not in found]:
        asked = ", ".join(f"{field}: {columns.get(field, 'COLUMN')}" for field in missing)
        shown = ", ".join(name[:40] for name in names[:20]) or "none"
        raise UserError(
            f"{file.name}: has no column for {' and '.join(missing)}; its columns are {shown}; "
            f"say which it is in decontaminate.columns (given: {{{asked}}})"
        )
    return {field: names[found[field]] for field in fields}


def _unreadable(file: File, line: int, reason: str) -> UserError:
    return UserError(
        f"{placed(file.name, line)}: a row of this benchmark can't be read ({reason}); mend it or take it out"
    )
