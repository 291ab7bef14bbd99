"""What excerpts leave out is told, and what was changed is in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.card.excerpts import CHARS, excerpt, excerpts


@given(st.text(max_size=900), st.text(max_size=900))
def test_an_excerpt_shows_the_first_difference(read: str, cleaned: str) -> None:
    before, after = excerpts({"text": read}, {"text": cleaned})
    assert len(before["text"]) <= CHARS + 1 and len(after["text"]) <= CHARS + 1
    assert (before == after) == (read == cleaned)


@pytest.mark.parametrize("far", [0, 150, 5000])
def test_an_excerpt_begins_shortly_before_a_change_that_is_far_in(far: int) -> None:
    before, after = excerpts({"text": "前" * far + "Ａ后"}, {"text": "前" * far + "A后"})
    assert before["text"].endswith("前Ａ后"[far == 0 :]) and after["text"].endswith("A后")
    assert before["text"].startswith("…") == (far > CHARS // 2)


def test_lists_are_cut_and_what_is_no_text_is_kept() -> None:
    assert excerpt(None) is None
    cut = excerpt({"turns": ["话"] * 20, "score": 3, "label": None, "slots": [{"name": "地点", "value": "北京"}]})
    assert cut == {
        "turns": ["话"] * 8 + ["…"],
        "score": 3,
        "label": None,
        "slots": ['{"name": "地点", "value": "北京"}'],
    }
