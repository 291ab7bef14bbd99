"""Texts that evaluation holds, found again elsewhere: nearly the same, or in large part inside another text.

An evaluation text of up to `LONG` characters is met again in a text that is nearly the same, by the classes of length
of `curate.near` and on the same condition: an exact Jaccard similarity of the n-gram sets from a threshold on, numbers
alike. A longer one is met again in **one** text that covers it: the share of its own 13-grams that stand there. So is
one of more than `SHORT` characters, but by as much as nearness asks for: a copy may have words before or after it,
while half of so little may be the footer of a web page. Any 13-gram in common is no leak: of unrelated passages one in
twelve has one.

Few texts are looked for in many, so neither rule needs MinHash, which may miss. Nearness is a prefix join: a set that
is Jaccard-similar by t to one of s n-grams has at least t·s of them, hence one of any s - ⌈t·s⌉ + 1; each evaluation
text is listed under so many of its rarest ones (Chaudhuri, Ganti and Kaushik, A primitive operator for similarity
joins in data cleaning, 2006). For coverage the common 13-grams are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from curate.lazy import pl
from curate.near import NUMBER, Rule, members_of, rules_of
from curate.text.hashing import hash_series
from curate.text.shingles import Shingles, jaccard, mix, pieces, shingle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.text.shingles import U64, Index

#: Characters of the longest evaluation text that is only compared as a whole, and of the longest that is compared so.
SHORT, LONG = 60, 200
#: Characters an n-gram of coverage.
GRAM = 13
#: Coverage from here on is told in a card, leak or not.
TOLD = 0.1
#: A 13-gram that stands in more evaluation texts than this is boilerplate: alone it makes no coverage.
COMMON = 64
#: Characters of the evaluation texts of one index: some hundred megabytes, whatever the size of the splits.
BLOCK = 1 << 23
#: (n-gram, evaluation text) pairs that are looked at together.
_PAIRS = 1 << 21
_EPSILON = 1e-9
_GOLDEN = 0x9E3779B97F4A7C15


@dataclass
class Found:
    """Which text (`text`, a place among those looked through) meets which known one (`known`, a place in the index),
    whether it `covers` it or is near to it, by how much (`score`), and whether that is a leak or merely `TOLD`."""

    text: Index
    known: Index
    covers: NDArray[np.bool_]
    score: NDArray[np.float64]
    leak: NDArray[np.bool_]


class Known:
    """An index of evaluation texts (comparison keys). `near` and `coverage` are thresholds, None for off.

    Texts of two `groups` never meet: they differ in what must be the same.
    """

    def __init__(self, texts: pl.Series, groups: U64, near: float | None, coverage: float | None) -> None:
        import numpy as np

        length = _lengths(texts)
        self._parts: list[_Near | _Covered] = []
        least = np.full(len(texts), np.inf)  # what is a leak by coverage
        if near is not None:
            short = np.flatnonzero(length <= LONG)
            rules = [rule for rule in rules_of(near, "auto", "exact") if rule.n and rule.least <= LONG]
            self._parts += [_Near(texts.gather(short), groups[short], short, rule) for rule in rules]
            least[(length > SHORT) & (length <= LONG)] = near
        if coverage is not None:
            least[length > LONG] = coverage
        self._least = least
        if len(long := np.flatnonzero(least <= 1)):
            told = np.where(length[long] > LONG, np.minimum(least[long], TOLD), least[long])
            self._parts.append(_Covered(texts.gather(long), groups[long], long, told))

    def find(self, texts: pl.Series, groups: U64) -> Found:
        """Every meeting of these texts with known ones; a text that is a known one meets itself."""
        import numpy as np

        met = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.bool_), np.empty(0))]
        for part in self._parts:
            for text, known, score in part.find(texts, groups):
                met.append((text, part.places[known], np.full(len(text), isinstance(part, _Covered)), score))
        text, known, covers, score = (np.concatenate(column) for column in zip(*met, strict=True))
        return Found(text, known, covers, score, ~covers | (score >= self._least[known] - _EPSILON))


def blocks(texts: pl.Series) -> Iterator[tuple[int, int]]:
    """(begin, end) of the texts that one index takes."""
    import numpy as np

    part = np.cumsum(_lengths(texts)) // BLOCK
    bounds = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(texts)]
    yield from ((begin, end) for begin, end in pairwise(bounds) if end > begin)


class _Near:
    """The known texts of one class of length, and longer ones that are like one of it."""

    def __init__(self, texts: pl.Series, groups: U64, places: Index, rule: Rule) -> None:
        import numpy as np

        self._rule = rule
        mine = members_of(texts, _lengths(texts), rule)
        self._texts, self.places = texts.gather(mine), places[mine]
        self._length = _lengths(self._texts)
        self._groups = _with_numbers(self._texts, groups[mine])
        grams, owner = _sets(shingle(self._texts, rule.n), self._groups)
        _, back, holders = np.unique(grams, return_inverse=True, return_counts=True)
        order = np.lexsort((grams, holders[back], owner))  # of each text the rarest first
        size = np.bincount(owner, minlength=len(mine))
        rank = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
        listed = rank <= (size - np.ceil(rule.threshold * size - _EPSILON))[owner]
        self._postings = Postings(grams[order][listed], owner[listed])

    def find(self, texts: pl.Series, groups: U64) -> Iterator[tuple[Index, Index, NDArray[np.float64]]]:
        import numpy as np

        rule = self._rule
        mine = members_of(texts, _lengths(texts), rule)
        for begin, piece in pieces(texts.gather(mine)):
            here = mine[begin : begin + len(piece)]
            length, salt = _lengths(piece), _with_numbers(piece, groups[here])
            for i, j, _ in self._postings.meet(shingle(piece, rule.n), salt):
                shorter = np.minimum(length[i], self._length[j])
                judged = (shorter >= rule.least) & (shorter <= (rule.most or shorter)) & (salt[i] == self._groups[j])
                i, j = i[judged], j[judged]
                both = pl.concat([piece.gather(i), self._texts.gather(j)])
                score = jaccard(both, rule.n, np.arange(len(i)), np.arange(len(i)) + len(i))
                alike = score >= rule.threshold
                yield here[i[alike]], j[alike], score[alike]


class _Covered:
    """The known texts that another one may cover, and by how much at least."""

    def __init__(self, texts: pl.Series, groups: U64, places: Index, least: NDArray[np.float64]) -> None:
        import numpy as np

        self._texts, self._groups, self.places, self._least = texts, groups, places, least
        grams, owner = _sets(shingle(texts, GRAM), groups)
        _, back, holders = np.unique(grams, return_inverse=True, return_counts=True)
        own = holders[back] <= COMMON
        self._size = np.bincount(owner, minlength=len(texts))
        self._common = self._size - np.bincount(owner[own], minlength=len(texts))
        self._postings = Postings(grams[own], owner[own])

    def find(self, texts: pl.Series, groups: U64) -> Iterator[tuple[Index, Index, NDArray[np.float64]]]:
        import numpy as np

        for begin, piece in pieces(texts):
            salt = groups[begin : begin + len(piece)]
            for i, j, n in self._postings.meet(shingle(piece, GRAM), salt):
                own = self._size[j] - self._common[j]
                may = (n >= self._least[j] * own - _EPSILON) & (salt[i] == self._groups[j])
                i, j, n, own = i[may], j[may], n[may], own[may]
                # Boilerplate counts beside as large a share of what is a text's own; it is looked up in the texts.
                shared = n.copy()
                if len(some := np.flatnonzero(self._common[j])):
                    shared[some] = _common(piece, self._texts, i[some], j[some])
                score = np.minimum(n / own, shared / self._size[j])
                enough = score >= self._least[j] - _EPSILON
                yield begin + i[enough], j[enough], score[enough]


class Postings:
    """Which known texts each n-gram stands in."""

    def __init__(self, grams: U64, owner: Index) -> None:
        """`grams[k]` stands in the text `owner[k]`; no pair comes twice."""
        import numpy as np

        order = np.argsort(grams, kind="stable")
        grams, self._owner = grams[order], owner[order].astype(np.uint32)
        first = np.flatnonzero(np.concatenate([[True], grams[1:] != grams[:-1]])) if len(grams) else order
        self._grams = grams[first]
        self._start = np.append(first, len(grams))
        # Nearly all n-grams of other texts stand nowhere here: a table of bits' worth tells so in one look.
        self._shift = np.uint64(64 - min(26, max(16, int(len(first) * 16).bit_length())))
        self._seen = np.zeros(1 << (64 - int(self._shift)), np.bool_)
        self._seen[self._slot(self._grams)] = True

    def _slot(self, grams: U64) -> U64:
        import numpy as np

        return (grams * np.uint64(_GOLDEN)) >> self._shift

    def meet(self, shingles: Shingles, salt: U64) -> Iterator[tuple[Index, Index, Index]]:
        """(texts, known ones, how many of the listed n-grams they share): pairs that share any, each once."""
        import numpy as np

        if not len(self._grams):
            return
        grams = _salted(shingles, salt)
        at = np.flatnonzero(self._seen[self._slot(grams)])
        place = np.minimum(np.searchsorted(self._grams, grams[at]), len(self._grams) - 1)
        text = np.searchsorted(shingles.start, at, side="right") - 1
        # An n-gram that begins in one text and ends in the next is none.
        real = (self._grams[place] == grams[at]) & (at < (shingles.start + shingles.count)[text])
        met = np.unique(text[real] << 32 | place[real])
        text, place = met >> 32, met & 0xFFFFFFFF
        many = self._start[place + 1] - self._start[place]
        part = np.cumsum(many) // _PAIRS
        last = np.flatnonzero(np.diff(part)) + 1
        # A text's meetings are counted together.
        cuts = np.unique(np.searchsorted(text, text[last])) if len(last) else last
        for begin, end in pairwise([0, *cuts[cuts > 0].tolist(), len(text)]):
            n = many[begin:end]
            offset = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
            known = self._owner[np.repeat(self._start[place[begin:end]], n) + offset].astype(np.int64)
            pairs, count = np.unique(np.repeat(text[begin:end], n) << 32 | known, return_counts=True)
            yield pairs >> 32, pairs & 0xFFFFFFFF, count


def _lengths(texts: pl.Series) -> Index:
    import numpy as np

    return texts.str.len_chars().to_numpy().astype(np.int64)


def _with_numbers(texts: pl.Series, groups: U64) -> U64:
    """The groups, told apart by the numbers in the texts too."""
    groups = groups.copy()
    if len(where := texts.str.contains("[0-9]").arg_true()):
        told = hash_series(texts.gather(where).str.extract_all(NUMBER).list.join(" ")).to_numpy()
        groups[where.to_numpy()] = mix(groups[where.to_numpy()] ^ told)
    return groups


def _salted(shingles: Shingles, salt: U64) -> U64:
    """The n-grams with their text's group mixed in: those of two groups are never the same."""
    import numpy as np

    if not salt.any():
        return shingles.grams
    bounds = np.append(shingles.start[1:], len(shingles.grams)) - shingles.start
    return shingles.grams ^ np.repeat(salt, bounds)


