"""select: the corpus's own definition of a split."""

from __future__ import annotations

from rows import context, frame, said

from curate.steps import STEPS
from curate.steps.select import Options, run


def test_rows_below_the_minimum_are_not_in_the_split() -> None:
    rows = frame("summarization", *({"text": "文", "summary": "题", "score": score} for score in (1, 2, 3, 5, None)))
    outcome = run(rows, Options(field="score", min=3), context("summarization"))
    assert said(outcome.verdicts) == [(0, "reject", "not_in_split", None), (1, "reject", "not_in_split", None)]
    assert outcome.rows is rows
    assert STEPS["select"].binding
