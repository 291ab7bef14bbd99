"""MinHash: which of many texts may be near-duplicates, found without comparing each with each.

Texts of Jaccard similarity s share the least hash of their n-grams with probability s. A **band** is several such
hashes together; texts that share a band are proposed, and the exact similarity decides. Bands follow from the
threshold: so many that a pair just at it is missed once in a thousand times.

Broder, On the resemblance and containment of documents, 1997; Leskovec et al., Mining of Massive Datasets, ch. 3. A
proposed pair is first looked at through two bitmaps of 64 hashed n-grams, which rule most false ones out and never a
true one (Sandes et al., A bitmap filter for exact set similarity joins, 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING

from curate.lazy import pl
from curate.text.hashing import mix_int
from curate.text.shingles import Shingles, distinct, mix, pieces, shingle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.text.shingles import U64, Index

#: The chance that a pair just at the threshold is never proposed, and how many hashes a text may cost at most.
MISSED, HASHES = 0.001, 128
#: Hashes of a band at most. Longer ones propose fewer false pairs, but the bitmaps are rid of those at less cost.
LONGEST = 4
#: In a bucket each text is compared with so many of the next ones: k texts that share a band make no k² pairs.
REACH = 64
#: It is compared with more where a band's buckets are few or small, unless so many pairs a text have passed already.
FEW = 4
#: Rows of a matrix from this width on are worked on one by one, narrower ones column by column.
_WIDE = 512
_LOW = 0xFFFFFFFF


@lru_cache(maxsize=8)
def banding(threshold: float) -> tuple[int, int]:
    """(bands, hashes a band) for a Jaccard threshold in (0, 1]."""
    best = (1, 1)
    for rows in range(1, LONGEST + 1):
        chance = threshold**rows
        bands = 1 if chance > 1 - MISSED else math.ceil(math.log(MISSED) / math.log1p(-chance))
        if rows > 1 and bands * rows > HASHES:
            break
        best = (bands, rows)
    return best


def proposed(similarity: float, threshold: float) -> float:
    """The chance that a pair of this similarity is proposed (the S-curve)."""
    bands, rows = banding(threshold)
    return 1 - (1 - similarity**rows) ** bands


@dataclass
class Sketch:
    """What is kept of texts: the size of each n-gram set, two bitmaps of it, and its bands (bands × texts)."""

    size: NDArray[np.uint32]
    bits: U64
    bands: NDArray[np.uint32]


def sketch(texts: pl.Series, n: int, threshold: float) -> Sketch:
    """The sketch of each text."""
    import numpy as np

    bands, rows = banding(threshold)
    made = Sketch(
        np.empty(len(texts), np.uint32),
        np.empty((2, len(texts)), np.uint64),
        np.empty((bands, len(texts)), np.uint32),
    )
    for begin, piece in pieces(texts):
        _sketch_piece(shingle(piece, n), made, begin, rows)
    return made


def _sketch_piece(shingles: Shingles, made: Sketch, begin: int, rows: int) -> None:
    import numpy as np

    for texts, matrix in shingles.blocks():
        at = begin + texts
        made.size[at] = distinct(matrix)
        # Column by column the least of many rows is found at once; of few long rows each is gone through alone.
        axis = 1 if matrix.shape[1] >= _WIDE else 0
        hashes = mix(matrix if axis else np.ascontiguousarray(matrix.T))
        bit = np.uint64(1) << (hashes & np.uint64(63))
        second = bit * (hashes >> np.uint64(6) & np.uint64(1))
        made.bits[1, at] = np.bitwise_or.reduce(second, axis=axis)
        bit ^= second
        made.bits[0, at] = np.bitwise_or.reduce(bit, axis=axis)
        base = (hashes >> np.uint64(32)).astype(np.uint32)
        turned, least = np.empty_like(base), np.empty(len(texts), np.uint32)
        for band in range(len(made.bands)):
            key = np.zeros(len(texts), np.uint64)
            for k in range(band * rows, (band + 1) * rows):
                np.multiply(base, np.uint32(_factor(k)), out=turned)
                np.minimum.reduce(turned, axis=axis, out=least)
                key *= np.uint64(0x9E3779B97F4A7C15)
                key += least
            made.bands[band, at] = mix(key) >> np.uint64(32)


@lru_cache(maxsize=HASHES)
def _factor(k: int) -> int:
    """The odd number that makes the k-th hash of an n-gram of its first: the same on every machine."""
    return mix_int(k + 1) & _LOW | 1


def bucket_pairs(keys: NDArray[np.uint32], items: U64) -> Iterator[tuple[Index, Index]]:
    """(i, j), i < j, of items that have a key in common: all of them in a bucket of up to REACH + 1.

    In a larger one each with the next REACH in the order of their numbers, and with those behind as long as not more
    than n · REACH pairs are made of all n items. Neighbours come first: each time pairs that stand one place further
    apart.
    """
    import numpy as np

    packed = keys.astype(np.uint64)
    packed <<= np.uint64(32)
    packed |= items
    packed.sort()
    key, item = (packed >> np.uint64(32)).astype(np.uint32), (packed & np.uint64(_LOW)).astype(np.int64)
    at = np.arange(len(key) - 1)
    made = 0
    for step in count(1):
        at = at[at + step < len(key)]
        at = at[key[at] == key[at + step]]
        made += len(at)
        if not len(at) or (step > REACH and made > len(key) * REACH):
            return
        i, j = item[at], item[at + step]
        yield (i, j) if (i != j).all() else (i[i != j], j[i != j])


def candidates(
    parts: Iterator[tuple[NDArray[np.uint32], U64]],
    alike: Callable[[Index, Index], NDArray[np.bool_]],
    spread: Callable[..., Iterator[Index]],
) -> tuple[Index, Index]:
    """The pairs (i, j), i < j, of all (keys, items) parts that pass `alike`, each once.

    `spread(function, parts)` is a map that may work on several parts at a time.
    """
    import numpy as np

    def of_part(part: tuple[NDArray[np.uint32], U64]) -> U64:
        found = [np.empty(0, np.uint64)]
        passes = 0
        for step, (i, j) in enumerate(bucket_pairs(*part), 1):
            # Where most of a bucket is alike, neighbours alone connect it; else look on for what stands far apart.
            if step > REACH and passes > FEW * len(part[0]):
                break
            passed = alike(i, j)
            passes += int(passed.sum())
            found.append(i[passed].astype(np.uint64) << np.uint64(32) | j[passed].astype(np.uint64))
        return np.unique(np.concatenate(found))

    pairs = np.unique(np.concatenate([np.empty(0, np.uint64), *spread(of_part, parts)]))
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(_LOW)).astype(np.int64)


def may_reach(
    size: NDArray[np.uint32], bits: Sequence[U64] | U64, threshold: float, i: Index, j: Index
) -> NDArray[np.bool_]:
    """False where the sizes or the bitmaps of two sets show that they are less alike than the threshold."""
    import numpy as np

    a, b = size[i].astype(np.float64), size[j].astype(np.float64)
    passed = np.minimum(a, b) >= threshold * np.maximum(a, b) - 1e-9
    apart = sum(np.bitwise_count(word[i] ^ word[j]).astype(np.uint32) for word in bits)
    return passed & (apart <= (a + b) * ((1 - threshold) / (1 + threshold)) + 1e-9)
