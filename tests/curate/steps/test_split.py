"""split: evaluation splits for corpora that come without."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from contract import check_run
from helpers import SPLITS as PARTS
from helpers import card, curate, manifest, recipe_file, samples
from hypothesis import given
from hypothesis import strategies as st
from rows import context, frame, key_table, said

from curate.recipefile import load_recipe
from curate.steps import split
from curate.steps.split import Options, connected
from curate.types import UserError

TEXTS = [f"评论{n}" for n in range(2000)]


def judged(texts: list[str], splits: list[str] | None = None, seed: int = 0, **options: Any) -> dict[int, str]:
    """Where each moved row goes."""
    ctx, chosen = context("classification", seed=seed), Options.model_validate(options)
    rows = frame("classification", *({"text": text, "label": "1"} for text in texts))
    keys = key_table(rows, splits or ["train"] * len(texts), split, chosen, ctx)
    verdicts = said(split.judge(keys, chosen, ctx))
    assert all(action == "move" and kept is None for _, action, _, kept in verdicts)
    assert len({rid for rid, *_ in verdicts}) == len(verdicts)
    return {rid: to for rid, _, to, _ in verdicts}


def test_shares() -> None:
    moved = list(judged(TEXTS, validation=0.1, test=0.2).values())
    assert 150 < moved.count("validation") < 250
    assert 330 < moved.count("test") < 470
    assert judged(TEXTS, validation=0.0) == {}


def test_one_text_goes_one_way() -> None:
    moved = judged([text + end for text in TEXTS[:300] for end in ("", "。", "！")], validation=0.3)
    for first in range(0, 900, 3):
        assert moved.get(first) == moved.get(first + 1) == moved.get(first + 2)


def test_more_rows_move_no_other_and_the_seed_decides() -> None:
    few, many = judged(TEXTS[:500], validation=0.2), judged(TEXTS, validation=0.2)
    assert few == {rid: to for rid, to in many.items() if rid < 500}
    assert judged(TEXTS, validation=0.2, seed=1) != many
    # A larger share only adds rows.
    assert set(many) <= set(judged(TEXTS, validation=0.3))


def test_a_published_split_is_left_as_it_is() -> None:
    splits = ["train"] * 1999 + ["validation"]
    assert judged(TEXTS, splits, validation=0.2) == {}
    assert set(judged(TEXTS, splits, validation=0.2, test=0.1).values()) == {"test"}


def places(task: str, records: list[dict[str, Any]], seed: int = 0, **options: Any) -> list[str]:
    """The split of every row afterwards; all of them come as train."""
    ctx, chosen = context(task, seed=seed), Options.model_validate(options)
    keys = key_table(frame(task, *records), ["train"] * len(records), split, chosen, ctx)
    moved = {rid: to for rid, _, to, _ in said(split.judge(keys, chosen, ctx))}
    return [moved.get(rid, "train") for rid in range(len(records))]


def test_contexts_stay_together() -> None:
    records = [{"context": f"文章{n // 4}", "question": f"问{n}"} for n in range(400)]
    went = places("mrc", records, validation=0.2, test=0.2)
    assert all(len(set(went[first : first + 4])) == 1 for first in range(0, 400, 4))
    assert set(went) == {"train", "validation", "test"}


@given(
    st.lists(st.tuples(st.integers(0, 25), st.sampled_from("0001")), min_size=1, max_size=80),
    st.sampled_from([0.1, 0.25, 0.5]),
    st.sampled_from([0.0, 0.1, 0.3]),
    st.integers(0, 3),
)
def test_every_label_gives_its_share(rows: list[tuple[int, str]], validation: float, test: float, seed: int) -> None:
    """By a recount in plain Python: a group is of its first row's label, and each label's groups are dealt out."""
    records = [{"text": f"文{text}", "label": label} for text, label in rows]
    went = places("classification", records, seed, validation=validation, test=test, stratify="label")
    of: dict[int, set[str]] = defaultdict(set)
    stratum: dict[int, str] = {}
    for (text, label), place in zip(rows, went, strict=True):
        of[text].add(place)
        stratum.setdefault(text, label)
    assert all(len(there) == 1 for there in of.values()), "a group is never separated"
    for label in set(stratum.values()):
        counts = Counter(next(iter(of[text])) for text in of if stratum[text] == label)
        assert abs(counts["validation"] - validation * counts.total()) <= 1
        assert abs(counts["test"] - test * counts.total()) <= 0.5


def test_strata_when_rows_are_added() -> None:
    """A group that is added moves at most one other group of its label at each border, and none of another label."""
    labels = ["1" if n % 3 else "0" for n in range(301)]
    records = [{"text": text, "label": label} for text, label in zip(TEXTS, labels, strict=False)]
    options: dict[str, Any] = {"validation": 0.2, "test": 0.1, "stratify": "label"}
    before = places("classification", records[:300], **options)
    after = places("classification", records, **options)
    other = [n for n in range(300) if before[n] != after[n]]
    assert len(other) <= 2 and {labels[n] for n in other} <= {labels[300]}


PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=20)


@given(PAIRS, st.randoms(use_true_random=False))
def test_connected(pairs: list[tuple[int, int]], random: Any) -> None:
    """Against a slow recount: groups are merged as long as two of them have a sentence in common."""
    groups = [set(pair) for pair in pairs]
    for sentence in range(13):
        having = [group for group in groups if sentence in group]
        groups = [group for group in groups if sentence not in group] + ([set().union(*having)] if having else [])
    expected = [min(next(group for group in groups if a in group)) for a, _ in pairs]
    order = random.sample(range(len(pairs)), len(pairs))
    a, b = (pl.Series([pairs[i][side] for i in order], dtype=pl.UInt64) for side in (0, 1))
    assert connected(a, b).to_list() == [expected[i] for i in order]


def test_pairs_that_share_a_sentence(tmp_path: Path) -> None:
    """A run in which no sentence of one split stands in a pair of another."""
    source = tmp_path / "source"
    source.mkdir()
    ends = (f"句{n + 1}" if n % 5 < 4 else f"尾{n}" for n in range(600))
    rows = "".join(f"句{n}{'。' * (n % 2)}\t{end}\t{n % 2}\n" for n, end in enumerate(ends))
    (source / "train.tsv").write_text(f"text_a\ttext_b\tlabel\n{rows}", encoding="utf-8")
    step = {"split": {"validation": 0.2, "test": 0.2, "connected": True, "stratify": "label"}}
    run = curate(recipe_file(tmp_path / "recipe", "pair", ["normalise", step]), tmp_path / "run", source).path
    said_in = {
        name: {text.rstrip("。") for row in samples(run, name) for text in row["meta"]["fields"].values()}
        for name in ("train", "validation", "test")
    }
    assert min(len(samples(run, name)) for name in said_in) > 50
    assert not said_in["train"] & said_in["validation"]
    assert not said_in["train"] & said_in["test"]
    assert not said_in["validation"] & said_in["test"]


def test_real_reviews_by_label(corpora: Path, tmp_path: Path) -> None:
    """Of the reviews that come without a validation file each label gives its tenth, to within one review."""
    path = corpora / "chnsenticorp" / "ChnSentiCorp_htl_all.csv"
    overrides = ["segment.as=off", "split.stratify=label", "split.test=0.05"]
    run = curate("chnsenticorp", tmp_path / "run", path, overrides=overrides).path
    assert check_run(run) == []
    counts = {name: Counter(row["meta"]["label"] for row in samples(run, name)) for name in PARTS}
    for label in ("0", "1"):
        total = sum(counted[label] for counted in counts.values())
        assert total > 2000
        assert abs(counts["validation"][label] - 0.1 * total) <= 1
        assert abs(counts["test"][label] - 0.05 * total) <= 1
    after = card(run)["leaks"]["after"]
    assert after["validation"]["train"]["rows"] == after["test"]["train"]["rows"] == 0


def test_real_pairs_that_share_a_sentence(corpora: Path, tmp_path: Path) -> None:
    """Questions asked again and again stand on one side; by the pair alone many of them would stand on both."""
    steps = ["normalise", "require", "exact_dedup"]
    source = {"reader": "table", "files": {"train": "*train*", "validation": "*none*"}}
    shared = []
    for connected_too in (False, True):
        step = {"split": {"validation": 0.1, "connected": connected_too}}
        recipe = recipe_file(tmp_path / f"recipe-{connected_too}", "pair", [*steps, step], source=source)
        run = curate(recipe, tmp_path / f"run-{connected_too}", corpora / "lcqmc" / "train.tsv", limit=40_000).path
        shared.append(card(run)["leaks"]["after"]["validation"]["train"]["sentences"])
        counted = manifest(run)["splits"]
        assert 0.08 < counted["validation"]["written"] / counted["train"]["read"] < 0.12
    assert shared[0] > 1000 and shared[1] == 0


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("mrc", {"stratify": "label"}, "task mrc has no labels; remove 'stratify'"),
        ("classification", {"connected": True}, "'connected' is for task pair"),
        ("pair", {"connected": True, "key": ["a"]}, "'connected' is for task pair, by both of its sentences"),
        ("pair", {"stratify": "text"}, "stratify: 'text' is not one of label"),
    ],
)
def test_wrong_recipes(task: str, options: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load_recipe(recipe_file(tmp_path, task, [{"split": options}]))
    assert len(error.value.messages) == 1 and message in error.value.messages[0]
