"""Clusters of many texts against the definition, pair by pair; how little work many copies make."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise

import near_by_hand
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.near import Near, components, near_groups, rules_of
from curate.text.minhash import REACH

#: Of pairs just at the threshold one in a thousand is not proposed: with other examples each time, one would be met.
SAME_EACH_TIME = settings(max_examples=25, derandomize=True)


def found(
    texts: list[str],
    threshold: float = 0.8,
    ngram: str | int = "auto",
    short: str = "exact",
    groups: list[int] | None = None,
    cuts: tuple[int, ...] = (),
    workers: int = 1,
) -> Near:
    """`near_groups` of these texts, in slices cut at `cuts`."""
    bounds = [0, *sorted(cuts), len(texts)]

    def read(rids: pl.Series) -> Iterator[Callable[[], pl.Series]]:
        chosen = set(rids.to_list())
        for begin, end in pairwise(bounds):
            part = pl.Series([texts[i] for i in range(begin, end) if i in chosen], dtype=pl.String)
            yield lambda part=part: part

    rids = pl.Series(range(len(texts)), dtype=pl.UInt64)
    group = pl.Series(groups or [0] * len(texts), dtype=pl.UInt64)
    return near_groups(rids, group, read, rules_of(threshold, ngram, short), True, workers)


def clusters(near: Near) -> list[int]:
    """For each text the first one of its cluster."""
    first: dict[int, int] = {}
    return [first.setdefault(cluster, i) for i, cluster in enumerate(near.cluster.to_list())]


CHARS = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜"


def text_of(draw: random.Random, length: int) -> str:
    return "".join(draw.choices(CHARS, k=length))


def edited(draw: random.Random, text: str, edits: int) -> str:
    for _ in range(edits):
        k = draw.randrange(len(text) or 1)
        kind = draw.choice(("substitute", "insert", "delete"))
        char = draw.choice("甲乙丙丁戊己庚辛壬癸")
        text = text[:k] + {"substitute": char, "insert": char + text[k : k + 1], "delete": ""}[kind] + text[k + 1 :]
    return text


def family(seed: int) -> list[str]:
    """Texts of all lengths about the borders of the classes, with copies changed a little or more."""
    draw = random.Random(seed)
    texts = []
    for length in draw.sample([1, 2, 3, 5, 8, 14, 15, 16, 17, 20, 40, 59, 60, 61, 70, 75, 199, 200, 201, 230], k=6):
        base = text_of(draw, length)
        texts.append(base)
        for _ in range(draw.randrange(4)):
            texts.append(edited(draw, draw.choice([base, texts[-1]]), draw.randrange(1 + max(1, length // 12))))
    # Repeats of a few characters: long texts with few n-grams.
    texts += [base * draw.randrange(1, 40) for base in ("哈", "哈哈嘿", text_of(draw, 9))]
    draw.shuffle(texts)
    return texts


@pytest.mark.parametrize(
    ("threshold", "ngram", "short"),
    [(0.8, "auto", "exact"), (0.8, "auto", "edit1"), (0.9, "auto", "edit1"), (0.7, 3, "exact"), (0.6, 2, "exact")],
)
@SAME_EACH_TIME
@given(seed=st.integers(0, 10**6))
def test_definition(threshold: float, ngram: str | int, short: str, seed: int) -> None:
    texts = family(seed)
    assert clusters(found(texts, threshold, ngram, short)) == near_by_hand.clusters(texts, threshold, ngram, short)


@SAME_EACH_TIME
@given(seed=st.integers(0, 10**6), data=st.data())
def test_slices_workers_and_order_decide_nothing(seed: int, data: st.DataObject) -> None:
    texts = family(seed)
    groups = data.draw(st.lists(st.integers(0, 1), min_size=len(texts), max_size=len(texts)))
    cuts = tuple(data.draw(st.lists(st.integers(0, len(texts)), max_size=3)))
    whole = clusters(found(texts, short="edit1", groups=groups))
    assert clusters(found(texts, short="edit1", groups=groups, cuts=cuts, workers=2)) == whole
    assert whole == near_by_hand.clusters(texts, 0.8, short="edit1", groups=groups)
    order = data.draw(st.permutations(range(len(texts))))
    moved = clusters(found([texts[i] for i in order], short="edit1", groups=[groups[i] for i in order]))
    together = {(order[i], order[first]) for i, first in enumerate(moved)}
    assert all(whole[a] == whole[b] for a, b in together)
    assert len(set(moved)) == len(set(whole))


PLANTED = [(length, 1) for length in (5, 8, 12, 15, 20, 30, 60, 61, 104, 200, 201, 400)] + [(104, 3), (400, 8)]


@pytest.mark.parametrize(("length", "edits"), PLANTED)
def test_a_planted_pair_is_found(length: int, edits: int) -> None:
    draw = random.Random(length)
    others = [text_of(draw, length) for _ in range(200)]
    base = text_of(draw, length)
    changed = base
    for k in range(edits):
        at = (k + 1) * length // (edits + 1)
        changed = changed[:at] + "甲乙丙丁戊己庚辛"[k] + changed[at + 1 :]
    texts = [*others[:100], base, *others[100:], changed]
    expected = list(range(len(texts)))
    expected[-1] = 100
    assert clusters(found(texts, short="edit1")) == expected
    assert clusters(found(texts, short="exact")) == (expected if length > 15 else list(range(len(texts))))


def test_short_texts_stay_distinct() -> None:
    for short in ("exact", "edit1"):
        assert clusters(found(["cat", "dog", "cat"], short=short)) == [0, 1, 0]
        assert clusters(found(list("好坏行不吗"), short=short)) == [0, 1, 2, 3, 4]
        assert clusters(found(["好", "", "坏", "好", ""], short=short)) == [0, 1, 2, 0, 1]
        # One edit of four characters is another text.
        assert clusters(found(["非常不好", "非常很好"], short=short)) == [0, 1]
    for n in (2, 5):
        assert clusters(found(["cat", "dog", "cat", "好", "坏"], ngram=n)) == [0, 1, 0, 3, 4]


def test_numbers_count() -> None:
    one, other = (f"这台冰箱原价三千元今天只要{price}元还送一台小风扇" for price in ("1999", "2999"))
    assert near_by_hand.jaccard(one, other, 2) >= 0.8
    assert clusters(found([one, other, one.replace("小风扇", "小风机")])) == [0, 1, 0]


def test_a_text_between_two() -> None:
    """A ~ B ~ C makes one cluster though A and C are not alike."""
    base = text_of(random.Random(1), 40)
    texts = [base, base[:10] + "甲" + base[11:], base[:10] + "甲" + base[11:25] + "乙丙" + base[27:]]
    threshold = near_by_hand.jaccard(texts[1], texts[2], 2)
    assert near_by_hand.jaccard(texts[0], texts[2], 2) < threshold <= near_by_hand.jaccard(texts[0], texts[1], 2)
    assert clusters(found(texts, threshold)) == [0, 0, 0]


def test_copies_make_no_pairs() -> None:
    draw = random.Random(3)
    texts = [text_of(draw, length) for length in (8, 30, 100, 300)]
    near = found(texts * 2000, short="edit1")
    assert near.pairs == 0
    assert clusters(near) == [0, 1, 2, 3] * 2000


@pytest.mark.parametrize("length", [12, 40, 150])
def test_many_variants_make_few_pairs(length: int) -> None:
    """A thousand texts that are all alike: one cluster, and not half a million comparisons."""
    draw = random.Random(4)
    base = text_of(draw, length)
    texts = [base[:5] + chr(0x6000 + k) + base[6:] for k in range(1000)]
    near = found(texts, short="edit1")
    assert clusters(near) == [0] * 1000
    assert near.pairs <= 18 * 1000 * REACH


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_components(edges: list[tuple[int, int]]) -> None:
    i, j = (np.array(side, dtype=np.int64) for side in (zip(*edges, strict=True) if edges else ([], [])))
    label = list(range(20))
    for _ in range(20):
        for a, b in edges:
            label[a] = label[b] = min(label[a], label[b])
    assert components(20, i, j).tolist() == label


def test_similarities() -> None:
    base = text_of(random.Random(5), 50)
    texts = [base, base[:-1] + "甲", "今天天气真不错", "今天天气很不错", "今天天气很不坏"]
    near = found(texts, short="edit1")
    assert clusters(near) == [0, 0, 2, 2, 2]
    node = near.node.to_list()
    pairs = pl.DataFrame(
        {"node": [node[1], node[3], node[4], node[2]], "kept_node": [node[0], node[2], node[2], node[2]]},
        schema={"node": pl.UInt32, "kept_node": pl.UInt32},
    )
    told = near.similarity(pairs)["similarity"].to_list()
    assert told == [near_by_hand.jaccard(texts[0], texts[1], 2), 1 - 1 / 7, 1 - 2 / 7, 1.0]
