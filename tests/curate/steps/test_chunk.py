"""chunk: long texts end with a sentence, short ones are left alone, and what was cut is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import recipe_file
from rows import context, frame

from curate.recipe import load_recipe
from curate.steps.chunk import Options, run
from curate.types import UserError


def test_cut() -> None:
    rows = frame("classification", {"text": "一句。两句。"}, {"text": "一句。两句。三句。"}, {"text": "长" * 9})
    out = run(rows, Options(max=7), context("classification"))
    assert out.rows["text"].to_list() == ["一句。两句。", "一句。两句。", "长" * 7]
    assert out.counts == {"texts_cut": 2, "characters_cut": 5}
    assert out.verdicts is None


def test_only_tasks_with_a_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'chunk' cuts the field text"):
        load_recipe(recipe_file(tmp_path, "pair", [{"chunk": {"max": 9}}]))
