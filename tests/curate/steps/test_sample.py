"""sample: a share or a number of the training rows, by hash."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from contract import check_run
from helpers import curate, recipe_file, rejects, samples
from hypothesis import given
from hypothesis import strategies as st
from rows import context, frame, key_table, said

from curate.recipefile import load_recipe
from curate.steps import cap, sample
from curate.steps.sample import Options, shares
from curate.types import UserError


def kept(labels: list[str], splits: list[str] | None = None, seed: int = 0, **options: Any) -> set[int]:
    ctx, chosen = context("classification", seed=seed), Options.model_validate(options)
    rows = frame("classification", *({"text": f"文{n}", "label": label} for n, label in enumerate(labels)))
    keys = key_table(rows, splits or ["train"] * len(labels), sample, chosen, ctx)
    verdicts = said(sample.judge(keys, chosen, ctx))
    assert all(verdict[1:] == ("reject", "not_sampled", None) for verdict in verdicts)
    return set(range(len(labels))) - {rid for rid, *_ in verdicts}


def test_a_share() -> None:
    labels = ["0"] * 2000
    few = kept(labels, share=0.1)
    assert 150 < len(few) < 250
    assert few < kept(labels, share=0.3)
    assert kept(labels, share=1) == set(range(2000))
    assert kept(labels, share=0.1, seed=1) != few
    # Rows that come later change nothing for those that were there.
    assert kept(["0"] * 500, share=0.1) == {rid for rid in few if rid < 500}
    assert kept(["0"] * 20, ["train"] * 10 + ["test"] * 10, share=0.0001) == set(range(10, 20))


def test_a_number_of_rows() -> None:
    some = kept(["0"] * 300, rows=100)
    assert len(some) == 100 and some != set(range(100))
    assert len(some - kept(["0"] * 310, rows=100)) <= 10
    assert some < kept(["0"] * 300, rows=120)
    assert kept(["0"] * 30, rows=100) == set(range(30))


@given(st.lists(st.sampled_from("00001"), min_size=1, max_size=60), st.integers(1, 70))
def test_per_label(labels: list[str], rows: int) -> None:
    before = Counter(labels)
    after = Counter(labels[rid] for rid in kept(labels, rows=rows, per="label"))
    assert after.total() == min(rows, len(labels))
    for label, n in before.items():
        assert abs(after[label] - min(1, Fraction(rows, len(labels))) * n) < 1


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(0, 200))
def test_shares(sizes: list[int], rows: int) -> None:
    dealt = shares(sizes, rows)
    assert sum(dealt) == min(rows, sum(sizes))
    assert all(got <= size for got, size in zip(dealt, sizes, strict=True))
    assert shares(dealt, rows) == dealt


def test_a_cap_before_it_skews_nothing() -> None:
    """What stands behind `cap` is drawn anew: were both to go by one hash, capped labels would all stay."""
    ctx = context("classification")
    rows = frame("classification", *({"text": f"文{n}", "label": str(int(n < 400))} for n in range(4000)))
    capped, share = cap.Options(per="label", max=400), Options(share=0.1)
    keys = key_table(rows, ["train"] * 4000, cap, capped, ctx)
    left = keys.join(cap.judge(keys, capped, ctx), on="rid", how="anti")
    counts = left.join(sample.judge(left, share, ctx), on="rid", how="anti")["label"].value_counts()
    assert all(20 < n < 65 for n in counts["count"])


def test_a_run(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rows = "".join(f"文{n}\t{int(n % 10 == 0)}\n" for n in range(50))
    for split in ("train", "test"):
        (source / f"{split}.tsv").write_text(f"text\tlabel\n{rows}", encoding="utf-8")
    steps = ["normalise", {"sample": {"rows": 20, "per": "label"}}]
    recipe = recipe_file(tmp_path / "recipe", "classification", steps)
    run = curate(recipe, tmp_path / "run", source).path
    assert check_run(run) == []
    assert Counter(row["meta"]["label"] for row in samples(run, "train")) == {"1": 2, "0": 18}
    assert len(samples(run, "test")) == 50
    assert {(row["step"], row["reason"], row["fields"]) for row in rejects(run)} == {("sample", "not_sampled", None)}


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("pair", None, "give either 'share', like 0.1, or 'rows', like 1000"),
        ("pair", {"share": 0.1, "rows": 5}, "give either 'share', like 0.1, or 'rows', like 1000"),
        ("pair", {"share": 0.1, "per": "label"}, "'per: label' goes with 'rows'"),
        ("pair", {"share": 1.5}, "share: "),
        ("pair", {"rows": 0}, "rows: "),
        ("dialogue", {"rows": 5, "per": "label"}, "task dialogue has no labels; remove 'per'"),
    ],
)
def test_wrong_recipes(task: str, options: Any, message: str, tmp_path: Path) -> None:
    step = "sample" if options is None else {"sample": options}
    with pytest.raises(UserError) as error:
        load_recipe(recipe_file(tmp_path, task, [step]))
    assert len(error.value.messages) == 1 and message in error.value.messages[0]
    assert ":" in error.value.messages[0].split(" ")[0], "the message names the line"
