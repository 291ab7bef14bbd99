"""ROUGE by character: rouge-score (Google's) over the tokens of this module.

A token is one character, punctuation included, or a run of ASCII letters and digits; white space separates, and case
doesn't count. rouge-score's own tokenizer keeps nothing but a-z and 0-9, so that any two Chinese texts score 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

KINDS = ("rouge1", "rouge2", "rougeL")
_TOKEN = re.compile(r"[a-z0-9]+|\S")


def characters(text: str) -> list[str]:
    """iPhone 手机，3G → iphone 手 机 ， 3g"""
    return _TOKEN.findall(text.lower())


class _Tokenizer:
    """What rouge-score asks of a tokenizer (its base class is never checked)."""

    def tokenize(self, text: str) -> list[str]:
        return characters(text)


def rouge_scores(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """(N, 3): the F of ROUGE-1, ROUGE-2 and ROUGE-L of each row, each the best over its references."""
    from rouge_score.rouge_scorer import RougeScorer

    tokenizer: Any = _Tokenizer()
    scorer = RougeScorer(list(KINDS), tokenizer=tokenizer)
    rows = []
    for prediction, given in zip(predictions, references, strict=True):
        best = scorer.score_multi(given, prediction)
        rows.append([best[kind].fmeasure for kind in KINDS])
    return np.array(rows, dtype=np.float64)
