"""Near-duplicates by the definition alone: every pair of texts compared, in plain Python."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import combinations

#: What new texts are made of.
CHARS = (
    "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜金生丽水玉出昆冈剑号巨阙珠称夜光"
)
_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*")


def ngrams(text: str, n: int) -> set[str]:
    """The n-grams of a text; a shorter text is one."""
    return {text[i : i + n] for i in range(len(text) - n + 1)} or {text}


def jaccard(a: str, b: str, n: int) -> float:
    one, other = ngrams(a, n), ngrams(b, n)
    return len(one & other) / len(one | other)


def levenshtein(a: str, b: str) -> int:
    if not a or not b:
        return len(a) + len(b)
    return min(
        levenshtein(a[1:], b) + 1, levenshtein(a, b[1:]) + 1, levenshtein(a[1:], b[1:]) + (a[0] != b[0])
    )  # fmt: skip


def one_edit(a: str, b: str) -> bool:
    """Whether one text is the other with one character put in, left out or changed."""
    if len(a) == len(b):
        return sum(x != y for x, y in zip(a, b, strict=True)) == 1
    long, short = sorted((a, b), key=len, reverse=True)
    return len(long) == len(short) + 1 and any(long[:k] + long[k + 1 :] == short for k in range(len(long)))


def alike(a: str, b: str, threshold: float, ngram: str | int = "auto", short: str = "exact") -> bool:
    """Whether two texts are near-duplicates, by the rule of the shorter one."""
    if a == b:
        return True
    least, most = sorted((len(a), len(b)))
    if ngram == "auto" and least < 16:
        return short == "edit1" and one_edit(a, b) and round(1 - 1 / most, 9) >= threshold
    n = ngram if isinstance(ngram, int) else 2 if least <= 60 else 3 if least <= 200 else 5
    if min(least, most) < n and ngram == "auto":
        raise AssertionError("no class of `auto` holds texts shorter than its n-grams")
    return jaccard(a, b, n) >= threshold


def numbers(text: str) -> tuple[str, ...]:
    return tuple(_NUMBER.findall(text))


def meets(known: str, text: str, near: float | None, coverage: float | None) -> tuple[str, float, bool] | None:
    """Whether a text gives an evaluation text away: ("near" or "covers", score, whether it is a leak or merely told).

    Up to 200 characters by likeness, longer ones by coverage; from 61 on by coverage as large as the likeness too.
    """
    short = len(known) <= 200
    least = near if short else coverage
    if least is None or (len(known) < 16 and len(text) < 16):
        return None
    n = 2 if min(len(known), len(text)) <= 60 else 3
    if short and min(len(known), len(text)) >= 16 and numbers(known) == numbers(text):
        alike = jaccard(known, text, n)
        if alike >= least:
            return "near", alike, True
    if len(known) > 60:
        grams = ngrams(known, 13)
        covered = len(grams & ngrams(text, 13)) / len(grams)
        if covered >= (least if short else min(least, 0.1)):
            return "covers", covered, covered >= least
    return None


def clusters(
    texts: Sequence[str],
    threshold: float,
    ngram: str | int = "auto",
    short: str = "exact",
    groups: Sequence[object] | None = None,
    digits: str = "count",
) -> list[int]:
    """For each text the first one of its cluster; texts of two groups, or with other numbers, are never alike."""
    texts = [_NUMBER.sub("0", text) if digits == "ignore" else text for text in texts]
    apart = [(group, tuple(_NUMBER.findall(text))) for group, text in zip(groups or texts, texts, strict=True)]
    if groups is None:
        apart = [("", numbers) for _, numbers in apart]
    first = list(range(len(texts)))

    def root(i: int) -> int:
        while first[i] != i:
            i = first[i]
        return i

    for i, j in combinations(range(len(texts)), 2):
        if apart[i] == apart[j] and alike(texts[i], texts[j], threshold, ngram, short):
            low, high = sorted((root(i), root(j)))
            first[high] = low
    return [root(i) for i in range(len(texts))]


def joined(texts: Sequence[str], threshold: float, groups: Sequence[object] | None = None) -> list[int]:
    """`clusters` of `ngram: auto` and `short: exact` for thousands of texts: all intersections by matrix product."""
    import numpy as np
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    lengths = np.array([len(text) for text in texts])
    shorter = np.minimum(lengths[:, None], lengths[None, :])
    apart = [
        (group, tuple(_NUMBER.findall(text))) for group, text in zip(groups or [()] * len(texts), texts, strict=True)
    ]
    number = {told: k for k, told in enumerate(dict.fromkeys(apart))}
    group = np.array([number[told] for told in apart])
    exact = {text: k for k, text in enumerate(dict.fromkeys(texts))}
    key = np.array([exact[text] for text in texts])
    edges = key[:, None] == key[None, :]
    for n, least, most in ((2, 16, 60), (3, 61, 200), (5, 201, 10**9)):
        sets = [ngrams(text, n) for text in texts]
        known: dict[str, int] = {}
        columns = [known.setdefault(gram, len(known)) for grams in sets for gram in sorted(grams)]
        sizes = np.array([len(grams) for grams in sets])
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        matrix = csr_matrix((np.ones(len(columns), np.int32), columns, bounds), shape=(len(texts), len(known)))
        common = (matrix @ matrix.T).toarray()
        similar = common / (sizes[:, None] + sizes[None, :] - common) >= threshold
        edges |= similar & (shorter >= least) & (shorter <= most)
    edges &= group[:, None] == group[None, :]
    _, component = connected_components(csr_matrix(edges), directed=False)
    first: dict[int, int] = {}
    return [first.setdefault(int(part), i) for i, part in enumerate(component)]


def meetings(
    known: Sequence[str], texts: Sequence[str], near: float, coverage: float
) -> set[tuple[int, int, str, float, bool]]:
    """`meets` of every known text with every other one: (text, known, how, score, leak), by matrix products."""
    import numpy as np
    from scipy.sparse import csr_matrix

    found = set()
    sizes = np.array([len(text) for text in texts])
    lengths = np.array([len(text) for text in known])
    shorter = np.minimum(lengths[:, None], sizes[None, :])
    same = np.array([numbers(text) for text in known], dtype=object), [numbers(text) for text in texts]
    number = {told: k for k, told in enumerate({*map(tuple, same[0]), *same[1]})}
    mine, theirs = (np.array([number[tuple(told)] for told in side]) for side in same)
    for n, least, most in ((2, 16, 60), (3, 61, 200), (13, 0, 0)):
        columns: dict[str, int] = {}
        matrices, counts = [], []
        for side in (known, texts):
            sets = [ngrams(text, n) for text in side]
            places = [columns.setdefault(gram, len(columns)) for grams in sets for gram in sorted(grams)]
            counts.append(np.array([len(grams) for grams in sets]))
            matrices.append((places, np.concatenate([[0], np.cumsum(counts[-1])])))
        one, other = (
            csr_matrix((np.ones(len(places), np.int32), places, bounds), shape=(len(bounds) - 1, len(columns)))
            for places, bounds in matrices
        )
        common = (one @ other.T).toarray()
        if n < 13:
            score = common / (counts[0][:, None] + counts[1][None, :] - common)
            hits = (score >= near) & (shorter >= least) & (shorter <= most) & (lengths <= 200)[:, None]
            hits &= mine[:, None] == theirs[None, :]
            enough = hits
        else:
            score = common / counts[0][:, None]
            asked = np.where(lengths <= 200, near, coverage)[:, None]
            enough = (score >= asked) & (lengths > 60)[:, None]
            hits = enough | ((score >= 0.1) & (lengths > 200)[:, None])
        how = "near" if n < 13 else "covers"
        found |= {(int(i), int(j), how, float(score[j, i]), bool(enough[j, i])) for j, i in np.argwhere(hits)}
    return found


def made(draw: random.Random, length: int) -> str:
    return "".join(draw.choices(CHARS, k=length))


def changed(draw: random.Random, text: str, times: int) -> str:
    """A copy with characters changed, words before or behind it, a part left out, or another number in it."""
    for _ in range(times):
        k = draw.randrange(len(text) + 1)
        kind = draw.choice(("change", "more", "before", "behind", "less", "number"))
        if kind == "change":
            text = text[:k] + draw.choice(CHARS) + text[k + 1 :]
        elif kind == "less":
            text = text[:k] + text[k + draw.randrange(12) :]
        elif kind == "number":
            text = text[:k] + draw.choice("35") + text[k:]
        else:
            more = made(draw, draw.choice((1, 3, 30)))
            text = {"more": text[:k] + more + text[k:], "before": more + text, "behind": text + more}[kind]
    return text or "空"
