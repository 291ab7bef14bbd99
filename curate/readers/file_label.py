"""One text a line, the label in the file's name: `train_app.txt`, `develop_app.txt` (SMP2017-ECDT, task 1)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

from curate.readers.columns import label_lookup
from curate.readers.options import ReadOptions, collect
from curate.text.decode import FileInfo, read_lines
from curate.types import File, Records, UserError

#: A split's name alone says nothing of the label, even where a label is called alike (`train`, by rail).
_SPLIT = re.compile(r"(train|training|develop|dev|valid|validation|val|test)(?:[_\-.](?P<rest>.+))?", re.IGNORECASE)


def fits(head: str) -> bool:
    """Plain lines: no JSON, no pseudo-XML."""
    start = head.lstrip()
    return bool(start) and not start.startswith(("<doc", "<?xml", "<question", "{", '["', "[{", "[[", "[\n"))


def read(file: File, info: FileInfo, options: ReadOptions, block_rows: int) -> Iterator[Records]:
    """The lines of a file as texts of the label that its name tells; whatever stands in a line belongs to its text."""
    if options.task != "classification":
        raise UserError(f"{file.name}: lines of text are for a classification, the recipe's task is {options.task}")
    label = label_of(file.name, options)
    counts: Counter[str] = Counter()
    yield from collect(file, options, block_rows, _rows(file, info, options, label, counts), counts)


def label_of(name: str, options: ReadOptions) -> str:
    """The label in a file's name: all of it, or what follows the split's name and `_`. A UserError without one."""
    stem = PurePosixPath(name).stem
    found = _SPLIT.fullmatch(stem)
    told = stem if found is None else found["rest"] or ""
    label = label_lookup([told], options.labels).get(told)
    if label is None:
        raise UserError(
            f"{name}: its lines have no label but the file's name, and {told or stem!r} is none of the recipe's labels"
            f" ({', '.join(options.labels)}); name the file SPLIT_LABEL.txt,"
            f" like train_{next(iter(options.labels))}.txt"
        )
    return label


def _rows(
    file: File, info: FileInfo, options: ReadOptions, label: str, counts: Counter[str]
) -> Iterator[tuple[Any, ...]]:
    empty = {"intent": "", "slots": []}
    names = tuple(options.schema())
    for line in chain.from_iterable(read_lines(file.path, info)):
        if line.strip():
            told = {**empty, "text": line, "label": label}
            yield tuple(told.get(name) for name in names)
        else:
            counts["blank_lines"] += 1
