"""CMRC 2018's exact match and F1, by the rules of its official evaluation script (version 6).

F1 compares tokens: a CJK character is one, a run of anything else is cut by NLTK's word tokenizer, and the listed
punctuation is dropped first. What is common is the longest run of tokens that stands in both, a substring, not a bag
of tokens. Of several references the best counts. Two oddities belong to the rules: dropped punctuation doesn't end a
run (a-b is the token ab), and the list has the ellipsis as a pair of characters, so that no … is ever dropped.

One step of the script is left out: before cutting a Latin run into words it splits it into sentences, which needs a
trained model. It matters only where a run holds two sentences (a full stop inside it stays on its word).
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

import numpy as np

#: What is dropped. Half-width , . ? ! ; ( ) and — < > are not among it.
PUNCTUATION = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")


def cmrc_scores(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """(N, 2): exact match and F1 of each row, the best over its references."""
    return np.array(
        [
            (max(_exact(r, p) for r in given), max(_f1(r, p) for r in given))
            for p, given in zip(predictions, references, strict=True)
        ],
        dtype=np.float64,
    )


def _exact(reference: str, prediction: str) -> float:
    return float(_without_punctuation(reference) == _without_punctuation(prediction))


def _without_punctuation(text: str) -> str:
    return "".join(char for char in text.lower().strip() if char not in PUNCTUATION)


def _f1(reference: str, prediction: str) -> float:
    expected, given = cut(reference), cut(prediction)
    common = SequenceMatcher(None, expected, given, autojunk=False).find_longest_match().size
    # Written as the script does, so that the last bit agrees: precision, recall, and their harmonic mean.
    if not common:
        return 0.0
    precision, recall = common / len(given), common / len(expected)
    return 2 * precision * recall / (precision + recall)


@lru_cache(maxsize=1 << 16)
def cut(text: str) -> tuple[str, ...]:
    """The tokens of a text, punctuation dropped: characters of U+4E00–U+9FA5, and the words of what lies between."""
    tokens: list[str] = []
    run = ""
    for char in _without_punctuation(text):
        if "\u4e00" <= char <= "\u9fa5":
            tokens += _words(run)
            run = ""
            tokens.append(char)
        else:
            run += char
    return tuple(tokens + _words(run))


def _words(run: str) -> list[str]:
    return _tokenizer().tokenize(run) if run else []


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    # The class, not `word_tokenize`: that one asks for a sentence model, which isn't installed with NLTK.
    from nltk.tokenize import NLTKWordTokenizer

    return NLTKWordTokenizer()
