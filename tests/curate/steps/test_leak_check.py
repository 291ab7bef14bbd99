"""leak_check: training rows that stand in an evaluation split."""

from __future__ import annotations

from typing import Any

from rows import context, frame, key_table, said

from curate.steps import leak_check
from curate.steps.leak_check import Options


def judged(task: str, records: list[dict[str, Any]], splits: list[str], **options: object) -> list[Any]:
    ctx, chosen = context(task), Options.model_validate(options)
    keys = key_table(frame(task, *records), splits, leak_check, chosen, ctx)
    return said(leak_check.judge(keys, chosen, ctx))


def test_train_gives_way_and_evaluation_is_flagged() -> None:
    records = [{"a": a, "b": b} for a, b in (("甲", "乙"), ("丙", "丁"), ("乙", "甲。"), ("丙", "丁"), ("戊", "己"))]
    assert judged("pair", records, ["train", "train", "validation", "test", "test"]) == [
        (0, "reject", "in_validation", 2),
        (1, "reject", "in_test", 3),
        (2, "flag", "in_train", None),
        (3, "flag", "in_train", None),
    ]


def test_the_most_protected_split_is_named() -> None:
    records = [{"a": "甲", "b": "乙"}] * 4
    assert judged("pair", records, ["train", "validation", "test", "test"]) == [
        (0, "reject", "in_test", 2),
        (1, "flag", "in_test", 2),
        (1, "flag", "in_train", None),
        (2, "flag", "in_train", None),
        (3, "flag", "in_train", None),
    ]


def test_by_text_is_stricter() -> None:
    records = [{"a": "甲。", "b": "乙"}, {"a": "甲", "b": "乙"}]
    assert judged("pair", records, ["train", "test"], by="text") == []


def test_a_context_gives_a_question_away() -> None:
    records = [{"context": "文", "question": "一"}, {"context": "文", "question": "二"}]
    assert [rid for rid, action, *_ in judged("mrc", records, ["train", "test"]) if action == "reject"] == [0]
    assert judged("mrc", records, ["train", "test"], key=["context", "question"]) == []
