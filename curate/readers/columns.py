"""Which column of a table is what: found out from the first lines, or named by the user.

A header is known by the names corpora use, or by a label cell that is no label while the others below it are.
Without one, the label is the only column of labels, ids are left aside, and what remains must be the texts.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from curate.readers.csvrows import csv_rows
from curate.readers.names import (
    ALIASES,
    EXTRA_ALIASES,
    IDS,
    chosen_columns,
    is_label,
    label_lookup,
    match_names,
    plain,
)
from curate.readers.options import ReadOptions
from curate.types import UserError

_ID = re.compile(r"[A-Za-z_\-]{0,12}\d+")
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
#: No table has as many columns: what is left of a line stays in the last cell.
_WIDEST = 4096


@dataclass(frozen=True)
class Layout:
    """The delimiter, how many columns a row has, whether a header stands first, and each field's column."""

    delimiter: str
    width: int
    header: bool
    fields: dict[str, int]


def find_layout(name: str, head: list[str], options: ReadOptions) -> Layout:
    """The layout of a table from its first lines; UserError, showing the first row, when it can't be found out."""
    return _Finder(name, head, options).layout()


class _Finder:
    def __init__(self, name: str, head: list[str], options: ReadOptions) -> None:
        self.name, self.options = name, options
        extra = {name: EXTRA_ALIASES[name] for name in options.extra if name in EXTRA_ALIASES}
        self.aliases = {**extra, **ALIASES[options.task]}
        self.texts = [field for field in self.aliases if field != "label"]
        lines = [line for line in head if line.strip()]
        if not lines:
            raise UserError(f"{name}: holds no rows: nothing but blank lines")
        self.line = next(i for i, line in enumerate(head, 1) if line.strip())
        self.shown = lines[0]
        self.delimiter = find_delimiter(lines)
        self.rows = _cells(lines, self.delimiter)
        self.head = [plain(cell) for cell in self.rows[0]]

    def layout(self) -> Layout:
        columns = self.options.columns
        if isinstance(columns, dict):
            return self._mapped(columns)
        width = self._width()
        if columns is not None:
            return self._named(columns, width)
        known = self._by_alias(self.head)
        if all(field in known for field in self.texts) and not self._has_label_cell():
            self.body = [row for row in self.rows[1:] if len(row) == len(self.head)]
            if "label" not in known:
                known |= self._only_label(set(known.values()))
            return Layout(self.delimiter, len(self.head), True, known)
        return self._from_cells(width)

    def _width(self) -> int:
        # The first row has no say of its own: a header can be shorter, and a broken row can stand anywhere.
        return Counter(map(len, self.rows)).most_common(1)[0][0]

    def _mapped(self, columns: dict[str, str]) -> Layout:
        """A header, of which the user says what some names mean."""
        given = chosen_columns(self.name, [cell.strip() for cell in self.rows[0]], columns)
        known = match_names(self.head, self.aliases, given)
        missing = [field for field in self.texts if field not in known]
        if missing:
            self._fail(f"source.columns names no column for {' and '.join(missing)}")
        self.body = [row for row in self.rows[1:] if len(row) == len(self.head)]
        if "label" not in known:
            known |= self._only_label(set(known.values()))
        return Layout(self.delimiter, len(self.head), True, known)

    def _named(self, columns: tuple[str, ...], width: int) -> Layout:
        names = [plain(column) for column in columns]
        if len(names) != width:
            self._fail(f"has {width} columns, but source.columns names {len(names)} ({','.join(columns)})")
        fields = self._by_alias(names)
        missing = [field for field in self.texts if field not in fields]
        if missing:
            self._fail(f"source.columns={','.join(columns)} names no column for {' and '.join(missing)}")
        header = self.head == names or self._is_header_like(fields, width)
        return Layout(self.delimiter, width, header, fields)

    def _is_header_like(self, fields: dict[str, int], width: int) -> bool:
        known = self._by_alias(self.head)
        if all(field in known for field in self.texts) and not self._has_label_cell():
            return True
        label = fields.get("label")
        self.body = [row for row in self.rows[1:] if len(row) == width]
        return label is not None and self._names_label(label)

    def _by_alias(self, names: list[str]) -> dict[str, int]:
        return match_names(names, self.aliases, {})

    def _has_label_cell(self) -> bool:
        return bool(self.options.labels and label_lookup(self.rows[0], self.options.labels))

    def _from_cells(self, width: int) -> Layout:
        """No known header: the columns follow from what stands in them."""
        self.body = [row for row in self.rows[1:] if len(row) == width]
        header = False
        label: int | None = None
        if len(self.rows[0]) == width:
            named = [i for i in range(width) if self._names_label(i)]
            named = [i for i in named if self.head[i] in self.aliases["label"]] or named
            header = len(named) == 1
            label = named[0] if header else None
        if not header:
            self.body = [row for row in self.rows if len(row) == width]
            found = self._label_columns(set())
            if len(found) > 1:
                self._fail(f"columns {' and '.join(str(i + 1) for i in found)} could both be the label")
            label = found[0] if found else None
        known = {f: i for f, i in self._by_alias(self.head).items() if f != "label"} if header else {}
        free = [i for i in range(width) if i != label and i not in known.values() and not self._is_aside(i, header)]
        wanted = [field for field in self.texts if field not in known]
        if len(wanted) > 1 and self.options.extra:
            self._fail(f"no header says which of its columns is which of {', '.join(wanted)}")
        if len(free) != len(wanted):
            none = "" if label is not None else ", none is a label"
            found, needed = len(free) + len(known), len(self.texts)
            self._fail(f"{found} of its {width} columns could be text, {needed} wanted{none}")
        fields = known | dict(zip(wanted, free, strict=True)) | ({} if label is None else {"label": label})
        return Layout(self.delimiter, width, header, fields)

    def _names_label(self, column: int) -> bool:
        """Whether the first row's cell is a name (no label, no number) over a column of labels."""
        cell = self.rows[0][column].strip() if column < len(self.rows[0]) else ""
        if not cell or _NUMBER.fullmatch(cell) or label_lookup([cell], self.options.labels):
            return False
        return bool(self.options.labels) and self._is_label(column)

    def _is_label(self, column: int) -> bool:
        return is_label([row[column] for row in self.body if column < len(row)], self.options.labels)

    def _label_columns(self, taken: set[int]) -> list[int]:
        if not self.options.labels or not self.body:
            return []
        return [i for i in range(len(self.body[0])) if i not in taken and self._is_label(i)]

    def _only_label(self, taken: set[int]) -> dict[str, int]:
        """The label column under a name nobody knows, beside texts that have known ones."""
        taken = taken | {i for i, name in enumerate(self.head) if name in IDS}
        found = self._label_columns(taken)
        if len(found) > 1:
            self._fail(f"columns {' and '.join(self.head[i] for i in found)} could both be the label")
        return {"label": found[0]} if found else {}

    def _is_aside(self, column: int, header: bool) -> bool:
        """An id (all different, whole numbers or the like) or an empty column."""
        if header and (self.head[column] in IDS or not self.head[column]):
            return True
        cells = [row[column].strip() for row in self.body]
        if not any(cells):
            return bool(cells)
        return len(set(cells)) == len(cells) and all(_ID.fullmatch(cell) for cell in cells)

    def _fail(self, what: str) -> None:
        names = "text_a,text_b,label" if self.options.task == "pair" else ",".join([*self.texts, "label"])
        row = self.shown.replace("\t", " ⇥ ")
        row = row if len(row) <= 200 else row[:200] + "…"
        raise UserError(
            f"{self.name}:{self.line}: {what}; the first row is: {row} — name the columns in file order, "
            f"e.g. --set source.columns={names}"
        )


def table_head(name: str, lines: list[str]) -> list[list[str]]:
    """The cells of the first lines of a table; UserError if they are blank."""
    filled = [line for line in lines if line.strip()]
    if not filled:
        raise UserError(f"{name}: holds no rows: nothing but blank lines")
    single = name.lower().endswith(".csv") and "\t" not in filled[0]  # its header has no comma
    return _cells(filled, "," if single else find_delimiter(filled))


def find_delimiter(lines: list[str]) -> str:
    """A tab or a comma."""
    if 2 * sum("\t" in line for line in lines) >= len(lines):
        return "\t"
    # Quoted fields may hold line ends, so some lines of a CSV have no comma.
    return "," if 3 * sum("," in line for line in lines) >= len(lines) and "," in lines[0] else "\t"


def _cells(lines: list[str], delimiter: str) -> list[list[str]]:
    if delimiter == "\t":
        return [line.split("\t", _WIDEST) for line in lines]
    rows = [cells for cells, *_ in csv_rows(lines, 1, Counter()) if isinstance(cells, list)]
    return rows or [line.split(",") for line in lines]
