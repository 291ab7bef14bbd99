"""quality: each rule by itself, what is left alone, and how little it takes from real corpora."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rows import REAL, context, frame, real_rows, said

from curate.steps import STEPS
from curate.steps.quality import Options, run

RULES = {
    "min_chars": ("too_short", "嗯"),
    "max_chars": ("too_long", "长" * 3 + "短" * 100_000),
    "max_run": ("repeated_characters", "好" + "！" * 30),
    "max_repeat": ("repeated_phrases", "加油中国" * 10),
    "min_han": ("little_han", "nothing Chinese in here"),
    "max_garbled": ("garbled", "你好锟斤拷锟斤拷"),
    "max_boilerplate": ("boilerplate", "版权所有 未经许可 禁止转载"),
}


def reasons(text: Any, task: str = "classification", **options: Any) -> list[str]:
    field = {"classification": "text", "dialogue": "turns"}[task]
    outcome = run(frame(task, {field: text}), Options(**options), context(task))
    return [reason for _, _, reason, _ in said(outcome.verdicts)]


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_has_its_reason_and_can_be_off(rule: str) -> None:
    reason, text = RULES[rule]
    others: dict[str, Any] = dict.fromkeys(set(RULES) - {rule})
    assert reasons(text, **others) == [reason]
    assert reasons(text, **dict.fromkeys(RULES)) == []
    assert reason in STEPS["quality"].reasons
    assert reasons("这是普通的一句话，没有什么问题。", **others) == []


def test_the_reasons_are_those_of_the_rules() -> None:
    assert STEPS["quality"].reasons == tuple(reason for reason, _ in RULES.values())
    assert [name for name in Options.model_fields if name != "fields"] == list(RULES)


@pytest.mark.parametrize("text", ["", None])
def test_an_empty_text_breaks_no_rule(text: str | None) -> None:
    assert reasons(text) == []


def test_one_bad_field_is_enough_and_fields_can_be_chosen() -> None:
    rows = frame("pair", {"a": "正常的句子", "b": "english only"}, {"a": "正常的句子", "b": "也正常"})
    assert said(run(rows, Options(), context("pair")).verdicts) == [(0, "reject", "little_han", None)]
    assert said(run(rows, Options(fields=["a"]), context("pair")).verdicts) == []


def test_a_dialogue_is_looked_at_as_a_whole() -> None:
    assert reasons(["哈哈哈哈哈哈哈哈", "这个笑话真的有那么好笑吗"], "dialogue") == []
    assert reasons(["哈哈哈哈哈哈哈哈", "哈哈哈哈哈哈"], "dialogue") == ["repeated_characters"]
    assert reasons([], "dialogue") == []


@pytest.mark.parametrize("name", REAL)
def test_clean_corpora_stay_nearly_whole(name: str, corpora: Path) -> None:
    _, ctx, rows = real_rows(name, corpora)
    verdicts = run(rows, Options(), ctx).verdicts
    assert verdicts is not None
    assert len(verdicts) <= (0.008 if name == "chnsenticorp" else 0.002) * len(rows)
