"""Texts as sets of character n-grams, worked out for many texts at a time in NumPy.

An n-gram is one u64 below 2⁶³: up to three characters are packed as they are, longer ones hashed. A text shorter than
n is one n-gram, filled up with U+0000, which no text holds. Texts of about one length stand together as the rows of a
matrix, so that the work on them is that of whole columns; a row is filled up by repeating its last n-gram, which
changes nothing of the set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from curate.lazy import pl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    U64: TypeAlias = NDArray[np.uint64]
    Index: TypeAlias = NDArray[np.int64]

#: Bits of a code point, and how many code points are packed into one n-gram.
_BITS, _PACKED = 21, 3
#: Set in numbers that stand for no n-gram.
_NONE = 1 << 63
#: Elements of a matrix that is worked on at a time: half a megabyte, which stays in the processor's cache.
_BLOCK = 1 << 16
#: N-grams that are made at a time, for the same reason.
_PASS = 1 << 15
#: Characters of texts that are cut into n-grams at a time.
PIECE = 1 << 20


@dataclass
class Shingles:
    """The n-grams of texts: of text i `count[i]` of them, repeats included, from `start[i]` on."""

    grams: U64
    start: Index
    count: Index

    def blocks(self) -> Iterator[tuple[Index, U64]]:
        """(texts, matrix): the n-grams of some texts, a row each; every text comes once."""
        import numpy as np

        width = _widths(self.count)
        order = np.argsort(width, kind="stable")
        ordered = width[order]
        begin = 0
        while begin < len(order):
            w = int(ordered[begin])
            end = int(np.searchsorted(ordered, w, side="right"))
            end = min(end, begin + max(1, _BLOCK // w))
            texts = order[begin:end]
            yield texts, self.matrix(texts, w)
            begin = end

    def matrix(self, texts: Index, width: int) -> U64:
        """The n-grams of these texts, a row each, filled up to `width`."""
        import numpy as np

        places = np.minimum(np.arange(width), self.count[texts][:, None] - 1)
        places += self.start[texts][:, None]
        return self.grams[places]


def _widths(count: Index) -> Index:
    """Row lengths for texts of so many n-grams: few different ones, none more than an eighth above what is needed."""
    import numpy as np

    step = np.maximum(4, 1 << np.maximum(0, np.frexp(count)[1] - 4).astype(np.int64))
    return -(-count // step) * step


def shingle(texts: pl.Series, n: int) -> Shingles:
    """The n-grams of each text."""
    import numpy as np

    length = texts.str.len_chars().to_numpy().astype(np.int64)
    if (length < n).any():
        texts, length = texts.str.pad_end(n, "\0"), np.maximum(length, n)
    joined = texts.str.join("").item() if len(texts) else ""
    points = np.frombuffer(joined.encode("utf-32-le"), np.uint32).astype(np.uint64)
    grams = np.empty(max(0, len(points) - n + 1), np.uint64)
    # A part at a time, which stays in the processor's cache while it is gone through n times.
    for begin in range(0, len(grams), _PASS):
        part = grams[begin : begin + _PASS]
        end = begin + len(part)
        part[:] = points[begin:end]
        for k in range(1, n):
            following = points[begin + k : end + k]
            if n <= _PACKED:
                part <<= np.uint64(_BITS)
                part |= following
            else:
                part *= np.uint64(0x9E3779B97F4A7C15)
                part += following
        if n > _PACKED:
            part[:] = mix(part) >> np.uint64(1)
    return Shingles(grams, np.cumsum(length) - length, length - n + 1)


def pieces(texts: pl.Series, size: int = PIECE) -> Iterator[tuple[int, pl.Series]]:
    """(place of the first, texts): the series in parts of about `size` characters."""
    import numpy as np

    part = np.cumsum(texts.str.len_chars().to_numpy().astype(np.int64)) // size
    bounds = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(texts)]
    for begin, end in pairwise(bounds):
        if end > begin:
            yield begin, texts.slice(begin, end - begin)


def mix(values: U64) -> U64:
    """splitmix64's finaliser, as in `curate.text.hashing.mix`."""
    import numpy as np

    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def distinct(matrix: U64) -> Index:
    """How many different numbers each row of a matrix holds; the rows are left sorted."""
    matrix.sort(axis=1)
    return 1 + (matrix[:, 1:] != matrix[:, :-1]).sum(axis=1)


def set_sizes(texts: pl.Series, n: int) -> Index:
    """How many different n-grams each text has."""
    import numpy as np

    sizes = np.zeros(len(texts), np.int64)
    for begin, piece in pieces(texts):
        for rows, matrix in shingle(piece, n).blocks():
            sizes[begin + rows] = distinct(matrix)
    return sizes


def jaccard(texts: pl.Series, n: int, one: Index, other: Index) -> NDArray[np.float64]:
    """The Jaccard similarity of the n-gram sets of text `one[k]` and text `other[k]`, for every k: exact."""
    import numpy as np

    found = np.empty(len(one))
    # Texts that the pairs name, each cut into n-grams once; pairs of many characters are worked on in parts.
    length = texts.str.len_chars().to_numpy().astype(np.int64)
    part = np.cumsum(length[one] + length[other]) // (2 * PIECE)
    bounds = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(one)]
    for begin, end in pairwise(bounds if len(one) else ()):
        a, b = one[begin:end], other[begin:end]
        named, where = np.unique(np.concatenate([a, b]), return_inverse=True)
        shingles = shingle(texts.gather(named), n)
        a, b = where[: len(a)], where[len(a) :]
        width = _widths(np.maximum(shingles.count[a], shingles.count[b]))
        for w in np.unique(width).tolist():
            same = np.flatnonzero(width == w)
            step = max(1, _BLOCK // w)
            for at in range(0, len(same), step):
                pairs = same[at : at + step]
                found[begin + pairs] = _jaccard_rows(shingles.matrix(a[pairs], w), shingles.matrix(b[pairs], w))
    return found


def _jaccard_rows(a: U64, b: U64) -> NDArray[np.float64]:
    """Row by row: what stands in both sets is what meets its like once the two, without repeats, are sorted as one."""
    import numpy as np

    sizes = distinct(a) + distinct(b)
    width = a.shape[1]
    for first, matrix in ((0, a), (width, b)):
        repeated = matrix[:, 1:] == matrix[:, :-1]
        fill = np.arange(first + 1, first + width, dtype=np.uint64) | np.uint64(_NONE)
        matrix[:, 1:][repeated] = np.broadcast_to(fill, repeated.shape)[repeated]
    both = np.concatenate([a, b], axis=1)
    both.sort(axis=1)
    common = (both[:, 1:] == both[:, :-1]).sum(axis=1)
    return common / (sizes - common)
