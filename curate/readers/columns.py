"""Which column of a table is what: found out from the first lines, or named by the user.

A header is known by the names corpora use, or by a label cell that is no label while the others below it are.
Without one, the label is the only column of labels, ids are left aside, and what remains must be the texts.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from curate.readers.csvrows import csv_rows
from curate.readers.options import ReadOptions
from curate.types import UserError

#: Share of a column's cells that must be labels of the recipe for it to be the label column.
LABEL_SHARE = 0.95
_FIRST = (
    "a text_a texta text1 text_1 sentence1 sentence_1 sentence_a sentencea sent1 sent_1 "
    "question1 question_1 question_a q1 query1 query_1 s1 seq1 premise "
    "句子1 句子一 句子a 文本1 文本一 文本a 问题1 问题一 问句1 问句一 query"
)
_SECOND = (
    "b text_b textb text2 text_2 sentence2 sentence_2 sentence_b sentenceb sent2 sent_2 "
    "question2 question_2 question_b q2 query2 query_2 s2 seq2 hypothesis "
    "句子2 句子二 句子b 文本2 文本二 文本b 问题2 问题二 问句2 问句二 title candidate"
)
_TEXT = (
    "text text_a texta review sentence content comment raw_text 评论 文本 内容 句子 正文 评价 "
    "sentence1 text1 query utterance title 标题"
)
_LABEL = (
    "label labels gold_label label_id is_duplicate isduplicate polarity sentiment target_label score "
    "class category stance 标签 类别 情感 分类 极性 是否相同"
)
#: Aliases of each field, the surer ones first: where two columns fit one field, the first alias in this list wins.
ALIASES = {
    "pair": {"a": _FIRST.split(), "b": _SECOND.split(), "label": _LABEL.split()},
    "classification": {"text": _TEXT.split(), "label": _LABEL.split()},
}
#: Of the fields that only some corpora have, those a table can hold.
EXTRA_ALIASES = {"target": ["target", "topic", "目标", "话题", "对象"]}
IDS = frozenset(
    ["id", "qid", "guid", "idx", "index", "no", "uid", "pid", "pair_id", "sid", "编号", "序号", "unnamed:_0"]
)
_ID = re.compile(r"[A-Za-z_\-]{0,12}\d+")
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_WHOLE = re.compile(r"([-+]?\d+)\.0+")


@dataclass(frozen=True)
class Layout:
    """The delimiter, how many columns a row has, whether a header stands first, and each field's column."""

    delimiter: str
    width: int
    header: bool
    fields: dict[str, int]


def label_lookup(cells: list[str], labels: dict[str, str]) -> dict[str, str]:
    """Cell -> label key for those cells that are a key of the recipe, its word, or `1.0` for `1`."""
    if not labels:
        return {cell: cell.strip() for cell in cells if cell and cell.strip()}
    known = {word.casefold(): key for key, word in labels.items()} | {key.casefold(): key for key in labels}
    known |= {word: key for key, word in labels.items()} | {key: key for key in labels}
    found = {}
    for cell in cells:
        value = (cell or "").strip()
        whole = _WHOLE.fullmatch(value)
        key = known.get(value, known.get(value.casefold(), known.get(whole[1]) if whole else None))
        if key is not None:
            found[cell] = key
    return found


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
        self.delimiter = _delimiter(lines)
        self.rows = _cells(lines, self.delimiter)
        self.head = [plain(cell) for cell in self.rows[0]]

    def layout(self) -> Layout:
        columns = self.options.columns
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
        """Field -> column for the names that are known."""
        fields: dict[str, int] = {}
        for field, aliases in self.aliases.items():
            for alias in aliases:
                if alias in names and names.index(alias) not in fields.values():
                    fields[field] = names.index(alias)
                    break
        return fields

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
        cells = [row[column] for row in self.body if column < len(row) and row[column].strip()]
        hits = label_lookup(cells, self.options.labels)
        return bool(cells) and sum(cell in hits for cell in cells) >= LABEL_SHARE * len(cells)

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


def _delimiter(lines: list[str]) -> str:
    if 2 * sum("\t" in line for line in lines) >= len(lines):
        return "\t"
    # Quoted fields may hold line ends, so some lines of a CSV have no comma.
    return "," if 3 * sum("," in line for line in lines) >= len(lines) and "," in lines[0] else "\t"


def _cells(lines: list[str], delimiter: str) -> list[list[str]]:
    if delimiter == "\t":
        return [line.split("\t") for line in lines]
    rows = [cells for cells, *_ in csv_rows(lines, 1, Counter()) if isinstance(cells, list)]
    return rows or [line.split(",") for line in lines]


def plain(name: str) -> str:
    """A column's name as the alias lists have it."""
    return re.sub(r"[\s\-]+", "_", name.strip().strip("\"'#\ufeff").strip().casefold())
