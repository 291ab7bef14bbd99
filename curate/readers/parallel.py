"""Two files of lines, source and target: line n of one is the text, line n of the other its summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from curate.readers.options import ReadOptions, collect
from curate.text.decode import FileInfo, read_lines, sniff
from curate.text.pieces import is_pieced, join_all_pieces
from curate.text.spaced import SAMPLE, is_spaced, join_all
from curate.types import File, Records, UserError

_BLOCK = 8192


def fits(head: str) -> bool:
    """Plain lines: no pseudo-XML, no JSON."""
    start = head.lstrip()
    return bool(start) and not start.startswith(("<doc", "<?xml", '{"', "[[", '["', "[{", "{\n", "[\n"))


def read(file: File, info: FileInfo, options: ReadOptions, block_rows: int) -> Iterator[Records]:
    """The pairs of two parallel files; spaced-out characters and cut words are joined, decided file by file."""
    if file.partner is None:
        raise UserError(
            f"{file.name}: has no partner: parallel lines come in two files, name them alike "
            "(source/target, src/tgt, article/summary) and give their folder"
        )
    counts: Counter[str] = Counter()
    rows = _pairs(file, info, file.partner, file.partner_info or sniff(file.partner), counts)
    yield from collect(file, options, block_rows, rows, counts)


def _pairs(
    file: File, info: FileInfo, partner: Path, partner_info: FileInfo, counts: Counter[str]
) -> Iterator[tuple[Any, ...]]:
    texts = _Side(file.path, info, counts)
    summaries = _Side(partner, partner_info, counts)
    while True:
        left, right = texts.take(_BLOCK), summaries.take(_BLOCK)
        if len(left) != len(right):
            # Only reached where the pairs are not cut off by --limit before.
            ours, theirs = texts.count_all(), summaries.count_all()
            raise UserError(
                f"{file.name}: has {ours} lines but its partner {partner.name} has {theirs}: "
                "parallel files must have a line for each line, one of them is not complete"
            )
        if not left:
            return
        for text, summary in zip(texts.joined(left), summaries.joined(right), strict=True):
            if text.strip() or summary.strip():
                yield text, summary, None
            else:
                counts["blank_lines"] += 1


class _Side:
    """The lines of one file, and how they are joined, where they were published spaced out or in pieces."""

    def __init__(self, path: Path, info: FileInfo, counts: Counter[str]) -> None:
        stream = chain.from_iterable(read_lines(path, info))
        head = list(islice(stream, SAMPLE))
        self.join: Callable[[list[str], Counter[str]], list[str]] | None = None
        if is_pieced(head):
            self.join = join_all_pieces
        elif is_spaced(head):
            self.join = join_all
        self.lines = chain(head, stream)
        self.counts = counts
        self.taken = 0

    def take(self, size: int) -> list[str]:
        lines = list(islice(self.lines, size))
        self.taken += len(lines)
        return lines

    def joined(self, lines: list[str]) -> list[str]:
        return self.join(lines, self.counts) if self.join else lines

    def count_all(self) -> int:
        self.taken += sum(1 for _ in self.lines)
        return self.taken
