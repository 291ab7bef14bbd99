"""Normalising the stored text: as little as possible, every change counted.

Folded: full-width letters and digits to half width, U+3000 to a space. Removed: control and zero-width
characters. Line ends become `\\n`, white space at both ends goes. Chinese punctuation stays as it is
(NFKC would turn ，？！ into ASCII and leave 。《》, a mixture in every sentence).
"""

from __future__ import annotations

import re
import string
from typing import Any

from curate.lazy import pl
from curate.text.distinct import change_texts, put

CONTROL = "\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f"
ZERO_WIDTH = "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
_PICTURE = "\u2600-\u27bf\U0001f000-\U0001faff"

#: Full-width letters and digits, the commonest change and often the only one, and what becomes of them.
_WIDE = "[０-９Ａ-Ｚａ-ｚ]"
_FOLDED = {chr(ord(char) + 0xFEE0): char for char in string.digits + string.ascii_letters}

#: (kind, what it finds) in the order they are applied; the kinds are the card's words. Each pattern begins with the
#: characters it is about, so that the search runs from one of them to the next: long texts are mostly something else.
_PATTERNS = {
    "full_width": re.compile(_WIDE),
    "ideographic_space": re.compile("\u3000"),
    "line_ends": re.compile("\r(?:\r*\n)?"),
    "control": re.compile(f"[{CONTROL}]"),
    # A zero-width joiner between two emoji makes one picture of them: that one is kept.
    "zero_width": re.compile(
        f"[{ZERO_WIDTH}](?:(?<!\u200d)|(?<![{_PICTURE}\ufe0f]\u200d)|(?![{_PICTURE}]))",
    ),
    "edge_space": re.compile(r"\A\s+|\s+\Z"),
}
KINDS = tuple(_PATTERNS)
_REPLACEMENT: dict[str, Any] = {
    "full_width": lambda found: chr(ord(found[0]) - 0xFEE0),
    "ideographic_space": " ",
    "line_ends": "\n",
}

#: One cheap look decides that a text needs nothing: most texts do; another, that it has only wide letters to fold.
_OTHER = (
    "[\\x{3000}\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\x{ad}\\x{61c}\\x{180e}\\x{200b}-\\x{200f}"
    "\\x{202a}-\\x{202e}\\x{2060}-\\x{2064}\\x{2066}-\\x{206f}\\x{feff}]|^\\s|\\s$"
)
_TOUCHED = f"{_WIDE}|{_OTHER}"


def normalise_text(text: str, counts: dict[str, int] | None = None) -> str:
    """One text, normalised; `counts[kind]` grows by the characters changed."""
    for kind, pattern in _PATTERNS.items():
        if kind == "edge_space" and text == text.strip():
            continue
        text, n = pattern.subn(_REPLACEMENT.get(kind, ""), text)
        if n and counts is not None:
            counts[kind] = counts.get(kind, 0) + n
    return text


def normalise_series(texts: pl.Series, counts: dict[str, int]) -> pl.Series:
    """A string column, normalised: `normalise_text` of each text, and most of them stay as they are."""
    where = texts.str.contains(_TOUCHED).fill_null(False).arg_true()
    if not len(where):
        return texts
    touched = texts.gather(where)
    others = touched.str.contains(_OTHER).arg_true()
    changed = change_texts(touched.gather(others).to_list(), normalise_text, counts)
    touched = put(touched, others, pl.Series(changed, dtype=pl.String))
    # Nothing is left to fold in those.
    if folded := int(touched.str.count_matches(_WIDE).sum()):
        counts["full_width"] = counts.get("full_width", 0) + folded
        touched = touched.str.replace_many(list(_FOLDED), list(_FOLDED.values()))
    return put(texts, where, touched)
