"""cap: so many rows of one label or answer, chosen by hash."""

from __future__ import annotations

import polars as pl
from rows import context, frame, key_table, said

from curate.steps import cap
from curate.steps.cap import ANSWER, Options


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
