"""Short texts one edit apart: a character put in, left out, or another in its place.

Two such texts have a form in common once each may leave out one character (Mor and Fraenkel, 1982; Garbe's SymSpell),
so only texts that share such a form are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.lazy import pl
from curate.text.shingles import mix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.text.shingles import U64, Index


def points(texts: pl.Series, width: int) -> NDArray[np.uint32]:
    """The code points of texts of at most `width` characters, a row each, filled up with 0."""
    import numpy as np

    joined = texts.str.pad_end(width, "\0").str.join("").item() if len(texts) else ""
    return np.frombuffer(joined.encode("utf-32-le"), np.uint32).reshape(len(texts), width)


def forms(texts: NDArray[np.uint32]) -> tuple[U64, Index]:
    """(hash, row) of every text as it is and with each of its characters left out."""
    import numpy as np

    length = (texts != 0).sum(axis=1)
    hashes, rows = [_hash(texts)], [np.arange(len(texts))]
    for k in range(texts.shape[1]):
        there = np.flatnonzero(length > k)
        hashes.append(_hash(np.delete(texts[there], k, axis=1)))
        rows.append(there)
    return np.concatenate(hashes), np.concatenate(rows)


def _hash(texts: NDArray[np.uint32]) -> U64:
    import numpy as np

    # Zeros at the end change nothing: a text has the same hash in a wider matrix.
    value, power = np.zeros(len(texts), np.uint64), np.uint64(1)
    for column in texts.T:
        value += mix(column.astype(np.uint64)) * power
        power = np.uint64(int(power) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    return mix(value)


def one_apart(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Row by row, whether two different texts are one edit apart."""
    import numpy as np

    n, m = (a != 0).sum(axis=1), (b != 0).sum(axis=1)
    swap = n < m
    long, short = np.where(swap[:, None], b, a), np.where(swap[:, None], a, b)
    substituted = (n == m) & ((a != b).sum(axis=1) == 1)
    # What comes before the first difference, and what is the same from there on with one character left out.
    same = long == short
    before = np.where(same.all(axis=1), same.shape[1], np.argmin(same, axis=1))
    shifted = np.concatenate([long[:, 1:], np.zeros((len(long), 1), np.uint32)], axis=1)
    behind = (shifted == short) | (np.arange(same.shape[1]) < before[:, None])
    return substituted | ((np.abs(n - m) == 1) & behind.all(axis=1))


def edit_similarity(one: pl.Series, other: pl.Series) -> NDArray[np.float64]:
    """1 − edits / length of the longer, for every pair of different texts; those one edit apart are found at once."""
    import numpy as np

    longer = pl.select(pl.max_horizontal(one.str.len_chars(), other.str.len_chars())).to_series()
    width = int(longer.max() or 0)  # type: ignore[arg-type]
    count = one_apart(points(one, width), points(other, width)).astype(np.int64)
    for k in np.flatnonzero(count == 0).tolist():
        count[k] = edits(one[k], other[k])
    return 1 - count / longer.to_numpy()


def edits(a: str, b: str) -> int:
    """The least number of edits from one text to the other (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]
