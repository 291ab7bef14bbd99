"""length: texts in characters, both bounds inclusive."""

from __future__ import annotations

from rows import context, frame, said

from curate.steps.length import Options, run


def test_any_text_too_short_or_too_long() -> None:
    texts = ("一", "一二", "一二三四", "一二三四五", "", None, "😀😀")
    rows = frame("pair", *({"a": text, "b": "一二三"} for text in texts))
    verdicts = said(run(rows, Options(min=2, max=4), context("pair")).verdicts)
    assert verdicts == [
        (0, "reject", "too_short", None),
        (3, "reject", "too_long", None),
        (4, "reject", "too_short", None),
        (5, "reject", "too_short", None),
    ]
    assert said(run(rows, Options(fields=["b"], min=3, max=3), context("pair")).verdicts) == []
    assert said(run(rows, Options(), context("pair")).verdicts) == []


def test_a_row_gets_one_reason() -> None:
    rows = frame("pair", {"a": "一", "b": "一二三四五"})
    assert said(run(rows, Options(min=2, max=4), context("pair")).verdicts) == [(0, "reject", "too_short", None)]


def test_a_dialogue_is_measured_by_utterance() -> None:
    turns = [["一二", "一二三"], ["一", "一二"], ["一二", "一二三四五"], []]
    rows = frame("dialogue", *({"turns": one} for one in turns))
    verdicts = said(run(rows, Options(min=2, max=4), context("dialogue")).verdicts)
    assert [(rid, reason) for rid, _, reason, _ in verdicts] == [(1, "too_short"), (2, "too_long"), (3, "too_short")]
