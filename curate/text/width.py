"""Normalising the stored text: as little as possible, every change counted.

Folded: full-width letters and digits to half width, U+3000 to a space. Removed: control and zero-width
characters. Line ends become `\\n`, white space at both ends goes. Chinese punctuation stays as it is
(NFKC would turn ，？！ into ASCII and leave 。《》, a mixture in every sentence).
"""

from __future__ import annotations

import re
from typing import Any

from curate.lazy import pl
from curate.text.distinct import change_texts, put

CONTROL = "\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f"
ZERO_WIDTH = "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
_PICTURE = "\u2600-\u27bf\U0001f000-\U0001faff"

#: (kind, what it finds) in the order they are applied; the kinds are the card's words. Each pattern begins with the
#: characters it is about, so that the search runs from one of them to the next: long texts are mostly something else.
_PATTERNS = {
    "full_width": re.compile("[０-９Ａ-Ｚａ-ｚ]"),
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

#: One cheap look decides that a text needs nothing: most texts do.
_TOUCHED = (
    "[０-９Ａ-Ｚａ-ｚ\\x{3000}\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\x{ad}\\x{61c}\\x{180e}\\x{200b}-\\x{200f}"
    "\\x{202a}-\\x{202e}\\x{2060}-\\x{2064}\\x{2066}-\\x{206f}\\x{feff}]|^\\s|\\s$"
)


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
    """A string column, normalised: the texts that one regex finds go through `normalise_text`, the others stay."""
    touched = texts.str.contains(_TOUCHED).fill_null(False)
    if not touched.any():
        return texts
    where = touched.arg_true()
    changed = change_texts(texts.gather(where).to_list(), normalise_text, counts)
    return put(texts, where, pl.Series(changed, dtype=pl.String))
