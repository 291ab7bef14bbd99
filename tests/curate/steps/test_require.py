"""require: fields that must hold something."""

from __future__ import annotations

from rows import context, frame, said

from curate.steps import STEPS
from curate.steps.require import Options, run


def rids(task: str, options: Options, *records: dict) -> list[int]:
    verdicts = said(run(frame(task, *records), options, context(task)).verdicts)
    assert all(verdict[1:] == ("reject", "empty_field", None) for verdict in verdicts)
    return [rid for rid, *_ in verdicts]


def test_null_blank_and_empty() -> None:
    records = [{"a": a, "b": "乙", "label": None} for a in ("甲", None, "", " \n　")]
    assert rids("pair", Options(), *records) == [1, 2, 3]
    assert rids("pair", Options(fields=["b"]), *records) == []
    assert rids("pair", Options(fields=["label"]), *records) == [0, 1, 2, 3]


def test_lists_and_numbers() -> None:
    assert rids("dialogue", Options(), {"turns": ["好"]}, {"turns": []}, {"turns": None}) == [1, 2]
    assert rids("summarization", Options(fields=["score"]), {"text": "文", "score": 0}, {"text": "文"}) == [1]


def test_it_is_about_form() -> None:
    assert STEPS["require"].binding
