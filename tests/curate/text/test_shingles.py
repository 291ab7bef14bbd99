"""The sets of n-grams against Python's own sets."""

from __future__ import annotations

import near_by_hand
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text import shingles
from curate.text.hashing import mix_int
from curate.text.shingles import jaccard, pieces, set_sizes, shingle

TEXT = st.text(alphabet="甲乙丙丁ab1𠀀", max_size=40)
TEXTS = st.lists(TEXT, min_size=1, max_size=12)
N = st.integers(1, 7)


@settings(max_examples=80)
@given(TEXTS, N)
def test_sizes(texts: list[str], n: int) -> None:
    assert set_sizes(pl.Series(texts), n).tolist() == [len(near_by_hand.ngrams(text, n)) for text in texts]


@settings(max_examples=80)
@given(TEXTS, N, st.data())
def test_jaccard(texts: list[str], n: int, data: st.DataObject) -> None:
    place = st.integers(0, len(texts) - 1)
    pairs = data.draw(st.lists(st.tuples(place, place), min_size=1, max_size=20))
    i, j = (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))
    expected = [near_by_hand.jaccard(texts[a], texts[b], n) for a, b in pairs]
    assert jaccard(pl.Series(texts), n, i, j).tolist() == expected
    with pytest.MonkeyPatch.context() as patch:  # a few pairs at a time
        patch.setattr(shingles, "PIECE", data.draw(st.integers(1, 60)))
        assert jaccard(pl.Series(texts), n, i, j).tolist() == expected


@pytest.mark.parametrize("n", [2, 3, 5])
def test_lengths_of_every_kind(n: int) -> None:
    """From one character to thousands: wherever the width of a row changes, nothing is lost."""
    chars = [chr(0x4E00 + 7 * k % 5003) for k in range(4000)]
    texts = ["".join(chars[:length]) for length in [*range(1, 140), 255, 256, 257, 511, 512, 1000, 4000]]
    texts += [text[:-1] + "！" for text in texts]
    half = len(texts) // 2
    i, j = np.arange(half), np.arange(half, len(texts))
    expected = [near_by_hand.jaccard(a, b, n) for a, b in zip(texts[:half], texts[half:], strict=True)]
    assert jaccard(pl.Series(texts), n, i, j).tolist() == expected


def test_short_texts_are_one_ngram() -> None:
    found = shingle(pl.Series(["", "甲", "甲乙", "甲乙丙"]), 3)
    assert found.count.tolist() == [1, 1, 1, 1]
    assert len(set(found.grams[found.start].tolist())) == 4


@settings(max_examples=40)
@given(TEXTS, st.integers(4, 16), st.integers(1, 9))
def test_the_number_of_an_ngram_is_its_formula(texts: list[str], n: int, at_a_time: int) -> None:
    """Horner's rule, then splitmix64: in however many parts they are made, so that runs of two versions agree."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shingles, "_PASS", at_a_time)
        found = shingle(pl.Series(texts), n)
    for text, start, count in zip(texts, found.start, found.count, strict=True):
        chars = [ord(char) for char in text.ljust(n, "\0")]
        for k in range(count):
            number = 0
            for char in chars[k : k + n]:
                number = (number * 0x9E3779B97F4A7C15 + char) & (1 << 64) - 1
            assert int(found.grams[start + k]) == mix_int(number) >> 1


@settings(max_examples=40)
@given(TEXTS, st.integers(1, 60))
def test_pieces(texts: list[str], size: int) -> None:
    """Cut anywhere, the same texts in the same order, and the same sizes."""
    series = pl.Series(texts)
    whole = set_sizes(series, 2).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shingles, "PIECE", size)
        parts = list(pieces(series))
        assert [text for _, part in parts for text in part] == texts
        assert [begin for begin, _ in parts] == np.cumsum([0, *(len(part) for _, part in parts[:-1])]).tolist()
        assert set_sizes(series, 2).tolist() == whole
