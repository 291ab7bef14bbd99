"""One look at a whole file of rows: its columns, and what stands in each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from curate.readers import cmrc, dialogue, rows, squad
from curate.readers.columns import table_head
from curate.readers.names import ALIASES, IDS, plain
from curate.readers.options import Problem, ReadOptions
from curate.readers.rowvalues import BadValue, text_of, unpacked
from curate.readers.workbook import sheet_rows, sheets
from curate.sources import Source
from curate.text.decode import FileInfo, read_blocks, read_lines
from curate.types import File, UserError

#: A column of more different values is no label column.
MOST_LABELS = 60
#: Rows whose values are kept to compare them, and whose lengths are.
_KEPT, _MEASURED = 500, 5000
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_WHOLE = re.compile(r"([-+]?\d+)\.0+")
_ID = re.compile(r"[A-Za-z_\-]{0,12}\d+")
_SENTENCE = re.compile(r"[，。！？；,!?;]")
_TREES = {"squad": squad, "cmrc": cmrc, "dialogue": dialogue}
_KNOWN = IDS.union(*(names for fields in ALIASES.values() for names in fields.values()))


@dataclass
class Column:
    """What stands in a column: `values` counts its texts while there are few different ones, else it is None."""

    name: str
    place: int
    filled: int = 0
    lists: int = 0
    chars: int = 0
    ids: int = 0
    values: Counter[str] | None = field(default_factory=Counter)
    kept: list[Any] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)

    @property
    def plain(self) -> str:
        return plain(self.name)

    @property
    def mean(self) -> float:
        return self.chars / max(1, self.filled)

    @property
    def is_label(self) -> bool:
        """Few short values, each of them again and again."""
        values = self.values
        if values is None or self.lists or self.plain in IDS or not 2 <= len(values) <= MOST_LABELS:
            return False
        return self.filled >= 2 * len(values) and max(map(len, values)) <= 20

    @property
    def is_constant(self) -> bool:
        """The same in many rows."""
        return self.values is not None and len(self.values) == 1 < self.filled

    @property
    def is_id(self) -> bool:
        """Nothing but numbers and the like, all different."""
        kept = [value for value in self.kept if value is not None]
        return self.plain in IDS or (self.ids == self.filled and len(set(kept)) == len(kept))


@dataclass
class Look:
    """The columns of a file, how many rows it has, whether their names stand in it, and what else was noticed."""

    columns: list[Column]
    rows: int
    unreadable: int
    header: bool
    table: bool
    notes: list[str]

    def texts(self) -> list[Column]:
        """The columns that can hold running text: mostly filled, neither labels nor ids nor lists."""
        usual = [c for c in self.columns if 2 * c.filled >= self.rows and c.name.strip()]
        return [c for c in usual if not (c.is_label or c.is_id or c.lists or c.is_constant)]


def look_at(source: Source) -> Look:
    """The columns of the only file of a source; UserError where it has none."""
    file = source.files[0]
    info = source.infos[file.path]
    _refuse_trees(file, info)
    notes: list[str] = []
    names = None if _has_names(file, info) else _table_names(file, info, notes)
    counts: Counter[str] = Counter()
    # The task decides nothing here but which names a first row would have, and that is known by now.
    opened = rows.open_rows(file, info, ReadOptions("classification", {}, names), counts)
    header = names is None
    if opened.names and len(set(opened.names) - {""}) < len([name for name in opened.names if name]):
        twice = next(name for name, n in Counter(opened.names).items() if n > 1 and name)
        raise UserError(f"{file.name}: has two columns called {twice!r}: rename one")
    columns = {name: Column(name, place) for place, name in enumerate(opened.names)}
    late: dict[str, None] = {}  # the reader knows the names of the first rows
    read = unreadable = 0
    for item in opened.all(opened.names):
        if isinstance(item, Problem):
            unreadable += 1
            continue
        late.update(dict.fromkeys(name for name in item.values if name not in columns))
        for name, column in columns.items():
            _add(column, item.values.get(name), opened.loose, read)
        read += 1
    if not read:
        raise UserError(f"{file.name}: holds no rows that can be read")
    if unreadable > read:
        raise UserError(f"{file.name}: {unreadable} of its {read + unreadable} rows can't be read as rows of columns")
    notes += [f"not read, for no row of the first {rows.HEAD_ROWS} has it: {', '.join(late)}"] if late else []
    notes += [f"{unreadable} rows can't be read and will be rejected"] if unreadable else []
    return Look(list(columns.values()), read, unreadable, header, opened.loose and not info.binary, notes)


def _has_names(file: File, info: FileInfo) -> bool:
    if info.binary:
        return info.encoding == "parquet"
    return _start(file, info).startswith(("[", "{"))


def _start(file: File, info: FileInfo) -> str:
    return next((text for block in read_blocks(file.path, info) if (text := block.lstrip())), "")[:65536]


def _refuse_trees(file: File, info: FileInfo) -> None:
    """JSON that is no list of rows: which reader knows it, or what to do."""
    start = "" if info.binary else _start(file, info)
    if start.startswith("<"):
        raise UserError(f"{file.name}: begins with '<': rows of columns are wanted (CSV, TSV, JSON, Parquet, xlsx)")
    if not start.startswith(("[", "{")) or (rows.fits(start) and not _holds_lists(start)):
        return
    known = next((name for name, one in _TREES.items() if one.fits(start)), None)
    recipe = "lccc" if known == "dialogue" else "cmrc2018"
    if known and not (known == "squad" and not re.search('"(paragraphs|qas)"', start)):
        raise UserError(
            f"{file.name}: is in a layout of its own, which the reader {known} knows: take recipes/{recipe}.yaml as "
            f"the model, or curate the file with it: python -m curate recipe {recipe} --source {file.name}"
        )
    raise UserError(
        f"{file.name}: is an object of lists, not rows: write each list into a file of its own "
        "(train.json, dev.json), as a list of objects or one object a line, and give the train file"
    )


def _holds_lists(start: str) -> bool:
    """Whether what begins here is one object (or a list of objects) that holds lists of rows, not rows."""
    if cmrc.fits(start):
        return True
    lines = [line for line in start.split("\n") if line.strip()]
    lone = not (len(lines) > 1 and lines[1].startswith("{") and lines[0].rstrip().endswith("}"))
    return lone and bool(re.match(r'\{\s*"[^"]*"\s*:\s*\[\s*[\[{]', start))


# ---- tables: is there a header?


def _table_names(file: File, info: FileInfo, notes: list[str]) -> tuple[str, ...] | None:
    """Names for the columns of a table that doesn't say them; None where its first row does."""
    cells: Iterator[list[Any]]
    if info.binary:
        cells = (row for _, row in sheet_rows(file.path, file.name, Counter()))
        filled = [name for name, sheet in sheets(file.path, file.name) if any(c is not None for r in sheet for c in r)]
        if len(filled) > 1:
            notes.append(f"of the sheets {', '.join(filled)} the first is read, {filled[0]}")
    else:
        cells = iter(table_head(file.name, list(islice(chain.from_iterable(read_lines(file.path, info)), 1000))))
    head = [["" if cell is None else str(cell) for cell in row] for row in islice(cells, 1000)]
    if not head:
        raise UserError(f"{file.name}: holds no rows")
    width = Counter(map(len, head)).most_common(1)[0][0]
    body = [row for row in head[1:] if len(row) == width]
    if len(head[0]) != width:
        raise UserError(f"{file.name}: its first row has {len(head[0])} columns, most others {width}: mend it")
    if _is_header(head[0], body):
        return None
    notes.append("its first row is taken for a row, not for the columns' names")
    return tuple(f"column{place + 1}" for place in range(width))


