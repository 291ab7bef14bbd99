"""cap: so many rows of one label or answer, chosen by hash."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from contract import check_run
from helpers import curate, recipe_file, rejects, samples
from rows import context, frame, key_table, said, templates

from curate.formatting.render import render
from curate.recipefile import load_recipe
from curate.steps import cap
from curate.steps.cap import ANSWER, Options
from curate.types import UserError


def test_labels() -> None:
    ctx, options = context("pair"), Options(per="label", max=10)
    labels = ["0"] * 100 + ["1"] * 5 + [None] * 3 + ["0"] * 20
    rows = frame("pair", *({"a": f"甲{n}", "b": "乙", "label": label} for n, label in enumerate(labels)))
    splits = ["train"] * 105 + ["test"] * 23
    keys = key_table(rows, splits, cap, options, ctx)
    verdicts = said(cap.judge(keys, options, ctx))
    assert all(verdict[1:] == ("reject", "over_cap", None) for verdict in verdicts)
    gone = {rid for rid, *_ in verdicts}
    assert len(gone) == 90
    assert gone <= set(range(100)), "evaluation rows and small labels stay"
    assert gone != set(range(10, 100)), "the first rows have no privilege"
    # A larger cap keeps what a smaller one kept.
    more = {rid for rid, *_ in said(cap.judge(keys, Options(per="label", max=20), ctx))}
    assert more < gone


def test_answers() -> None:
    ctx, options = context("dialogue"), Options(per="answer", max=2)
    rows = frame("dialogue", *({"turns": [f"问{n}", "哈哈"]} for n in range(5)), {"turns": ["问", "是"]})
    assert cap.columns(options, ctx.task) == {ANSWER}
    hashes = pl.Series(ANSWER, [7] * 5 + [8], dtype=pl.UInt64)
    keys = key_table(rows, ["train"] * 6, cap, options, ctx).with_columns(hashes)
    verdicts = said(cap.judge(keys, options, ctx))
    assert len(verdicts) == 3
    assert 5 not in {rid for rid, *_ in verdicts}


@pytest.mark.parametrize("task", ["pair", "classification", "mrc", "summarization", "dialogue"])
def test_templates(task: str) -> None:
    """Counted by the template that `render` deals: only train rows, over the templates that train may use."""
    made = templates(task, plain=3, inverted=2)
    ctx, options = context(task, templates=made), Options(per="template", max=7)
    record = {"turns": ["问", "答"], "label": "1", "answers": ["答"], "answer_starts": [0], "summary": "答"}
    rows = frame(task, *[record] * 100)
    keys = key_table(rows, ["train"] * 80 + ["test"] * 20, cap, options, ctx)
    gone = {rid for rid, *_ in said(cap.judge(keys, options, ctx))}
    assert gone and max(gone) < 80
    written = render(rows[:80], made, ctx, evaluation=False).select("rid", "template").rows()
    before = Counter(template for _, template in written)
    after = Counter(template for rid, template in written if rid not in gone)
    assert len(before) == 5 and after == {template: min(n, 7) for template, n in before.items()}


def test_a_run_caps_templates(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rows = "".join(f"甲{n}\t乙\t{n % 2}\n" for n in range(60))
    for split in ("train", "test"):
        (source / f"{split}.tsv").write_text(f"text_a\ttext_b\tlabel\n{rows}", encoding="utf-8")
    recipe = recipe_file(tmp_path / "recipe", "pair", ["normalise", {"cap": {"per": "template", "max": 5}}])
    run = curate(recipe, tmp_path / "run", source).path
    assert check_run(run) == []
    assert Counter(row["meta"]["template"] for row in samples(run, "train")) == dict.fromkeys(
        ["t/00", "t/01", "t/02"], 5
    )
    assert len(samples(run, "test")) == 60
    assert {row["reason"] for row in rejects(run)} == {"over_cap"}
    assert all(row["fields"] is None for row in rejects(run))


def test_parts_have_templates_of_their_own(tmp_path: Path) -> None:
    steps = [{"cap": {"per": "template", "max": 5}}, {"chunk": {"max": 6, "mode": "split"}}]
    with pytest.raises(UserError, match=r"own\.yaml:\d+:\d+: the parts that 'chunk' makes"):
        load_recipe(recipe_file(tmp_path, "classification", steps))
