"""LCSTS's pseudo-XML: `<doc id=0>` with an optional `<human_label>`, a `<summary>` and a `<short_text>`.

It is no XML (unquoted attributes, no root, bare `&`), so it is read line by line, a document at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any

from curate.readers.options import Problem, ReadOptions, collect
from curate.text.decode import FileInfo, read_lines
from curate.types import File, Records

_DOC = re.compile(r"\s*<doc\b[^>]*>?", re.IGNORECASE)
_END = re.compile(r"</doc\s*>", re.IGNORECASE)
_PART = {
    name: re.compile(rf"<{name}\s*>(.*?)</{name}\s*>", re.IGNORECASE | re.DOTALL)
    for name in ("summary", "short_text", "human_label")
}


def fits(head: str) -> bool:
    """A `<doc` near the start and one of its parts after it."""
    return bool(
        re.search(r"<doc\b", head[:4096], re.IGNORECASE) and re.search("<(summary|short_text)", head, re.IGNORECASE)
    )


def read(file: File, info: FileInfo, options: ReadOptions, block_rows: int) -> Iterator[Records]:
    """The documents of a pseudo-XML file: short_text is the text, human_label the score."""
    counts: Counter[str] = Counter()
    lines = chain.from_iterable(read_lines(file.path, info))
    rows = (_row(doc, line, counts) for doc, line in _docs(lines, counts))
    yield from collect(file, options, block_rows, rows, counts)


def _docs(lines: Iterator[str], counts: Counter[str]) -> Iterator[tuple[str, int]]:
    """(text of a document, its first line). A document ends at `</doc>`, at the next `<doc`, or with the file."""
    doc: list[str] = []
    first = 0
    for number, line in enumerate(lines, 1):
        if "<" not in line:  # most lines are text
            if doc:
                doc.append(line)
            elif line.strip():
                counts["stray_lines"] += 1
            continue
        if _DOC.match(line):
            if doc:
                yield "\n".join(doc), first
            doc, first = [], number
        elif not doc:
            counts["stray_lines"] += 1
            continue
        doc.append(line)
        if "</" in line and _END.search(line):
            yield "\n".join(doc), first
            doc = []
    if doc:
        yield "\n".join(doc), first


def _row(doc: str, line: int, counts: Counter[str]) -> tuple[Any, ...] | Problem:
    text, summary = _part(doc, "short_text"), _part(doc, "summary")
    if summary is None or text is None:
        return Problem("no_summary" if summary is None else "no_text", doc, line)
    score = _part(doc, "human_label")
    if score and not (score.isdecimal() and len(score) < 10):
        counts["bad_scores"] += 1
        score = None
    return text, summary, int(score) if score else None


def _part(doc: str, name: str) -> str | None:
    """What stands between the tags, without the indentation of its lines."""
    start = doc.find(f"<{name}>")
    end = doc.find(f"</{name}>", start)
    if start >= 0 and end >= 0:  # as published: much faster than the pattern
        inner = doc[start + len(name) + 2 : end]
    elif found := _PART[name].search(doc):
        inner = found[1]
    else:
        return None
    lines = (line.strip(" \t") for line in inner.split("\n"))
    return "\n".join(line for line in lines if line)
