"""DRCD's exact match and F1: SQuAD v1.1's rules with the changes that DRCD's authors name in their repository.

A text is lower-cased, loses its punctuation (ASCII, and eight full-width marks) and the words a, an, the, and its
white space is folded. F1 then compares bags of characters, where SQuAD compares bags of words; a space left between
words is a character like any other. Of several references the best counts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

_DROPPED = str.maketrans("", "", string.punctuation + "《》？，。、；：")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def drcd_scores(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """(N, 2): exact match and F1 of each row, the best over its references."""
    rows = []
    for prediction, given in zip(predictions, references, strict=True):
        plain, known = _plain(prediction), [_plain(reference) for reference in given]
        rows.append((max(plain == one for one in known), max(_f1(plain, one) for one in known)))
    return np.array(rows, dtype=np.float64)


def _plain(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_DROPPED)).split())


def _f1(prediction: str, reference: str) -> float:
    common = (Counter(prediction) & Counter(reference)).total()
    return 2 * common / (len(prediction) + len(reference)) if common else 0.0
