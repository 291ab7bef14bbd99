"""Texts of the same meaning among many: which pairs of vectors have a cosine of at least so much.

Up to `EXACT` texts of one group every pair is looked at. Beyond, texts are put into the cells of chosen texts, as in
an inverted file index (IVF; Sivic and Zisserman, 2003), and each is compared with those whose cells are near. A matrix
product, whose last digits depend on the machine, only proposes: a pair just at the threshold is decided by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from curate.near import components

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.semantic_model import Vectors

    Index = NDArray[np.int64]
    Scores = NDArray[np.float32]

#: Texts of a group all of whose pairs are looked at.
EXACT = 100_000
#: Cells near a text that it is compared in.
PROBES = 12
#: Texts a cell, about.
CELL = 512
#: What a matrix product in single precision may be off.
_SLACK = 1e-4
_ROWS, _COLUMNS = 1024, 4096
_WAITING = 1_000_000
_DIGITS = 6


class Alike:
    """Nodes to be compared, each of one or two sides: rows of `vectors` (unit, or zero for what is like nothing).

    `sides`: (nodes, 1 or 2). Two nodes of two sides are as alike as the less alike of their sides, in the better of
    the two orders.
    """

    def __init__(self, vectors: Vectors, sides: Index, threshold: float, exact: int = EXACT) -> None:
        self._vectors, self._sides = vectors, sides
        self._threshold, self._exact = threshold, exact

    def clusters(self, group: NDArray[np.uint64]) -> Index:
        """For each node the least node of its cluster: what is connected by pairs alike within a group.

        The nodes' order must follow from their texts: chosen texts are the first ones of a group.
        """
        import numpy as np

        cluster = np.arange(len(group))
        known = np.flatnonzero(self.known())
        known = known[np.argsort(group[known], kind="stable")]
        for nodes in np.split(known, 1 + np.flatnonzero(np.diff(group[known]))):
            if len(nodes) > 1:
                cluster[nodes] = nodes[self._within(nodes)]
        return cluster

    def known(self) -> NDArray[np.bool_]:
        """Which nodes have a vector on every side."""
        import numpy as np

        return np.all(np.any(self._vectors, axis=1)[self._sides], axis=1)

    def similarity(self, i: Index, j: Index) -> NDArray[np.float64]:
        """How alike the nodes of each pair are, in double precision and to six digits."""
        import numpy as np

        found = np.empty(len(i))
        for at in range(0, len(i), _COLUMNS):
            one, other = self._sides[i[at : at + _COLUMNS]], self._sides[j[at : at + _COLUMNS]]
            told = _both(one.shape[1], lambda a, b, one=one, other=other: self._cosine(one[:, a], other[:, b]))
            found[at : at + _COLUMNS] = told
        return np.round(found, _DIGITS)

    def _cosine(self, i: Index, j: Index) -> NDArray[np.float64]:
        import numpy as np

        return np.multiply(self._vectors[i], self._vectors[j], dtype=np.float64).sum(axis=1)

    def _within(self, nodes: Index) -> Index:
        """The clusters of one group, by places in `nodes`."""
        import numpy as np

        cluster = np.arange(len(nodes))
        edges, waiting = [], 0
        for mine, others in self._blocks(nodes):
            score = self._product(nodes[mine], nodes[others])
            a, b = np.nonzero(score >= self._threshold - _SLACK)
            i, j, told = mine[a], others[b], score[a, b]
            apart = cluster[i] != cluster[j]
            i, j, told = i[apart], j[apart], told[apart]
            alike = told >= self._threshold + _SLACK
            if len(unsure := np.flatnonzero(~alike)):
                alike[unsure] = self.similarity(nodes[i[unsure]], nodes[j[unsure]]) >= self._threshold
            edges.append((i[alike], j[alike]))
            waiting += np.count_nonzero(alike)
            if waiting > _WAITING:
                cluster, edges, waiting = self._joined(cluster, edges), [], 0
        return self._joined(cluster, edges)

    def _joined(self, cluster: Index, edges: list[tuple[Index, Index]]) -> Index:
        """The clusters once these edges join some. So k texts that are all alike never make k² edges to hold."""
        import numpy as np

        i, j = (cluster[np.concatenate(side)] for side in zip(*edges, strict=True)) if edges else (cluster, cluster)
        return components(len(cluster), i, j)[cluster]

    def _product(self, i: Index, j: Index) -> Scores:
        """`similarity` of each of `i` with each of `j`, in single precision."""
        one, other = self._sides[i], self._sides[j]
        return _both(one.shape[1], lambda a, b: self._vectors[one[:, a]] @ self._vectors[other[:, b]].T)

    def _blocks(self, nodes: Index) -> Iterator[tuple[Index, Index]]:
        """What is compared with what, by places in `nodes`."""
        import numpy as np

        places = np.arange(len(nodes))
        if len(nodes) <= self._exact:
            for at in range(0, len(nodes), _ROWS):
                for to in range(at, len(nodes), _COLUMNS):
                    yield places[at : at + _ROWS], places[to : to + _COLUMNS]
            return
        near = self._cells(nodes)
        home = np.argsort(near[:, 0], kind="stable")
        mine = np.split(home, np.cumsum(np.bincount(near[:, 0], minlength=near.max() + 1))[:-1])
        order = np.argsort(near.ravel(), kind="stable")
        around = np.split(order // near.shape[1], np.cumsum(np.bincount(near.ravel()))[:-1])
        for own, others in zip(mine, around, strict=True):
            for at in range(0, len(own), _ROWS):
                for to in range(0, len(others), _COLUMNS):
                    yield own[at : at + _ROWS], others[to : to + _COLUMNS]

    def _cells(self, nodes: Index) -> Index:
        """(nodes, PROBES): the cells near each node, the nearest one first. A node is where its sides' sum points."""
        import numpy as np

        def place(some: Index) -> NDArray[np.float64]:
            added = self._vectors[self._sides[some]].sum(axis=1, dtype=np.float64)
            return added / np.maximum(np.linalg.norm(added, axis=1, keepdims=True), 1e-12)

        centres = place(nodes[: max(PROBES, len(nodes) // CELL)])
        found = np.empty((len(nodes), PROBES), np.int64)
        for at in range(0, len(nodes), _COLUMNS):
            far = -(place(nodes[at : at + _COLUMNS]) @ centres.T)
            some = np.argpartition(far, PROBES - 1, axis=1)[:, :PROBES]
            order = np.argsort(np.take_along_axis(far, some, axis=1), axis=1, kind="stable")
            found[at : at + _COLUMNS] = np.take_along_axis(some, order, axis=1)
        return found


def _both(sides: int, cosine: Callable[[int, int], NDArray]) -> NDArray:
    """The cosines of nodes by those of their sides."""
    import numpy as np

    if sides == 1:
        return cosine(0, 0)
    straight = np.minimum(cosine(0, 0), cosine(1, 1))
    return np.maximum(straight, np.minimum(cosine(0, 1), cosine(1, 0)))
