"""split: evaluation splits for corpora that come without."""

from __future__ import annotations

from typing import Any

from rows import context, frame, key_table, said

from curate.steps import split
from curate.steps.split import Options

TEXTS = [f"评论{n}" for n in range(2000)]


def judged(texts: list[str], splits: list[str] | None = None, seed: int = 0, **options: Any) -> dict[int, str]:
    """Where each moved row goes."""
    ctx, chosen = context("classification", seed=seed), Options.model_validate(options)
    rows = frame("classification", *({"text": text, "label": "1"} for text in texts))
    keys = key_table(rows, splits or ["train"] * len(texts), split, chosen, ctx)
    verdicts = said(split.judge(keys, chosen, ctx))
    assert all(action == "move" and kept is None for _, action, _, kept in verdicts)
    assert len({rid for rid, *_ in verdicts}) == len(verdicts)
    return {rid: to for rid, _, to, _ in verdicts}


def test_shares() -> None:
    moved = list(judged(TEXTS, validation=0.1, test=0.2).values())
    assert 150 < moved.count("validation") < 250
    assert 330 < moved.count("test") < 470
    assert judged(TEXTS, validation=0.0) == {}


def test_one_text_goes_one_way() -> None:
    moved = judged([text + end for text in TEXTS[:300] for end in ("", "。", "！")], validation=0.3)
    for first in range(0, 900, 3):
        assert moved.get(first) == moved.get(first + 1) == moved.get(first + 2)


def test_more_rows_move_no_other_and_the_seed_decides() -> None:
    few, many = judged(TEXTS[:500], validation=0.2), judged(TEXTS, validation=0.2)
    assert few == {rid: to for rid, to in many.items() if rid < 500}
    assert judged(TEXTS, validation=0.2, seed=1) != many
    # A larger share only adds rows.
    assert set(many) <= set(judged(TEXTS, validation=0.3))


def test_a_published_split_is_left_as_it_is() -> None:
    splits = ["train"] * 1999 + ["validation"]
    assert judged(TEXTS, splits, validation=0.2) == {}
    assert set(judged(TEXTS, splits, validation=0.2, test=0.1).values()) == {"test"}
