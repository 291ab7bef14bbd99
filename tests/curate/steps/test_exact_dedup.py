"""exact_dedup: the same text twice in one split."""

from __future__ import annotations

from typing import Any

from rows import context, frame, key_table, said

from curate.steps import exact_dedup
from curate.steps.exact_dedup import Options


def judged(task: str, records: list[dict[str, Any]], splits: list[str] | None = None, **options: object) -> list[Any]:
    """(rid, reason, kept) of every reject."""
    ctx, chosen = context(task), Options.model_validate(options)
    keys = key_table(frame(task, *records), splits or ["train"] * len(records), exact_dedup, chosen, ctx)
    verdicts = said(exact_dedup.judge(keys, chosen, ctx))
    assert all(action == "reject" for _, action, _, _ in verdicts)
    return [(rid, reason, kept) for rid, _, reason, kept in verdicts]


def pairs(*sides: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"a": a, "b": b} for a, b in sides]


def test_reasons() -> None:
    exact = [("甲", "乙"), ("甲", "乙"), ("乙", "甲")]
    records = pairs(*exact, ("甲。", "乙"), ("乙", "甲！"), ("甲 ", "乙"), ("甲", "丙"))
    assert judged("pair", records) == [
        (1, "same_text", 0),
        (2, "swapped", 0),
        (3, "same_key", 0),
        (4, "same_key", 0),
        (5, "same_text", 0),
    ]
    assert judged("pair", records, by="text") == [(1, "same_text", 0), (2, "swapped", 0), (5, "same_text", 0)]


def test_a_pair_of_one_text_is_not_swapped() -> None:
    assert judged("pair", pairs(("甲", "甲"), ("甲", "甲"))) == [(1, "same_text", 0)]


def test_each_split_by_itself() -> None:
    records = pairs(*[("甲", "乙")] * 3)
    assert judged("pair", records, ["train", "test", "test"]) == [(2, "same_text", 1)]


def test_some_fields_only() -> None:
    assert judged("pair", pairs(("甲", "乙"), ("甲", "丙"), ("丁", "甲")), key=["a"]) == [(1, "same_text", 0)]
    records = [{"context": "文", "question": q} for q in ("一", "二", "一")]
    assert judged("mrc", records) == [(2, "same_text", 0)]
    assert judged("mrc", records, key=["context"]) == [(1, "same_text", 0), (2, "same_text", 0)]


def test_dialogues() -> None:
    turns = [["你好", "好"], ["你好！", "好"], ["你", "好好"], ["你好", "好", "好"]]
    assert judged("dialogue", [{"turns": one} for one in turns]) == [(1, "same_key", 0)]
