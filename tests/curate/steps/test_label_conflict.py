"""label_conflict: one text, two labels."""

from __future__ import annotations

from rows import context, frame, key_table, said

from curate.steps import label_conflict
from curate.steps.label_conflict import Options


def judged(records: list[tuple[str, str, str | None, str]], **options: object) -> list[int]:
    """The rids that are rejected; a record is (a, b, label, split)."""
    ctx, chosen = context("pair"), Options.model_validate(options)
    rows = frame("pair", *({"a": a, "b": b, "label": label} for a, b, label, _ in records))
    keys = key_table(rows, [split for *_, split in records], label_conflict, chosen, ctx)
    verdicts = said(label_conflict.judge(keys, chosen, ctx))
    assert all(verdict[1:] == ("reject", "conflicting_labels", None) for verdict in verdicts)
    return [rid for rid, *_ in verdicts]


def test_the_whole_group_goes() -> None:
    train = "train"
    assert judged([("甲", "乙", "1", train), ("甲", "乙", "0", train), ("甲", "丙", "1", train)]) == [0, 1]
    assert judged([("甲", "乙", "1", train), ("乙", "甲。", "0", train), ("甲", "乙", "1", train)]) == [0, 1, 2]
    assert judged([("甲", "乙", "1", train), ("甲", "乙", "1", train)]) == []


def test_by_text_is_stricter() -> None:
    assert judged([("甲。", "乙", "1", "train"), ("甲", "乙", "0", "train")], by="text") == []


def test_each_split_by_itself() -> None:
    assert judged([("甲", "乙", "1", "train"), ("甲", "乙", "0", "test")]) == []
    assert judged([("甲", "乙", "1", "test"), ("甲", "乙", "0", "test"), ("甲", "乙", "0", "train")]) == [0, 1]


def test_rows_without_a_label_make_no_conflict_but_share_in_one() -> None:
    assert judged([("甲", "乙", "1", "test"), ("甲", "乙", None, "test")]) == []
    assert judged([("甲", "乙", "1", "test"), ("甲", "乙", None, "test"), ("甲", "乙", "0", "test")]) == [0, 1, 2]
