"""Accuracy and F1 of generated labels, and the rule by which a generated text names a label."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tune.metrics.bootstrap import divide

#: The class whose F1 is `f1`.
POSITIVE = "1"


def label_reader(words: Mapping[str, str]) -> Callable[[str], str | None]:
    """The rule that turns a generated text into a label, for label words {"0": "不同", "1": "相同"}.

    Text and words are compared after NFKC, without case. A word counts where it stands free: no Chinese character,
    letter or digit touches it. Exactly one label must stand free in the text, any number of times; otherwise the text
    names none, which is a wrong answer. So 相同。, “相同” and 答案：不同 name a label, while 不相同, 意思相同 and
    相同/不同 name none: the sentence around a word may deny it, and guessing at that would flatter a model.
    """
    codes = {_plain(word): code for code, word in words.items()}
    longest_first = "|".join(re.escape(word) for word in sorted(codes, key=len, reverse=True))
    free = re.compile(rf"(?<![^\W_])(?:{longest_first})(?![^\W_])")

    def read(text: str) -> str | None:
        found = {codes[word] for word in free.findall(_plain(text))}
        return found.pop() if len(found) == 1 else None

    return read


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def correct(predicted: Sequence[str | None], gold: Sequence[str]) -> np.ndarray:
    """(N, 1): 1 where the label is right."""
    return np.array([[p == g] for p, g in zip(predicted, gold, strict=True)], dtype=np.float64)


def class_counts(predicted: Sequence[str | None], gold: Sequence[str], codes: Sequence[str]) -> np.ndarray:
    """(N, 3C): for each class, whether the row is predicted so rightly, predicted so, and so in truth."""
    p_NC = np.array(predicted, dtype=object)[:, None] == np.array(codes, dtype=object)
    g_NC = np.array(gold, dtype=object)[:, None] == np.array(codes, dtype=object)
    return np.concatenate([p_NC & g_NC, p_NC, g_NC], axis=1).astype(np.float64)


def mean_f1(sums_RK: np.ndarray, _n: int) -> np.ndarray:
    """The mean F1 = 2·right / (predicted + true) of the classes that have true rows; of one class, its F1.

    Equals scikit-learn's `f1_score(average="macro", labels=classes with true rows)`; texts that name no label are
    missed rows of their class, not a class of their own.
    """
    right_RC, predicted_RC, true_RC = np.split(sums_RK, 3, axis=1)
    there_RC = true_RC > 0
    f1_RC = np.where(there_RC, divide(2 * right_RC, predicted_RC + true_RC), 0.0)
    return divide(f1_RC.sum(axis=1), there_RC.sum(axis=1))
