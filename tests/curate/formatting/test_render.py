"""Records become samples: templates on every row, label words, dialogues, answers, and the keys of a sample."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from rows import REAL, context, frame, real_rows, said, sample_rows

from curate.formatting.render import (
    form_changes,
    form_verdicts,
    label_orders,
    render,
    samples,
    unlabelled,
    with_variables,
)
from curate.formatting.templates import TemplateSet, load_templates
from curate.recipefile import Recipe
from curate.resources import template_path
from curate.steps import Context

PARTS = ["template", "instruction", "input", "output"]


def templates_of(recipe: Recipe) -> TemplateSet:
    return load_templates(recipe.templates_path, recipe.task, recipe.fields)


def check(recipe: Recipe, ctx: Context, rows: pl.DataFrame) -> None:
    """What must hold for the samples of any rows."""
    templates = templates_of(recipe)
    by_id = {template.id: template for template in templates.templates}
    for evaluation in (False, True):
        out = render(rows, templates, ctx, evaluation)
        assert out["rid"].to_list() == sorted(rows["rid"].to_list())
        assert out["rendered"].all()
        labelled = out.filter(~unlabelled(ctx.task))
        assert len(labelled)
        assert (labelled["output"] != "").all()
        assert ((out["instruction"] + out["input"]) != "").all()
        used = Counter(out["template"].to_list())
        assert set(used) == {template.id for template in templates.eligible(evaluation)}, "each has its turn"
        assert min(used.values()) > len(out) / len(used) / 3
        for part in ("instruction", "input", "output"):
            braces = out.filter(out[part].str.contains(r"\{\{|\{%"))
            kinds = ctx.task.fields
            data = [pl.col(name).list.join("") if kinds[name].startswith("list") else name for name in ctx.task.text]
            held = braces.select(pl.concat_str(data, ignore_nulls=True).str.contains(r"\{\{|\{%")).to_series()
            assert held.all(), "braces are the data's own"
        if ctx.task.has_labels:
            for (name,), group in labelled.group_by("template"):
                template = by_id[str(name)]
                text = group["instruction"] + group["input"]
                if {"choices", "options"} & (template.variables("instruction") | template.variables("input")):
                    for word in ctx.labels.values():
                        assert text.str.contains(word, literal=True).all()
                if not template.inverted:
                    assert set(group["output"]) <= set(ctx.labels.values())


@pytest.mark.parametrize("name", REAL)
def test_samples(name: str) -> None:
    recipe, ctx, rows = sample_rows(name)
    # The samples are small: every row under many ids, so that every template is met.
    many = pl.concat(
        rows.with_columns(pl.col("rid") + (n << 32), order=pl.col("order") * (2 * n + 1)) for n in range(9)
    )
    check(recipe, ctx, many)


@pytest.mark.parametrize("name", REAL)
def test_real_rows(name: str, corpora: Path) -> None:
    check(*real_rows(name, corpora))


@pytest.mark.parametrize("name", REAL)
def test_a_row_is_rendered_alike_in_any_company(name: str) -> None:
    recipe, ctx, rows = sample_rows(name)
    templates = templates_of(recipe)
    whole = render(rows, templates, ctx, False)
    sliced = pl.concat(render(rows[i : i + 7], templates, ctx, False) for i in range(0, len(rows), 7))
    assert_frame_equal(sliced.sort("rid"), whole)
    assert_frame_equal(render(rows.reverse(), templates, ctx, False), whole)
    assert len(render(rows.head(0), templates, ctx, False)) == 0
    assert set(PARTS) <= set(render(rows.head(0), templates, ctx, False).columns)


def test_classification_with_many_labels() -> None:
    labels = {str(n): f"类别{n}号" for n in range(20)}
    ctx = context("classification", labels)
    rows = frame("classification", *({"text": f"文{n}", "label": str(n % 20)} for n in range(2000)))
    out = render(rows, load_templates(template_path("classification", Path()), "classification"), ctx, True)
    shown = out.filter(out["instruction"].str.contains("类别7号") | out["input"].str.contains("类别7号"))
    assert len(shown) > 1000
    assert len(label_orders(tuple(labels.values()))) == 64


def test_orders_of_label_words_are_even() -> None:
    for labels in ({"0": "不同", "1": "相同"}, {"a": "赞成", "b": "反对", "c": "中立"}):
        ctx = context("pair", labels)
        rows = frame("pair", *({"a": "甲", "b": "乙", "label": next(iter(labels))} for _ in range(6000)))
        found = Counter(with_variables(rows, ctx)["options"].to_list())
        assert set(found) == {"、".join(order) for order in permutations(labels.values())}
        assert min(found.values()) > 0.85 * 6000 / len(found)
    choices = with_variables(rows, ctx)["choices"].unique().to_list()
    assert "“赞成”、“反对”或“中立”" in choices
    assert set(with_variables(rows, context("pair"))["choices"]) == {"“相同”或“不同”", "“不同”或“相同”"}


def test_the_order_is_no_hint_within_a_template(corpora: Path) -> None:
    recipe, ctx, rows = real_rows("lcqmc", corpora)
    out = render(rows, templates_of(recipe), ctx, False)
    for _, group in out.group_by("template"):
        first = group["options"].str.starts_with("相同")
        assert 0.4 < (first == (group["label"] == "1")).mean() < 0.6  # type: ignore[operator]


@given(st.lists(st.lists(st.text("甲乙丙", min_size=1, max_size=3), min_size=2, max_size=7), max_size=5))
def test_dialogues_are_cut_into_pairs(dialogues: list[list[str]]) -> None:
    out = with_variables(frame("dialogue", *({"turns": turns} for turns in dialogues)), context("dialogue"))
    for turns, row in zip(dialogues, out.to_dicts(), strict=True):
        even = turns[: len(turns) // 2 * 2]
        assert (row["message"], row["reply"]) == (even[-2], even[-1])
        assert row["history"] == [list(pair) for pair in zip(even[:-2:2], even[1:-2:2], strict=True)]
    assert out.schema["history"] == pl.List(pl.List(pl.String))


def test_the_answer_is_the_first_that_stands_in_the_context() -> None:
    rows = frame(
        "mrc",
        {"answers": ["丙", "乙", "甲"], "answer_starts": [-1, 4, 0]},
        {"answers": ["丙", "丁"], "answer_starts": [-1, -1]},
        {"answers": [], "answer_starts": []},
        {"answers": ["甲", "乙"], "answer_starts": [0, 3]},
    )
    assert with_variables(rows, context("mrc"))["answer"].to_list() == ["乙", "丙", "", "甲"]
    assert rows.select(unlabelled(context("mrc").task)).to_series().to_list() == [False, False, True, False]


def test_rows_that_cannot_become_samples() -> None:
    sides = (("甲", "1"), (" ", "1"), ("甲", None))
    pairs = frame("pair", *({"a": a, "b": "乙", "label": label} for a, label in sides))
    assert said(form_verdicts(pairs, context("pair"), "train")) == [
        (1, "reject", "empty_field", None),
        (2, "reject", "unlabelled", None),
    ]
    assert said(form_verdicts(pairs, context("pair"), "test")) == [(1, "reject", "empty_field", None)]
    turns = frame("dialogue", *({"turns": one} for one in (["问", "答"], ["问"], [], ["问", " "])))
    assert [(rid, reason) for rid, _, reason, _ in said(form_verdicts(turns, context("dialogue"), "test"))] == [
        (1, "too_few_turns"),
        (2, "empty_field"),
        (3, "empty_turn"),
    ]


def test_a_last_turn_without_a_reply_is_counted() -> None:
    rows = frame("dialogue", *({"turns": one} for one in (["问", "答"], ["问", "答", "又问"])))
    assert form_changes(rows, context("dialogue")) == {"odd_turn_dropped": 1}
    assert form_changes(frame("pair", {"a": "甲", "b": "乙", "label": "1"}), context("pair")) == {}


def test_the_keys_of_a_sample() -> None:
    recipe, ctx, rows = sample_rows("lcqmc")
    rows = rows.with_columns(label=pl.when(pl.col("rid") % 2 == 0).then("label"))
    out = render(rows, templates_of(recipe), ctx, True).with_columns(id=pl.lit("x"), flags=pl.lit(""))
    lines = samples(out.with_columns(pl.lit("词").alias("words|a")), ctx, ["words|a"], False)
    assert lines.columns == ["instruction", "input", "output", "meta"]
    for line, label in zip(lines.to_dicts(), rows["label"], strict=True):
        meta = line["meta"]
        assert list(meta) == ["id", "task", "template", "label", "labelled", "flags", "fields", "words"]
        assert (meta["labelled"], meta["label"]) == (label is not None, label or "")
        assert (line["output"] == "") == (label is None)
        assert meta["words"] == {"a": "词"}


@pytest.mark.parametrize(
    ("name", "head", "meta"),
    [
        ("cmrc2018", [], ["references", "source_id"]),
        ("lcsts", [], ["references"]),
        ("lccc", ["history", "system"], ["references"]),
        ("chnsenticorp", [], []),
        ("ecdt", [], ["intent", "slots"]),
        ("nlpcc-stance", [], ["target"]),
    ],
)
def test_the_keys_of_other_tasks(name: str, head: list[str], meta: list[str]) -> None:
    recipe, ctx, rows = sample_rows(name)
    out = render(rows, templates_of(recipe), ctx, False).with_columns(id=pl.lit("x"), flags=pl.lit(""))
    lines = samples(out, ctx, [], name == "cmrc2018")
    assert lines.columns == ["instruction", "input", "output", *head, "meta"]
    label = ["label"] if ctx.task.has_labels else []
    assert list(lines["meta"][0]) == ["id", "task", "template", *label, "labelled", "flags", *meta]
    if "references" in meta:
        assert all(one["references"] and all(one["references"]) for one in lines["meta"])
    assert all(lines[column].null_count() == 0 for column in lines.columns)