def _is_header(first: list[str], body: list[list[str]]) -> bool:
    """Names that corpora use, or cells unlike those below them."""
    short = all(len(cell) <= 16 and not _SENTENCE.search(cell) for cell in first)
    for place, cell in enumerate(first):
        below = Counter(row[place].strip() for row in body if row[place].strip())
        if not cell.strip() or cell.strip() in below:
            continue
        if plain(cell) in _KNOWN:
            return True
        if _NUMBER.fullmatch(cell.strip()):
            return False
        few = below and len(below) <= MOST_LABELS and sum(below.values()) >= 2 * len(below)
        if short and ((few and max(map(len, below)) <= 20) or (below and all(map(_NUMBER.fullmatch, below)))):
            return True
    lengths = [sum(map(len, row)) for row in body]
    return bool(short and lengths and len(set(first)) == len(first)
                and sum(lengths) / len(lengths) >= 3 * sum(map(len, first)))  # fmt: skip


# ---- what stands in a column


def _add(column: Column, value: Any, loose: bool, row: int) -> None:
    value = unpacked(value) if loose else value
    size = _size(value)
    if row < _MEASURED:
        column.lengths.append(size)
    if row < _KEPT:
        column.kept.append(None if not size else value if isinstance(value, (list, dict)) else _told(value))
    if not size:
        return
    column.filled += 1
    column.chars += size
    if isinstance(value, (list, dict)):
        column.lists += 1
        return
    text = _told(value)
    column.ids += bool(_ID.fullmatch(text))
    if column.values is not None:
        column.values[text] += 1
        if len(column.values) > 4 * MOST_LABELS:
            column.values = None


def _told(value: Any) -> str:
    """A value as a label has it."""
    try:
        text = text_of(value, "").strip()
    except BadValue:
        return ""
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def _size(value: Any) -> int:
    """Characters in all texts of a value."""
    if isinstance(value, list):
        return sum(map(_size, value))
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return len(_told(value))


def file_of(path: Path) -> None:
    """UserError unless `path` is one file."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder: give one file of it, the train file; its siblings are found by name")
