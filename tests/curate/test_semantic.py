"""Clusters by cosine: every pair looked at by brute force, any order, one side or two, exact or by cells."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.near import components
from curate.semantic import Alike


def unit(values: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0).astype(np.float32)


def around(seed: int, n: int, centres: int, noise: float, dim: int = 12) -> np.ndarray:
    """Unit vectors around a few centres."""
    draw = np.random.default_rng(seed)
    middle = draw.standard_normal((centres, dim))
    return unit(middle[draw.integers(0, centres, n)] + noise * draw.standard_normal((n, dim)))


def by_hand(vectors: np.ndarray, sides: np.ndarray, threshold: float, group: np.ndarray) -> list[int]:
    """Each pair by itself, in double precision."""
    wide = vectors.astype(np.float64)

    def cosine(i: int, j: int) -> float:
        return float(wide[i] @ wide[j])

    edges = [(0, 0)]
    for i, j in combinations(range(len(sides)), 2):
        if len(sides[i]) == 1:
            score = cosine(sides[i][0], sides[j][0])
        else:
            (a, b), (c, d) = sides[i], sides[j]
            score = max(min(cosine(a, c), cosine(b, d)), min(cosine(a, d), cosine(b, c)))
        if group[i] == group[j] and round(score, 6) >= threshold:
            edges.append((i, j))
    i, j = np.array(edges).T
    return components(len(sides), i, j).tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 60), st.sampled_from((0.6, 0.9, 1.0)), st.sampled_from((1, 2)))
def test_brute_force(seed: int, n: int, threshold: float, k: int) -> None:
    draw = np.random.default_rng(seed)
    vectors = around(seed, n, 5, 0.15)
    vectors[draw.random(n) < 0.1] = 0
    sides, group = draw.integers(0, n, (n, k)), draw.integers(0, 3, n).astype(np.uint64)
    found = Alike(vectors, sides, threshold).clusters(group)
    assert found.tolist() == by_hand(vectors, sides, threshold, group)
    # In any other order the same rows are together.
    order = draw.permutation(n)
    moved = Alike(vectors, sides[order], threshold).clusters(group[order])
    assert {frozenset(order[moved == c].tolist()) for c in moved} == {
        frozenset(np.flatnonzero(found == c).tolist()) for c in found
    }


@pytest.mark.parametrize("blocks", [(3, 5), (64, 7)])
def test_blocks_and_edges_that_wait_change_nothing(monkeypatch: pytest.MonkeyPatch, blocks: tuple[int, int]) -> None:
    vectors, group = around(1, 300, 40, 0.3), np.zeros(300, np.uint64)
    sides = np.arange(300)[:, None]
    whole = Alike(vectors, sides, 0.93).clusters(group).tolist()
    assert 40 < len(set(whole)) < 250
    monkeypatch.setattr("curate.semantic._ROWS", blocks[0])
    monkeypatch.setattr("curate.semantic._COLUMNS", blocks[1])
    monkeypatch.setattr("curate.semantic._WAITING", 3)
    assert Alike(vectors, sides, 0.93).clusters(group).tolist() == whole


@pytest.mark.parametrize("k", [1, 2])
def test_cells_find_what_every_pair_finds(k: int) -> None:
    """Many groups of close texts among unlike ones, of which an index may miss one in a hundred."""
    n = 8000
    vectors = around(2, n, 5000, 0.07, dim=48)
    sides = (
        np.stack([np.arange(n), np.roll(np.arange(n), 1)], axis=1)[:, :k]
        if k == 1
        else np.stack([np.arange(n)] * 2, 1)
    )
    group = np.zeros(n, np.uint64)
    whole, cells = (Alike(vectors, sides, 0.8, exact).clusters(group) for exact in (n, 100))
    assert np.count_nonzero(whole != np.arange(n)) > 0
    lost = np.count_nonzero(cells != whole)
    assert lost <= 0.01 * np.count_nonzero(whole != np.arange(n))
    # What cells say is alike is alike: their clusters are parts of the others.
    assert (whole[cells] == whole).all()


def test_nothing_is_like_a_text_without_a_vector() -> None:
    assert Alike(np.zeros((3, 4), np.float32), np.arange(3)[:, None], 0.5).clusters(
        np.zeros(3, np.uint64)
    ).tolist() == [
        0,
        1,
        2,
    ]
    none = Alike(np.zeros((0, 4), np.float32), np.zeros((0, 1), np.int64), 0.5)
    assert none.clusters(np.zeros(0, np.uint64)).tolist() == []


def test_many_alike_texts_are_one_cluster() -> None:
    vectors = around(3, 6000, 1, 0.01)
    assert set(Alike(vectors, np.arange(6000)[:, None], 0.9).clusters(np.zeros(6000, np.uint64)).tolist()) == {0}