def _sets(shingles: Shingles, salt: U64) -> tuple[U64, Index]:
    """(n-grams, their texts): each n-gram of a text once, in the order of the texts."""
    import numpy as np

    grams, owner = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for texts, matrix in shingles.blocks():
        matrix = matrix ^ salt[texts][:, None]
        matrix.sort(axis=1)
        first = np.ones(matrix.shape, np.bool_)
        first[:, 1:] = matrix[:, 1:] != matrix[:, :-1]
        grams.append(matrix[first])
        owner.append(np.repeat(texts, first.sum(axis=1)))
    order = np.argsort(found := np.concatenate(owner), kind="stable")
    return np.concatenate(grams)[order], found[order]


def _common(texts: pl.Series, known: pl.Series, i: Index, j: Index) -> Index:
    """How many of the 13-grams of known text `j[k]` stand in text `i[k]`, for every k."""
    import numpy as np

    some, i = np.unique(i, return_inverse=True)
    others, j = np.unique(j, return_inverse=True)
    zero = np.zeros(max(len(some), len(others)), np.uint64)
    there, holder = _sets(shingle(texts.gather(some), GRAM), zero)
    held = np.sort(mix(there ^ mix(holder.astype(np.uint64))))
    grams, owner = _sets(shingle(known.gather(others), GRAM), zero)
    size = np.bincount(owner, minlength=len(others))
    start = np.cumsum(size) - size
    found = np.empty(len(i), np.int64)
    part = np.cumsum(size[j]) // _PAIRS
    for begin, end in pairwise([0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(i)]):
        n = size[j[begin:end]]
        offset = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        mine = grams[np.repeat(start[j[begin:end]], n) + offset]
        asked = mix(mine ^ mix(np.repeat(i[begin:end], n).astype(np.uint64)))
        place = np.minimum(np.searchsorted(held, asked), len(held) - 1)
        found[begin:end] = np.add.reduceat((held[place] == asked).astype(np.int64), np.cumsum(n) - n)
    return found
