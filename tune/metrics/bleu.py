"""BLEU over the corpus by sacrebleu with its Chinese tokenizer, and Dist-n by character.

The tokenizer `zh` takes each Chinese character as a token and leaves Latin words and numbers whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from tune.metrics.bootstrap import Figure, ratio

ORDER = 4


def bleu_statistics(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """(N, 10): each row's length, reference length, and matching and all n-grams for n = 1 … 4."""
    from sacrebleu.metrics.bleu import BLEU

    # `effective_order` touches a single sentence's score, which isn't used, and silences a warning about it.
    bleu = BLEU(tokenize="zh", max_ngram_order=ORDER, effective_order=True)
    rows = []
    for prediction, given in zip(predictions, references, strict=True):
        found = bleu.sentence_score(prediction, list(given))
        rows.append([found.sys_len, found.ref_len, *found.counts, *found.totals])
    return np.array(rows, dtype=np.float64)


def bleu(order: int) -> Figure:
    """Corpus BLEU up to n-grams of `order`, in 0..1, from summed statistics: sacrebleu's own formula and smoothing."""

    def figure(sums_RK: np.ndarray, _n: int) -> np.ndarray:
        from sacrebleu.metrics.bleu import BLEU

        return np.array([
            BLEU.compute_bleu(
                correct=counts[2 : 2 + order],
                total=counts[2 + ORDER : 2 + ORDER + order],
                sys_len=counts[0],
                ref_len=counts[1],
                smooth_method="exp",
                max_ngram_order=order,
            ).score / 100
            for counts in sums_RK.round().astype(int).tolist()
        ])  # fmt: skip

    return figure


def bleu_signature(order: int, references: int = 1) -> str:
    """sacrebleu's signature of the figure, for a report: which tokenizer, smoothing and version it came from."""
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(tokenize="zh", max_ngram_order=order)
    metric.corpus_score(["字"], [["字"]] * references)
    return f"BLEU-{order}|{metric.get_signature()}"


def dist_statistics(predictions: Sequence[str], order: int) -> np.ndarray:
    """(N, 2): each row's share of the corpus's distinct character n-grams, and its n-grams (white space left out).

    Dist-n = distinct n-grams / n-grams (Li et al., A Diversity-Promoting Objective Function, 2016). Distinct ones
    don't add up over rows, and a resample, which repeats rows, always has too few. So each row carries the n-grams
    that no other row has, plus an equal part of those that several have: the sum over all rows is exact, and leaving
    a row out costs what it costs in truth, which makes the interval the jackknife's to first order.
    """
    rows = [_ngrams(prediction, order) for prediction in predictions]
    holders = Counter(ngram for row in rows for ngram in row)
    shared = sum(1 for count in holders.values() if count > 1) / len(rows)
    return np.array(
        [(sum(holders[ngram] == 1 for ngram in row) + shared, row.total()) for row in rows], dtype=np.float64
    )


def _ngrams(text: str, order: int) -> Counter[str]:
    text = "".join(text.split())
    return Counter(text[at : at + order] for at in range(len(text) - order + 1))


def dist(sums_RK: np.ndarray, n: int) -> np.ndarray:
    """Distinct n-grams over all n-grams."""
    return np.minimum(ratio(sums_RK, n), 1.0)
