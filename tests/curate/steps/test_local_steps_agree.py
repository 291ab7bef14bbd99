"""What every local step promises: right on any slice, and nothing left to do the second time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from rows import REAL, context, frame, real_rows, said, sample_rows

from curate.steps import STEPS, Context, Outcome

#: Two words, one inside the other.
BLOCKED = str(Path(__file__).with_name("blocked.txt"))
#: Steps and options, by task.
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("summarization", "select", {"field": "score", "min": 3}),
    *((task, "normalise", {}) for task in ("pair", "classification", "mrc", "summarization", "dialogue")),
    *((task, "require", {}) for task in ("pair", "mrc", "summarization", "dialogue")),
    *((task, "join_words", {}) for task in ("pair", "classification", "dialogue")),
    ("mrc", "strip_markup", {}),
    ("dialogue", "strip_markup", {"kinds": ["weibo"]}),
    ("summarization", "strip_markup", {"kinds": ["weibo", "wiki"]}),
    ("mrc", "locate_answer", {}),
    *((task, "length", {"min": 2, "max": 8}) for task in ("pair", "dialogue")),
    *((task, "segment", {}) for task in ("pair", "mrc", "dialogue")),
    ("pair", "segment", {"as": "stats"}),
    *((task, "chunk", {"max": 4}) for task in ("classification", "summarization")),
    *((task, "redact_pii", {}) for task in ("pair", "mrc", "summarization", "dialogue")),
    *(("mrc", "redact_pii", {"action": action}) for action in ("reject", "report")),
    *((task, "language", {}) for task in ("pair", "dialogue")),
    *((task, "quality", {"max_run": 0.2, "max_repeat": 0.1}) for task in ("pair", "mrc", "dialogue")),
    *(("mrc", "blocklist", {"file": BLOCKED, "action": action}) for action in ("reject", "mask", "report")),
    ("dialogue", "blocklist", {"file": BLOCKED, "action": "mask"}),
    ("classification", "decontaminate", {"against": BLOCKED}),
    ("mrc", "decontaminate", {"against": BLOCKED, "key": ["question"]}),
]
IDS = [f"{step}-{task}-{i}" for i, (task, step, _) in enumerate(CASES)]

MARKUP = [
    "-{zh-hans:计算机;zh-hant:電腦}-",
    "（，（））",
    "好//@某人：转",
    "回复@某:回复@乙:好",
    "[哈[哈]哈]",
    "<ref>甲</ref>",
    "电话13812345678",
    "QQ：１２３４５６７８",
    "12345678",
    "见http://a.cn/b，a.b@c.cn",
    "哈哈哈哈哈哈哈哈",
]
TEXT = st.text(
    st.one_of(
        st.sampled_from("你好吗我们Ａ１ab3 　\u200b\r\n，。()（）[]《》{}<>-:;@/|，"),
        st.characters(exclude_categories=("Cs",)),
    ),
    max_size=12,
) | st.sampled_from(MARKUP)


def records(task: str) -> st.SearchStrategy[pl.DataFrame]:
    texts = st.lists(TEXT, max_size=3)
    fields: dict[str, st.SearchStrategy[Any]] = {
        "pair": st.fixed_dictionaries({"a": TEXT, "b": TEXT, "label": st.sampled_from(["0", "1", None])}),
        "classification": st.fixed_dictionaries({"text": TEXT, "label": st.sampled_from(["0", "1", None])}),
        "mrc": st.fixed_dictionaries(
            {
                "title": TEXT,
                "context": TEXT,
                "question": TEXT,
                "answers": texts,
                "answer_starts": st.lists(st.integers(-1, 15), min_size=3, max_size=3),
            }
        ).map(lambda row: {**row, "answer_starts": row["answer_starts"][: len(row["answers"])]}),
        "summarization": st.fixed_dictionaries(
            {"text": TEXT, "summary": TEXT | st.none(), "score": st.integers(1, 5) | st.none()}
        ),
        "dialogue": st.fixed_dictionaries({"turns": texts}),
    }
    return st.lists(fields[task], max_size=6).map(lambda rows: frame(task, *rows))


def run(step: str, options: dict[str, Any], rows: pl.DataFrame, ctx: Context) -> Outcome:
    return STEPS[step].module.run(rows, STEPS[step].options.model_validate(options), ctx)


def add(*counts: dict[str, int]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return {name: n for name, n in total.items() if n}


def words(*outcomes: Outcome) -> dict[str, int]:
    return add(*(dict(outcome.words.iter_rows()) for outcome in outcomes if outcome.words is not None))


def check_slices(step: str, options: dict[str, Any], rows: pl.DataFrame, ctx: Context, size: int) -> None:
    whole = run(step, options, rows, ctx)
    assert whole.rows["rid"].to_list() == rows["rid"].to_list(), "a step removes no row"
    parts = [run(step, options, rows[i : i + size], ctx) for i in range(0, len(rows), size)]
    if parts:
        assert_frame_equal(pl.concat(part.rows for part in parts), whole.rows)
    assert sorted(v for part in parts for v in said(part.verdicts)) == said(whole.verdicts)
    assert add(*(part.counts for part in parts)) == add(whole.counts)
    assert words(*parts) == words(whole)


def check_again(step: str, options: dict[str, Any], rows: pl.DataFrame, ctx: Context) -> None:
    """A second time: the rows stay, and of rows that weren't rejected nothing new is said."""
    once = run(step, options, rows, ctx)
    gone = [rid for rid, action, _, _ in said(once.verdicts) if action == "reject"]
    kept = once.rows.filter(~pl.col("rid").is_in(pl.Series(gone, dtype=pl.UInt64).implode()))
    again = run(step, options, kept, ctx)
    assert_frame_equal(again.rows, kept)
    assert all(action != "reject" for _, action, _, _ in said(again.verdicts))
    if step in ("normalise", "strip_markup") or (step == "redact_pii" and options.get("action") != "report"):
        assert again.counts == {}


@pytest.mark.parametrize(("task", "step", "options"), CASES, ids=IDS)
@settings(max_examples=25)
@given(data=st.data())
def test_any_slice(task: str, step: str, options: dict[str, Any], data: st.DataObject) -> None:
    check_slices(step, options, data.draw(records(task)), context(task), data.draw(st.integers(1, 4)))


@pytest.mark.parametrize(("task", "step", "options"), CASES, ids=IDS)
@settings(max_examples=25)
@given(data=st.data())
def test_a_second_time_changes_nothing(task: str, step: str, options: dict[str, Any], data: st.DataObject) -> None:
    check_again(step, options, data.draw(records(task)), context(task))


@pytest.mark.parametrize("name", REAL)
def test_the_recipes_on_their_samples(name: str) -> None:
    recipe, ctx, rows = sample_rows(name)
    for use in recipe.steps:
        if use.step.kind == "local":
            options = use.options.model_dump(by_alias=True)
            check_slices(use.name, options, rows, ctx, 37)
            check_again(use.name, options, rows, ctx)


@pytest.mark.parametrize("name", REAL)
def test_the_recipes_on_real_rows(name: str, corpora: Path) -> None:
    recipe, ctx, rows = real_rows(name, corpora)
    rows = rows.head(3000)
    for use in recipe.steps:
        if use.step.kind == "local":
            options = use.options.model_dump(by_alias=True)
            check_slices(use.name, options, rows, ctx, 700)
            check_again(use.name, options, rows, ctx)
