"""What is proposed: everything that may be alike but for one pair in a thousand, and not all the rest."""

from __future__ import annotations

import random

import near_by_hand
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.text.minhash import (
    HASHES,
    LONGEST,
    MISSED,
    REACH,
    banding,
    bucket_pairs,
    candidates,
    may_reach,
    proposed,
    sketch,
)


@pytest.mark.parametrize("percent", range(50, 101))
def test_banding(percent: int) -> None:
    threshold = percent / 100
    bands, rows = banding(threshold)
    assert 1 <= bands * rows <= HASHES
    assert 1 - proposed(threshold, threshold) <= MISSED
    # Any longer bands would miss more, or cost more hashes.
    for longer in range(rows + 1, LONGEST + 1):
        assert 1 - (1 - threshold**longer) ** (HASHES // longer) < 1 - MISSED


def test_known_bands() -> None:
    assert [banding(t) for t in (0.7, 0.8, 0.9, 1.0)] == [(26, 4), (14, 4), (7, 4), (1, 4)]


def pairs_of_similarity(similarity: float, size: int, pairs: int) -> tuple[list[str], list[str]]:
    """Random sets of single characters, each with another that has just this similarity."""
    draw = random.Random(20)
    common = round(2 * size * similarity / (1 + similarity))
    one, other = [], []
    for _ in range(pairs):
        chars = draw.sample(range(0x4E00, 0x9FFF), 2 * size - common)
        one.append("".join(map(chr, chars[:size])))
        other.append("".join(map(chr, chars[:common] + chars[size:])))
    return one, other


@pytest.mark.parametrize("size", [30, 600])
def test_hashes_meet_as_often_as_the_sets(size: int) -> None:
    """The share of bands in common is what theory says, within five standard deviations; short rows and long ones."""
    one, other = pairs_of_similarity(0.75, size, 400)
    similarity = near_by_hand.jaccard(one[0], other[0], 1)
    bands, rows = banding(0.8)
    a, b = (sketch(pl.Series(texts), 1, 0.8).bands for texts in (one, other))
    share, expected = float((a == b).mean()), similarity**rows
    assert abs(share - expected) < 5 * (expected * (1 - expected) / (400 * bands)) ** 0.5
    found = float((a == b).any(axis=0).mean())
    assert abs(found - proposed(similarity, 0.8)) < 5 * (proposed(similarity, 0.8) * 0.01 / 400) ** 0.5 + 0.01


@settings(max_examples=60)
@given(
    st.lists(st.text("甲乙丙丁戊己", min_size=1, max_size=30), min_size=2, max_size=10),
    st.integers(1, 4),
    st.sampled_from([0.5, 0.7, 0.8, 0.9, 1.0]),
)
def test_no_true_pair_is_ruled_out(texts: list[str], n: int, threshold: float) -> None:
    made = sketch(pl.Series(texts), n, threshold)
    assert made.size.tolist() == [len(near_by_hand.ngrams(text, n)) for text in texts]
    i, j = np.triu_indices(len(texts), 1)
    for a, b, passed in zip(i, j, may_reach(made.size, made.bits, threshold, i, j), strict=True):
        assert passed or near_by_hand.jaccard(texts[a], texts[b], n) < threshold


def test_bitmaps_rule_out_most_false_pairs() -> None:
    one, other = pairs_of_similarity(0.5, 30, 500)
    made = sketch(pl.Series([*one, *other]), 1, 0.8)
    assert may_reach(made.size, made.bits, 0.8, np.arange(500), np.arange(500, 1000)).mean() < 0.02


@settings(max_examples=60)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=REACH))
def test_all_pairs_of_a_small_bucket(keys: list[int]) -> None:
    found = [
        (a, b)
        for i, j in bucket_pairs(np.array(keys, np.uint32), np.arange(len(keys), dtype=np.uint64))
        for a, b in zip(i.tolist(), j.tolist(), strict=True)
    ]
    expected = [(a, b) for a in range(len(keys)) for b in range(a + 1, len(keys)) if keys[a] == keys[b]]
    assert sorted(found) == expected


def test_a_large_bucket_makes_no_square() -> None:
    many = 5000
    items = np.arange(many, dtype=np.uint64)
    made = [(i, j) for i, j in bucket_pairs(np.zeros(many, np.uint32), items)]
    assert sum(len(i) for i, _ in made) == many * REACH - REACH * (REACH + 1) // 2
    assert {int(gap) for i, j in made for gap in set((j - i).tolist())} == set(range(1, REACH + 1))


def test_a_large_bucket_among_many_texts_is_compared_in_full() -> None:
    """As long as no more than REACH pairs a text are made; but not where most of the bucket is alike anyway."""
    n, large = 20_000, 10 * REACH
    keys = np.arange(1, n + 1, dtype=np.uint32)
    keys[:: n // large] = 0
    bucket = np.flatnonzero(keys == 0).tolist()
    items = np.arange(n, dtype=np.uint64)
    first, last = bucket[0], bucket[-1]

    def only_those(i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (i == first) & (j == last)

    i, j = candidates(iter([(keys, items)]), only_those, map)
    assert (i.tolist(), j.tolist()) == ([first], [last])

    asked = [0]

    def all_of_them(i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.bool_]:
        asked[0] += len(i)
        return np.ones(len(i), np.bool_)

    same = np.zeros(2000, np.uint32)
    i, j = candidates(iter([(same, items[:2000])]), all_of_them, map)
    assert len(i) == asked[0] <= 2000 * REACH
    assert {(k, k + 1) for k in range(1999)} <= set(zip(i.tolist(), j.tolist(), strict=True))


def test_the_greatest_numbers_fit() -> None:
    """Keys and numbers are packed into one u64 each: the last of both comes out as it went in."""
    last = 2**32 - 1
    keys = np.array([last, 0, last, 0], np.uint32)
    items = np.array([last - 1, last - 3, last, last - 2], np.uint64)
    pairs = [(i.tolist(), j.tolist()) for i, j in bucket_pairs(keys, items)]
    assert pairs == [([last - 3, last - 1], [last - 2, last])]
    i, j = candidates(iter([(keys, items)]), lambda i, j: i < j, map)
    assert (i.tolist(), j.tolist()) == ([last - 3, last - 1], [last - 2, last])
