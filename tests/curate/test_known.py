"""The index of evaluation texts: it finds what comparing every pair finds, and its size is bounded."""

from __future__ import annotations

import random
from pathlib import Path

import near_by_hand
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from near_by_hand import CHARS, changed, made
from rows import REAL, real_rows, with_key_texts

from curate import known
from curate.known import Known
from curate.steps import leak_check, near_dedup
from curate.steps.leak_check import Options, text_fields

#: (text, known, how, score, whether it is a leak)
Met = set[tuple[int, int, str, float, bool]]


def met(index: Known, texts: list[str], groups: list[int] | None = None) -> Met:
    found = index.find(pl.Series(texts, dtype=pl.String), np.array(groups or [0] * len(texts), np.uint64))
    how = ["covers" if covers else "near" for covers in found.covers]
    told = list(zip(found.text.tolist(), found.known.tolist(), how, found.score.tolist(), found.leak.tolist(),
                    strict=True))  # fmt: skip
    assert len(told) == len(set(told)), "nothing is said twice"
    return set(told)


def indexed(texts: list[str], near: float | None = 0.9, coverage: float | None = 0.5) -> Known:
    return Known(pl.Series(texts, dtype=pl.String), np.zeros(len(texts), np.uint64), near, coverage)


def best(found: Met) -> set[tuple[int, int, str, float, bool]]:
    """One meeting of two texts: nearness, where there is both."""
    near = {(i, j) for i, j, how, *_ in found if how == "near"}
    return {one for one in found if one[2] == "near" or one[:2] not in near}


def rounded(found: Met) -> Met:
    return {(i, j, how, round(score, 9), leak) for i, j, how, score, leak in found}


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), near=st.sampled_from([None, 0.7, 0.9]), coverage=st.sampled_from([None, 0.5, 0.8]))
def test_every_pair_compared(seed: int, near: float | None, coverage: float | None) -> None:
    draw = random.Random(seed)
    lengths = (3, 15, 16, 17, 30, 59, 60, 61, 62, 90, 199, 200, 201, 202, 400)
    some = [made(draw, draw.choice(lengths)) for _ in range(8)]
    texts = [changed(draw, draw.choice(some), draw.randrange(5)) for _ in range(12)] + ["短", ""]
    expected = set()
    for i, text in enumerate(texts):
        for j, one in enumerate(some):
            if told := near_by_hand.meets(one, text, near, coverage):
                expected.add((i, j, *told))
    assert rounded(best(met(indexed(some, near, coverage), texts))) == rounded(expected)


def test_texts_of_two_groups_never_meet() -> None:
    text = CHARS[:50]
    index = Known(pl.Series([text, text]), np.array([1, 2], np.uint64), 0.9, 0.5)
    assert {(i, j) for i, j, *_ in met(index, [text + "也", text + "也"], [2, 3])} == {(0, 1)}


def test_boilerplate_alone_covers_nothing() -> None:
    """What very many evaluation texts have in common counts beside as large a share of what is a text's own."""
    draw = random.Random(1)
    footer = made(draw, 150)
    few = [made(draw, 120) + footer for _ in range(known.COMMON)]
    many = [*few, made(draw, 120) + footer]
    other = made(draw, 200) + footer
    assert {leak for *_, leak in met(indexed(few), [other])} == {True}
    assert not any(leak for *_, leak in met(indexed(many), [other]))
    for kept, covers in ((20, False), (100, True)):
        copy = many[0][:kept] + made(draw, 50) + footer
        leaks = [(j, how, score) for _, j, how, score, leak in met(indexed(many), [copy]) if leak]
        grams, there = (near_by_hand.ngrams(text, 13) for text in (many[0], copy))
        own = grams - near_by_hand.ngrams(footer, 13)
        score = min(len(grams & there) / len(grams), len(own & there) / len(own))
        assert leaks == ([(0, "covers", pytest.approx(score))] if covers else [])


def test_parts_of_the_work_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(2)
    some = [made(draw, 300) for _ in range(20)] + [made(draw, 50) for _ in range(20)]
    texts = [changed(draw, text, 2) for text in some * 3]
    whole = met(indexed(some), texts)
    assert len(whole) > 60
    monkeypatch.setattr(known, "_PAIRS", 3)
    monkeypatch.setattr("curate.text.shingles.PIECE", 500)
    assert met(indexed(some), texts) == whole
    apart = {(k, j, *more) for k, text in enumerate(texts) for _, j, *more in met(indexed(some), [text])}
    assert apart == whole


def test_an_index_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(3)
    texts = pl.Series([made(draw, draw.choice((40, 150, 600))) for _ in range(2000)])
    monkeypatch.setattr(known, "BLOCK", 50_000)
    chars = texts.str.len_chars()
    parts = list(known.blocks(texts))
    assert [end for _, end in parts] == [begin for begin, _ in parts[1:]] + [len(texts)]
    assert len(parts) > 10
    for begin, end in parts:
        assert chars[begin:end].sum() <= 50_000 + chars.max()  # type: ignore[operator]
        index = Known(texts[begin:end], np.zeros(end - begin, np.uint64), 0.9, 0.5)
        held = [part._postings for part in index._parts]
        size = sum(array.nbytes for one in held for array in vars(one).values() if isinstance(array, np.ndarray))
        assert size < 64 * 50_000 + 3 * (1 << 16), "bytes for each character, and the least table of each class"


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_rows_against_every_pair(corpora: Path, name: str) -> None:
    """3,000 real rows of each corpus, every third of them an evaluation text."""
    pytest.importorskip("scipy", reason="scipy is not installed (pip install -e '.[dev]')")
    recipe, ctx, rows = real_rows(name, corpora)
    key = list(recipe.step("leak_check").options.key)  # type: ignore[union-attr]
    fields = text_fields(key, ctx.task)
    rows = with_key_texts(rows.head(3000), leak_check, Options(key=key, near=0.9), ctx)
    texts = near_dedup.compared(rows, ctx.task, "count", fields).unique(maintain_order=True).to_list()
    some, others = texts[::3], [text for k, text in enumerate(texts) if k % 3]
    draw = random.Random(0)
    others += [changed(draw, text, 1) for text in some[:200]]  # so that something is found in every corpus
    found = met(indexed(some, 0.9, 0.5), others)
    expected = near_by_hand.meetings(some, others, 0.9, 0.5)
    assert rounded(found) == rounded(expected)
    assert any(leak for *_, leak in found)
