"""What every judgement promises: the order of the rows decides nothing, and nothing is left to say the second time."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from rows import context, frame, key_table, said, templates

from curate.steps import STEPS

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("pair", "label_conflict", {}),
    ("classification", "label_conflict", {"by": "text"}),
    ("pair", "exact_dedup", {}),
    ("pair", "exact_dedup", {"by": "text"}),
    ("pair", "exact_dedup", {"key": ["a"]}),
    ("dialogue", "exact_dedup", {}),
    ("mrc", "exact_dedup", {"key": ["context"]}),
    ("pair", "leak_check", {}),
    ("mrc", "leak_check", {}),
    ("pair", "split", {"validation": 0.3, "test": 0.3}),
    ("pair", "split", {"validation": 0.3, "test": 0.3, "stratify": "label"}),
    ("pair", "split", {"validation": 0.3, "test": 0.3, "connected": True}),
    ("pair", "split", {"validation": 0.3, "stratify": "label", "connected": True}),
    ("mrc", "split", {"validation": 0.3}),
    ("pair", "cap", {"per": "label", "max": 2}),
    ("dialogue", "cap", {"per": "template", "max": 1}),
    ("pair", "balance", {}),
    ("classification", "balance", {"ratio": 1.5}),
    ("dialogue", "sample", {"share": 0.5}),
    ("mrc", "sample", {"rows": 3}),
    ("pair", "sample", {"rows": 4, "per": "label"}),
]
IDS = [f"{step}-{task}-{i}" for i, (task, step, _) in enumerate(CASES)]
TEXT = st.sampled_from(["甲", "乙", "甲。", "乙 ", "A", "a"])
SPLIT = st.sampled_from(["train", "train", "validation", "test"])


def record(task: str) -> st.SearchStrategy[dict[str, Any]]:
    label = st.sampled_from(["0", "1", None])
    return {
        "pair": st.fixed_dictionaries({"a": TEXT, "b": TEXT, "label": label}),
        "classification": st.fixed_dictionaries({"text": TEXT, "label": label}),
        "mrc": st.fixed_dictionaries({"context": TEXT, "question": TEXT}),
        "dialogue": st.fixed_dictionaries({"turns": st.lists(TEXT, min_size=1, max_size=2)}),
    }[task]


@pytest.mark.parametrize(("task", "step", "options"), CASES, ids=IDS)
@settings(max_examples=25)
@given(data=st.data())
def test_order_and_repetition(task: str, step: str, options: dict[str, Any], data: st.DataObject) -> None:
    drawn = data.draw(st.lists(st.tuples(record(task), SPLIT), min_size=1, max_size=12))
    module, ctx = STEPS[step].module, context(task, templates=templates(task, 2, 1))
    chosen = STEPS[step].options.model_validate(options)
    keys = key_table(frame(task, *(row for row, _ in drawn)), [split for _, split in drawn], module, chosen, ctx)
    before = keys.clone()
    verdicts = said(module.judge(keys, chosen, ctx))
    assert_frame_equal(keys, before)
    order = data.draw(st.permutations(range(len(keys))))
    assert said(module.judge(keys[list(order)], chosen, ctx)) == verdicts

    rids = set(keys["rid"])
    assert all(rid in rids and (kept is None or kept in rids) and kept != rid for rid, _, _, kept in verdicts)
    assert all(action in ("reject", "flag", "move") for _, action, _, _ in verdicts)
    reasons = {reason for _, action, reason, _ in verdicts if action == "reject"}
    assert reasons <= set(STEPS[step].reasons)
    rejected = [rid for rid, action, _, _ in verdicts if action == "reject"]
    assert len(rejected) == len(set(rejected)), "a row is rejected once"
    left = keys.filter(~pl.col("rid").is_in(pl.Series(rejected, dtype=pl.UInt64).implode()))
    if len(left):
        again = said(module.judge(left, chosen, ctx))
        assert [verdict for verdict in again if verdict[1] == "reject"] == []
    if STEPS[step].choice:
        splits = dict(keys.select("rid", "split").iter_rows())
        assert all(splits[rid] == "train" and kept is None for rid, _, _, kept in verdicts)
    kept = {kept for _, action, _, kept in verdicts if action == "reject" and kept is not None}
    assert kept <= set(left["rid"]), "what a row was rejected for is still there"
