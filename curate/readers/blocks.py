"""Blocks of tagged lines, as NLPCC's questions over a knowledge base are published.

    <question id=8>	…
    <triple id=8>	subject ||| predicate ||| object      (in the training files only)
    <answer id=8>	…
    ==================================================

A record is a question without a context. Several answers stand in lines of their own or between `|||`. The ids are
the corpus's own and have gaps: they go into `source_id`.
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

_TAG = re.compile(r"\s*<(question|triple|answer)\s+id\s*=\s*\"?([^>\"]*?)\"?\s*>")
_RULE = re.compile(r"\s*={5,}\s*")
#: A line of a block: its kind, its id and its text.
_Line = tuple[str, str, str]


def fits(head: str) -> bool:
    """The first line that isn't blank is a tagged one."""
    return bool(_TAG.match(head))


def read(file: File, info: FileInfo, options: ReadOptions, block_rows: int) -> Iterator[Records]:
    """The questions of a file of blocks; the triples they were made from are left aside and counted."""
    counts: Counter[str] = Counter()
    lines = chain.from_iterable(read_lines(file.path, info))
    rows = (_row(block, first, counts) for block, first in _blocks(lines, counts))
    yield from collect(file, options, block_rows, rows, counts)


def _blocks(lines: Iterator[str], counts: Counter[str]) -> Iterator[tuple[list[_Line], int]]:
    """(lines of a block, its first line's number). A block ends at a rule, at the next question, or with the file."""
    block: list[_Line] = []
    first = 0
    for number, line in enumerate(lines, 1):
        tag = _TAG.match(line)
        ends = _RULE.fullmatch(line) is not None
        if block and (ends or (tag and tag[1] == "question")):
            yield block, first
            block = []
        if tag:
            first = first if block else number
            block.append((tag[1], tag[2], line[tag.end() :].strip(" \t")))
        elif block and line.strip():
            kind, name, text = block[-1]
            block[-1] = (kind, name, f"{text}\n{line.strip()}")  # a text that goes on in the next line
        elif not ends:
            counts["stray_lines" if line.strip() else "blank_lines"] += 1
    if block:
        yield block, first


def _row(block: list[_Line], first: int, counts: Counter[str]) -> tuple[Any, ...] | Problem:
    kind, name, question = block[0]
    if kind != "question" or any(other != name for _, other, _ in block):
        raw = "\n".join(f"<{kind} id={name}>\t{text}" for kind, name, text in block)
        return Problem("no_question" if kind != "question" else "ids_differ", raw, first)
    given = [part.strip() for kind, _, text in block if kind == "answer" for part in text.split("|||")]
    answers = [answer for answer in given if answer]
    counts.update({"unlabelled": 1} if not answers else {})
    counts.update({"triples": n} if (n := sum(kind == "triple" for kind, _, _ in block)) else {})
    return "", "", question, answers, [-1] * len(answers), name
