"""A document a file, its label the name of the folder it lies in (`C3-Art/C3-Art0007.txt`): Fudan's news corpus.

Documents come as they were set for print or a terminal: some under a bibliographic header, most with their lines cut
at a fixed width. The header goes, but for the title; lines that the width alone cut are joined again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

from curate.readers.columns import label_lookup
from curate.readers.options import Problem, ReadOptions, collect
from curate.text.decode import FileInfo, read_lines
from curate.types import File, Records, UserError

#: `【 标  题 】` is a header's field; the first that a document has says that it has a header.
_FIELD = re.compile(r"【([^】]{1,12})】")
_FIRST = frozenset(["文献号", "日期"])
_TITLE, _BODY = "标题", "正文"
#: Where no `【 正  文 】` ends the header, only the fields that tell of the publication are sure to belong to it.
_PUBLICATION = _FIRST | {"版号", "原文出处", "原刊地名", "原刊期号", "原刊页号", "分类号", "分类名", "复印期号"}

#: A text is cut at a width if so many of its lines, and such a share of them, are nearly as wide as the commonest
#: width; widths are in columns, of which a Chinese character takes two. Below the least width it may be verse.
_FULL_LINES = 2
_FULL_SHARE = 0.2
_LEAST_WIDTH = 40
#: Columns by which full lines differ: a character of two columns, a mark that may not begin a line, a word kept whole.
_RAGGED = 8
_INDENT = 2


def fits(head: str) -> bool:
    """Any text: that it is a document, the folder says."""
    return True


def read(file: File, info: FileInfo, options: ReadOptions, block_rows: int) -> Iterator[Records]:
    """The document of a file, as the only row. Raises UserError if the task is no classification."""
    if options.task != "classification":
        raise UserError(f"{file.name}: folders of documents are for a classification, not for task {options.task}")
    counts: Counter[str] = Counter()
    yield from collect(file, options, block_rows, _rows(file, info, options, counts), counts)


def _rows(
    file: File, info: FileInfo, options: ReadOptions, counts: Counter[str]
) -> Iterator[tuple[Any, ...] | Problem]:
    if info.problem:
        yield Problem("unreadable_file", info.problem)
        return
    lines = list(chain.from_iterable(read_lines(file.path, info)))
    counts.update({kind: n for kind, n in (("undecodable_chars", info.undecodable), ("nul", info.nul)) if n})
    # A folder given as --source itself is no part of its files' names.
    folder = PurePosixPath(file.name).parent.name or file.path.parent.name
    label = label_lookup([folder], options.labels).get(folder)
    if label is None:
        yield Problem("label_outside_list", "\n".join(lines), 1)
        return
    told = {"text": "\n".join(joined(without_header(lines, counts), counts)), "label": label}
    yield tuple(told.get(name) for name in options.schema())


def without_header(lines: list[str], counts: Counter[str]) -> list[str]:
    """The title and the body of a document; all of it where it has no header."""
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    if not lines or _field(lines[first]) not in _FIRST:
        return lines
    fields = [_field(line) for line in lines]
    if _BODY in fields:
        end = fields.index(_BODY)
        body = [_FIELD.sub("", lines[end], count=1), *lines[end + 1 :]]
        title = _title(lines[:end], fields)
        counts["header_lines"] += end - len(title)
        return [*title, *body]
    end = next((i for i in range(first, len(lines)) if fields[i] not in _PUBLICATION), len(lines))
    counts["header_lines"] += end - first
    return lines[end:]


def _field(line: str) -> str:
    """The name of the header's field that begins in a line, without the blanks that spread it out."""
    found = _FIELD.match(line.lstrip()) if "【" in line else None
    return re.sub(r"\s", "", found[1]) if found else ""


def _title(header: list[str], fields: list[str]) -> list[str]:
    """The title's lines: from its field to the next one."""
    if _TITLE not in fields[: len(header)]:
        return []
    at = fields.index(_TITLE)
    end = next((i for i in range(at + 1, len(header)) if fields[i]), len(header))
    return [_FIELD.sub("", header[at], count=1), *header[at + 1 : end]]


def joined(lines: list[str], counts: Counter[str]) -> list[str]:
    """The paragraphs: blank lines and white space at the edges dropped, lines that were cut at a width joined again.

    A line goes on in the next one if it is full and the next one is not indented beyond the margin.
    """
    texts = [line.strip() for line in lines]
    said = {
        "blank_lines": texts.count(""),
        "edge_space": sum(text != line for text, line in zip(texts, lines, strict=True) if text),
    }
    widths = _widths(lines)
    limit, by_column = _limit(widths)
    paragraphs = _paragraphs(lines, texts, widths, limit, by_column) if limit else list(filter(None, texts))
    said["lines_joined"] = len(texts) - said["blank_lines"] - len(paragraphs)
    counts.update({kind: n for kind, n in said.items() if n})
    return paragraphs


def _widths(lines: list[str]) -> list[int]:
    """Columns of each line; they are encoded in one go, for no byte of a longer character is a line feed."""
    return [len(line) for line in "\n".join(lines).encode("gb18030", "replace").split(b"\n")] if lines else []


def _paragraphs(lines: list[str], texts: list[str], widths: list[int], limit: int, by_column: bool) -> list[str]:
    """The paragraphs of a text that was cut at a width."""
    indents = [0 if line == text else _indent(line, text) for line, text in zip(lines, texts, strict=True)]
    full = [limit - _RAGGED <= width <= limit + _RAGGED for width in widths]
    margin = _margin(texts, indents, full)
    paragraphs: list[str] = []
    goes_on = spaced = False  # whether the line before was full, whether a space ended it
    for line, text, indent, is_full in zip(lines, texts, indents, full, strict=True):
        if not text:
            goes_on = False
            continue
        if goes_on and indent < margin + _INDENT:
            apart = spaced or indent > margin or (not by_column and _are_words(paragraphs[-1], text))
            paragraphs[-1] += " " + text if apart else text
        else:
            paragraphs.append(text)
        goes_on, spaced = is_full, line[-1].isspace()
    return paragraphs


def _limit(widths: list[int]) -> tuple[int, bool]:
    """The width at which the lines of a text were cut (0 if they were not), and whether even within a word."""
    wide = Counter([width for width in widths if width >= _LEAST_WIDTH])
    limit = max(wide, key=lambda width: (wide[width], width), default=0)
    full = sum(n for width, n in wide.items() if abs(width - limit) <= _RAGGED)
    if full < _FULL_LINES or full < _FULL_SHARE * sum(map(bool, widths)):
        return 0, False
    # Where words are kept whole, hardly two lines are of the same width.
    return limit, 2 * wide[limit] >= full


def _margin(texts: list[str], indents: list[int], full: list[bool]) -> int:
    """The white space before every line of a page: what most lines have that follow a full one.

    Where no line is indented beyond it, it is not the page's but that of a list of paragraphs.
    """
    pairs = zip(full, texts[1:], indents[1:], strict=False)
    after = Counter([indent for after_full, text, indent in pairs if after_full and text])
    margin = max(after, key=lambda indent: (after[indent], -indent), default=0)
    return margin if max(indents) >= margin + _INDENT else 0


def _indent(line: str, text: str) -> int:
    """Columns of white space before the text of a line; none in a blank one."""
    space = line[: line.find(text)]
    return len(space) + space.count("\u3000")


def _are_words(before: str, after: str) -> bool:
    """Whether two words of letters or digits would be run together."""
    return before[-1].isascii() and before[-1].isalnum() and after[0].isascii() and after[0].isalnum()
