"""Corpus text inside Markdown: nothing a row holds may end a table cell, open a tag or close a fence.

Corpora are full of pipes, backticks, HTML and line ends. In a cell every character that Markdown or HTML could take
for markup becomes a numeric entity (a backslash before a pipe is read in two ways, an entity in one); in a fenced
block the fence is longer than any run of backticks inside.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

#: Characters of a text that a card shows.
LIMIT = 300

_ENTITIES = {ord(char): f"&#{ord(char)};" for char in "\\`*~[]|<>&$"}
_LINE_ENDS = re.compile(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
#: What has no shape of its own, or would turn the text around it: shown by its number.
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
#: Inside a word (`label_conflict`) an underscore is no markup.
_LOOSE_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_BREAK_AT_START = re.compile(r"^[#+\-=:!>]|^\d+[.)]")


def clip(text: str, limit: int = LIMIT) -> str:
    """At most `limit` characters, with … where something was cut off."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def visible(text: str) -> str:
    """Control, format and lone surrogate characters as ⟨U+200B⟩; line ends and tabs stay."""
    if text.isprintable():
        return text
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in _UNSEEN else f"⟨U+{ord(char):04X}⟩"
        for char in text
    )


def cell(value: object, limit: int = LIMIT) -> str:
    """A value as the text of a table cell or a line: one line, without markup, never empty of meaning."""
    text = clip(str(value), limit)
    text = visible(_LINE_ENDS.sub("⏎", text)).replace("\t", "⇥").strip()
    return _LOOSE_UNDERSCORE.sub("&#95;", text.translate(_ENTITIES))


def line(value: object) -> str:
    """A value as a paragraph of its own: as in a cell, and its start can't be taken for a heading or a list."""
    text = cell(value, 2000)
    return f"&#{ord(text[0])};{text[1:]}" if _BREAK_AT_START.match(text) and not text[0].isdigit() else text


def fence(text: str, limit: int = LIMIT, language: str = "text") -> str:
    """A fenced block around a text."""
    body = visible(_LINE_ENDS.sub("\n", clip(text, limit)))
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}{language}\n{body}\n{marks}"


class Table(str):
    """A table as Markdown that still knows its cells, so that the page shows the very same ones."""

    head: list[str]
    rows: list[list[str]]
    texts: int

    @classmethod
    def of(cls, head: Iterable[object], rows: Iterable[Iterable[object]], texts: int = 1) -> Table:
        """The first `texts` columns hold text, the others numbers, right-aligned. Cells are escaped here."""
        plain = [[str(value) for value in row] for row in (head, *rows)]
        titles = [cell(title) for title in plain[0]]
        marks = ["---" if index < texts else "---:" for index in range(len(titles))]
        lines = [titles, marks]
        for row in plain[1:]:
            cells = [cell(value) for value in row]
            if len(cells) != len(titles):
                raise ValueError(f"a row of {len(cells)} cells under {len(titles)} titles: {cells}")
            lines.append(cells)
        made = cls("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
        made.head, made.rows, made.texts = plain[0], plain[1:], texts
        return made


table = Table.of


def link(text: str) -> str:
    """A web address as a link, anything else as text."""
    return f"<{text}>" if re.fullmatch(r"https?://[^\s<>`|\\]+", text) else cell(text)
