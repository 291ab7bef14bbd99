"""locate_answer: every answer's place, and rows without one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import context, frame, said

from curate.steps.locate_answer import Options, locate, run


@pytest.mark.parametrize(
    ("text", "answer", "told", "start"),
    [
        ("甲乙丙乙", "乙", 1, 1),
        ("甲乙丙乙", "乙", 3, 3),
        ("甲乙丙乙", "乙", -1, 1),
        ("甲乙丙丁戊己乙", "乙", 5, 6),
        ("甲乙丙丁戊己乙", "乙", 2, 1),
        ("甲乙丙乙", "丁", 0, -1),
        ("甲乙丙乙", "乙", 99, 3),
        ("甲乙", "", 0, -1),
        ("", "乙", 0, -1),
        ("😀甲", "甲", 1, 1),
    ],
)
def test_places(text: str, answer: str, told: int, start: int) -> None:
    assert locate(text, answer, told) == start


@given(st.text("甲乙丙", max_size=12), st.text("甲乙", min_size=1, max_size=3), st.integers(-1, 15))
def test_the_place_is_the_nearest_one(text: str, answer: str, told: int) -> None:
    places = [i for i in range(len(text)) if text.startswith(answer, i)]
    found = locate(text, answer, told)
    if not places:
        assert found == -1
    else:
        assert found in places
        assert abs(found - max(told, 0)) == min(abs(place - max(told, 0)) for place in places)


def test_verdicts_and_counts() -> None:
    shared = {"context": "诺贝尔生于瑞典", "question": "谁"}
    rows = frame(
        "mrc",
        {**shared, "answers": ["诺贝尔"], "answer_starts": [0]},
        {**shared, "answers": ["瑞典"], "answer_starts": [2]},
        {**shared, "answers": ["瑞典", "挪威"], "answer_starts": [-1, 3]},
        {**shared, "answers": ["挪威", "丹麦"], "answer_starts": [0]},
        {**shared, "answers": [], "answer_starts": []},
        {**shared, "answers": ["瑞典"], "answer_starts": []},
    )
    outcome = run(rows, Options(), context("mrc"))
    assert outcome.rows["answer_starts"].to_list() == [[0], [5], [5, -1], [-1, -1], [], [5]]
    assert said(outcome.verdicts) == [
        (2, "flag", "some_answers_not_in_context", None),
        (3, "reject", "answer_not_in_context", None),
    ]
    assert outcome.counts == {"offsets_right": 1, "offsets_mended": 1, "offsets_added": 2, "answers_not_found": 3}
