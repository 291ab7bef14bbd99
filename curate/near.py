"""Near-duplicates among many texts: sketched slice by slice, proposed by what they share, decided on the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from curate.ahead import side_by_side
from curate.lazy import pl
from curate.text.hashing import hash_series
from curate.text.minhash import Sketch, candidates, may_reach, sketch
from curate.text.oneedit import edit_similarity, forms, one_apart, points
from curate.text.shingles import jaccard, mix, set_sizes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.text.shingles import U64, Index

    #: Gives the texts of rows, slice by slice, each to be made when it is called.
    Texts = Callable[[pl.Series], Iterator[Callable[[], pl.Series]]]

#: A number in a comparison key.
NUMBER = r"[0-9]+(?:[.,][0-9]+)*"
#: The longest text that only its key decides, or one edit.
SHORT = 15
#: Characters up to which a text belongs to a class, and the n of its n-grams.
CLASSES = ((60, 2), (200, 3), (None, 5))


@dataclass(frozen=True)
class Rule:
    """How texts of one class are compared: of `least` to `most` characters (None: no end), by n-grams of n.

    n is 0 where only the key decides, 1 edit apart at most where `edit` is set.
    """

    least: int
    most: int | None
    n: int
    threshold: float
    edit: bool = False


def rules_of(threshold: float, ngram: str | int, short: str) -> tuple[Rule, ...]:
    """The classes of length, from the shortest texts to the longest."""
    if isinstance(ngram, int):
        return (Rule(0, None, ngram, threshold),)
    found = [Rule(0, SHORT, 0, threshold, short == "edit1")]
    for most, n in CLASSES:
        least = (found[-1].most or 0) + 1
        found.append(Rule(least, most, n, threshold))
    return tuple(found)


@dataclass
class Part:
    """What is kept of one slice: for each text its length, the hash of the numbers in it and of itself; for each rule
    the texts that it may have to judge and what it looks at first."""

    length: Index
    numbers: U64
    same: U64
    members: list[Index]
    looks: list[Sketch | NDArray[np.uint32] | None]


@dataclass
class Near:
    """What was found: for each text its node (texts that are the same share one) and the cluster it is in.

    `pairs`: how many pairs of nodes had their texts compared.
    """

    node: pl.Series
    cluster: pl.Series
    pairs: int
    similarity: Callable[[pl.DataFrame], pl.DataFrame]


def near_groups(
    rids: pl.Series, group: pl.Series, texts: Texts, rules: tuple[Rule, ...], numbers: bool, workers: int
) -> Near:
    """Cluster texts of one group each. With `numbers`, texts that hold other numbers are never alike.

    Which row holds a text plays no part: texts are numbered by their hashes.
    """
    import numpy as np

    parts = list(side_by_side(partial(_part, rules), texts(rids), workers))
    groups = group.to_numpy()
    if numbers and parts:
        groups = mix(groups ^ np.concatenate([part.numbers for part in parts]))
    same = np.concatenate([np.empty(0, np.uint64), *(part.same for part in parts)])
    _, first, node = np.unique(mix(same ^ groups), return_index=True, return_inverse=True)
    length = np.concatenate([np.empty(0, np.int64), *(part.length for part in parts)])[first]
    work = _Work(rids, texts, rules, first, groups[first], length, workers)
    edges = work.edges(parts, node)
    return Near(
        pl.Series("node", node, dtype=pl.UInt32),
        pl.Series("cluster", components(len(first), *edges)[node], dtype=pl.UInt32),
        work.pairs,
        work.similarities,
    )


def _part(rules: tuple[Rule, ...], make: Callable[[], pl.Series]) -> Part:
    """One slice of texts."""
    import numpy as np

    texts = make()
    length = texts.str.len_chars().to_numpy().astype(np.int64)
    numbers = np.zeros(len(texts), np.uint64)
    if len(where := texts.str.contains("[0-9]").arg_true()):
        told = texts.gather(where).str.extract_all(NUMBER).list.join(" ")
        numbers[where.to_numpy()] = hash_series(told).to_numpy()
    members, looks = [], []
    for rule in rules:
        chosen = members_of(texts, length, rule)
        members.append(chosen)
        some = texts.gather(chosen)
        if rule.n:
            looks.append(sketch(some, rule.n, rule.threshold))
        else:
            looks.append(points(some, SHORT + 1) if rule.edit else None)
    return Part(length, numbers, hash_series(texts).to_numpy(), members, looks)


def members_of(texts: pl.Series, length: Index, rule: Rule) -> Index:
    """The texts a rule may have to judge: its own, and longer ones that one of its own may be like."""
    import numpy as np

    own = (length >= rule.least) & (length <= (rule.most or length.max(initial=0)))
    if rule.most is None:
        return np.flatnonzero(own)
    if not rule.n:
        return np.flatnonzero(length <= rule.most + 1) if rule.edit else np.empty(0, np.int64)
    # A set is no more like a larger one than their sizes are; a text of this class has so many n-grams at most.
    most = int((rule.most - rule.n + 1) / rule.threshold + 1e-9)
    longer = np.flatnonzero(length > rule.most)
    # Nearly every longer text shows in its beginning that it has more; the others are looked at in full.
    for head in (most + most // 4 + rule.n, None):
        some = texts.gather(longer)
        longer = longer[set_sizes(some if head is None else some.str.head(head), rule.n) <= most]
    return np.sort(np.concatenate([np.flatnonzero(own), longer]))


class _Work:
    """The nodes (numbered texts), and how pairs of them are judged."""

    def __init__(
        self,
        rids: pl.Series,
        texts: Texts,
        rules: tuple[Rule, ...],
        first: Index,
        groups: U64,
        length: Index,
        workers: int,
    ) -> None:
        self._rids, self._texts, self._rules, self._first = rids, texts, rules, first
        self._groups, self._length, self._workers = groups, length, workers
        self.pairs = 0

    def edges(self, parts: list[Part], node: Index) -> tuple[Index, Index]:
        """The pairs of nodes that are alike."""
        import numpy as np

        starts = np.cumsum([0, *(len(part.length) for part in parts)])
        found = [(np.empty(0, np.int64), np.empty(0, np.int64))]
        for k, rule in enumerate(self._rules):
            held = [start + part.members[k] for start, part in zip(starts, parts, strict=False)]
            rows = np.concatenate([np.empty(0, np.int64), *held])
            # Of texts that are the same, one is compared; and in the order of the nodes, which no row decides.
            nodes, at = np.unique(node[rows], return_index=True)
            if len(nodes):
                looks = [part.looks[k] for part in parts]
                for part in parts:
                    part.looks[k] = None
                found.append(self._propose(rule, nodes, at, looks))
        i, j = (np.concatenate(side) for side in zip(*found, strict=True))
        self.pairs = len(i)
        alike = self._similar(i, j) >= self._rules[-1].threshold
        return i[alike], j[alike]

    def _propose(
        self, rule: Rule, nodes: Index, at: Index, looks: list[Sketch | NDArray[np.uint32] | None]
    ) -> tuple[Index, Index]:
        """The pairs of nodes that this rule has to judge and that may be alike."""
        import numpy as np

        groups, length = self._groups[nodes], self._length[nodes]
        ids = np.arange(len(nodes), dtype=np.uint64)

        def mine(i: Index, j: Index) -> NDArray[np.bool_]:
            shorter = np.minimum(length[i], length[j])
            return (groups[i] == groups[j]) & (shorter <= (rule.most or shorter))

        if rule.n:
            made = [look for look in looks if isinstance(look, Sketch)]
            size = np.concatenate([one.size for one in made])[at]
            bits = [np.concatenate([one.bits[k] for one in made])[at] for k in range(2)]
            mixed = (mix(groups) >> np.uint64(32)).astype(np.uint32)
            # Band by band, so that they are never all held twice.
            bands = (np.concatenate([one.bands[k] for one in made])[at] for k in range(len(made[0].bands)))
            keys = ((band ^ mixed, ids) for band in bands)

            def alike(i: Index, j: Index) -> NDArray[np.bool_]:
                mask = may_reach(size, bits, rule.threshold, i, j)
                passed = np.flatnonzero(mask)  # few
                mask[passed] = mine(i[passed], j[passed])
                return mask
        else:
            shown = np.concatenate([look for look in looks if isinstance(look, np.ndarray)])[at]
            hashes, rows = forms(shown)
            mixed = (mix(hashes ^ groups[rows]) >> np.uint64(32)).astype(np.uint32)
            keys = iter([(mixed, rows.astype(np.uint64))])

            def alike(i: Index, j: Index) -> NDArray[np.bool_]:
                # One edit of few characters is another text.
                enough = np.maximum(length[i], length[j]) * (1 - rule.threshold) >= 1 - 1e-9
                passed = np.flatnonzero(mine(i, j) & enough)
                mask = np.zeros(len(i), np.bool_)
                mask[passed] = one_apart(shown[i[passed]], shown[j[passed]])
                return mask

        i, j = candidates(keys, alike, partial(side_by_side, workers=self._workers))
        return nodes[i], nodes[j]

    def _similar(self, i: Index, j: Index) -> NDArray[np.float64]:
        """How alike the nodes of each pair are, by the rule of the shorter text; read from the texts themselves."""
        import numpy as np

        named = np.unique(np.concatenate([i, j]))
        order = np.argsort(self._first[named])
        made = [make() for make in self._texts(self._rids.gather(self._first[named][order]))]
        texts = pl.concat(made) if made else pl.Series(dtype=pl.String)
        place = np.empty(len(named), np.int64)
        place[order] = np.arange(len(named))
        a, b = place[np.searchsorted(named, i)], place[np.searchsorted(named, j)]
        shorter = np.minimum(self._length[i], self._length[j])
        found = np.zeros(len(i))
        for rule in self._rules:
            here = np.flatnonzero((shorter >= rule.least) & (shorter <= (rule.most or shorter)))
            if not len(here):
                continue
            if rule.n:
                found[here] = jaccard(texts, rule.n, a[here], b[here])
            else:
                found[here] = edit_similarity(texts.gather(a[here]), texts.gather(b[here]))
        return found

    def similarities(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """`node`, `kept_node` with their `similarity`."""
        import numpy as np

        i, j = (pairs[name].to_numpy().astype(np.int64) for name in ("node", "kept_node"))
        found = np.ones(len(i))
        other = np.flatnonzero(i != j)
        found[other] = self._similar(i[other], j[other])
        return pairs.with_columns(similarity=pl.Series(found, dtype=pl.Float64))


def components(nodes: int, i: Index, j: Index) -> Index:
    """For each node the least node it is connected with by the edges (i, j)."""
    import numpy as np

    label = np.arange(nodes)
    while True:
        a, b = label[i], label[j]
        differ = a != b
        if not differ.any():
            return label
        np.minimum.at(label, np.maximum(a, b)[differ], np.minimum(a, b)[differ])
        while (label[label] != label).any():
            label = label[label]
