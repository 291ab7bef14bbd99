"""Text published as subword pieces: words set apart by spaces, a word's pieces but the last ending in `@@`.

So are corpora written that went through a word segmenter and byte-pair encoding (`10@@ 6@@ k@@ g 金@@ 条`). Whether a
file is like that is asked once a file; joining brings back `106kg金条`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from operator import ne

#: Share of the deciding texts that must hold a cut word: a long text always does, a headline need not.
SHARE = 0.2

#: Compiled by `re` when first used, as in `spaced.py`.
_CUT = r"@@(?: +|$)"
#: Between Latin words and numbers the space was there before the segmenter came.
_SPACES = r"((?<=[A-Za-z0-9]) +(?=[A-Za-z0-9]))| +"


def is_pieced(texts: Iterable[str]) -> bool:
    """Whether these texts (the first of a file) are cut into pieces; blank ones have no say."""
    asked = [text for text in texts if text.strip()]
    return bool(asked) and sum("@@ " in text for text in asked) >= SHARE * len(asked)


def join_pieces(text: str) -> str:
    """The text before it was segmented and cut: `预@@ 产@@ 期 是 5 月` -> `预产期是5月`."""
    return join_words(re.sub(_CUT, "", text)) if "@@" in text else join_words(text)


def join_words(text: str) -> str:
    """Segmented text without the spaces between its words: one stays where ASCII letters or digits meet."""
    return re.sub(_SPACES, lambda found: " " if found[1] else "", text) if " " in text else text


def join_all_pieces(texts: list[str], counts: Counter[str]) -> list[str]:
    """Every text joined; `pieces_joined` counts those that changed."""
    joined = [join_pieces(text) for text in texts]
    counts["pieces_joined"] += sum(map(ne, joined, texts))
    return joined
