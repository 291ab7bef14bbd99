"""What a figure has to beat: the most frequent label, and a linear model on character features without pretraining."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tune.metrics.accuracy import correct, label_reader
from tune.metrics.bootstrap import interval, mean

#: A row's text: one, or the two of a pair.
Texts = str | tuple[str, str]

#: Hashed features of each kind: 2^20 hold the characters and pairs of characters of the corpora nearly apart.
_BITS = 20
#: Passes over the train rows, fewer where passes × features × labels would take longer than about ten seconds.
_PASSES, _LEAST_PASSES, _UPDATES = 20, 3, 300_000_000
#: L2 penalty × train rows. Of 1, 0.1 and 0.03 the best on the validation splits of LCQMC and ChnSentiCorp.
_PENALTY = 0.03


def majority(gold: Sequence[str], *, seed: int = 0) -> dict[str, float]:
    """What answering the most frequent label of these very rows scores: {"value", "low", "high"}."""
    most = max(sorted(set(gold)), key=list(gold).count)
    return interval(correct([most] * len(gold), gold), mean(0), seed=seed)


def bag_of_characters(
    train_texts: Sequence[Texts], train_labels: Sequence[str], texts: Sequence[Texts], labels: Sequence[str]
) -> dict[str, float]:
    """Accuracy on `texts` of a linear model fitted to the train rows: {"value", "low", "high"}."""
    return interval(correct(fit_characters(train_texts, train_labels)(texts), labels), mean(0))


def fit_characters(texts: Sequence[Texts], labels: Sequence[str]) -> Callable[[Sequence[Texts]], list[str]]:
    """Fit logistic regression (averaged stochastic gradient descent) to character features; returns its prediction.

    The features are the characters and pairs of neighbouring characters of a text; for a pair of texts, those that
    both have and those that only one has, so that the order of the two doesn't matter. Same rows, same model. With one
    label among the train rows, that one is the prediction.
    """
    if len(set(labels)) < 2:
        return lambda asked: [labels[0]] * len(asked)
    from sklearn.linear_model import SGDClassifier

    x_NF = _features(texts)
    one_against_rest = len(set(labels)) if len(set(labels)) > 2 else 1
    passes = int(np.clip(_UPDATES // (x_NF.nnz * one_against_rest), _LEAST_PASSES, _PASSES))
    settings: dict[str, Any] = {"loss": "log_loss", "average": True, "tol": None, "random_state": 0}
    model: Any = SGDClassifier(alpha=_PENALTY / len(labels), max_iter=passes, **settings)
    model.fit(x_NF, np.array(labels))
    return lambda asked: model.predict(_features(asked)).tolist()


def labelled_texts(samples: Iterable[dict[str, Any]], words: Mapping[str, str]) -> tuple[list[Texts], list[str]]:
    """What the linear model reads of samples: the pair where there is one, else the user's message; and the labels.

    Left out are samples without a label, and those of inverted templates, whose answer is a text and not the label.
    """
    read = label_reader(words)
    texts: list[Texts] = []
    labels: list[str] = []
    for sample in samples:
        meta = sample["meta"]
        if not meta.get("label") or read(sample["output"]) != meta["label"]:
            continue
        fields = meta.get("fields") or {}
        # In a mixture every row has fields a and b, those of other tasks empty ones.
        pair = meta.get("task", "pair") == "pair" and {"a", "b"} <= fields.keys()
        message = "\n".join(filter(None, (sample["instruction"], sample["input"])))
        texts.append((fields["a"], fields["b"]) if pair else message)
        labels.append(meta["label"])
    return texts, labels


def _features(texts: Sequence[Texts]) -> Any:
    """A sparse matrix (N, F) of 0 and 1, its rows scaled to length 1."""
    from scipy.sparse import hstack
    from sklearn.preprocessing import normalize

    if isinstance(texts[0], str):
        return normalize(_ngrams([str(text) for text in texts]))
    one, other = _ngrams([text[0] for text in texts]), _ngrams([text[1] for text in texts])
    both = one.multiply(other)
    return normalize(hstack([both, one + other - 2 * both], format="csr"))


def _ngrams(texts: Sequence[str]) -> Any:
    """Which characters and pairs of neighbours each text has, hashed: a sparse matrix (N, 2^20) of 0 and 1."""
    from scipy.sparse import csr_matrix

    # All texts as one array of code points, a line end after each: no loop over characters.
    joined = "".join(text.lower().replace("\n", " ") + "\n" for text in texts)
    code_L = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    inside_L = code_L != ord("\n")
    row_L = np.cumsum(~inside_L)
    both_L = inside_L[:-1] & inside_L[1:]
    pair_L = ((code_L[:-1] + 1) << np.uint64(21)) + code_L[1:]
    keys = np.concatenate([code_L[inside_L], pair_L[both_L]])
    rows = np.concatenate([row_L[inside_L], row_L[:-1][both_L]])
    # Fibonacci hashing: the upper bits of a product with 2^64 / the golden ratio.
    columns = (keys * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _BITS)
    shape = (len(texts), 1 << _BITS)
    found = csr_matrix((np.ones(len(keys), dtype=np.float32), (rows, columns.astype(np.int64))), shape=shape)
    found.data[:] = 1  # repeats were added up
    return found
