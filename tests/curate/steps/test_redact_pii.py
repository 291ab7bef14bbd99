"""redact_pii: masked in all fields of a record together, and shown by nothing that a run leaves or prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import (
    broken_promises,
    card,
    command,
    curate,
    differing,
    manifest,
    recipe_file,
    rejects,
    samples,
    tree,
)
from hypothesis import given
from hypothesis import strategies as st
from rows import context, frame, said

from curate.explain import explain
from curate.preview import preview
from curate.recipefile import load_recipe
from curate.steps import Context, Outcome, locate_answer
from curate.steps.redact_pii import Options, private_fields, run
from curate.tasks import TASKS
from curate.text.pii import mask_all
from curate.types import UserError

PHONE, OTHER, MAIL, QQ = "13812345678", "15987654321", "zhang.wei@163.com", "349583721"


def masked(task: str, *records: dict[str, Any], **options: Any) -> Outcome:
    return run(frame(task, *records), Options(**options), context(task))


# ---- records


def test_pairs_and_counts() -> None:
    outcome = masked("pair", {"a": f"打{PHONE}", "b": f"{MAIL}或{PHONE}", "label": "1"}, {"a": "价格3元", "b": "好"})
    assert outcome.rows.select("a", "b", "label").rows() == [
        ("打[手机号]", "[邮箱]或[手机号]", "1"),
        ("价格3元", "好", None),
    ]
    assert outcome.counts == {"mobile": 2, "email": 1}
    assert outcome.verdicts is None


def test_only_the_kinds_asked_for() -> None:
    outcome = masked("classification", {"text": f"{PHONE}，{MAIL}"}, kinds=["email"])
    assert outcome.rows["text"].to_list() == [f"{PHONE}，[邮箱]"]
    assert outcome.counts == {"email": 1}


def test_turns_and_nulls() -> None:
    turns = [[f"我QQ：{QQ}", "好的", f"是{QQ}吗"], [], ["你好"]]
    outcome = masked("dialogue", *({"turns": one} for one in turns), {"turns": None})
    assert outcome.rows["turns"].to_list() == [["我QQ：[QQ号]", "好的", "是[QQ号]吗"], [], ["你好"], None]
    assert outcome.counts == {"qq": 2}


def test_slots_are_texts_and_labels_are_not() -> None:
    task = TASKS["classification"].extended(["target", "intent", "slots"])
    ctx = Context(task, {PHONE: "电话"}, 0)
    row = {"rid": 0, "text": f"拨打{PHONE}", "label": PHONE, "target": MAIL, "intent": PHONE}
    schema = {"rid": pl.UInt64, **task.schema()}
    data = {name: [{**row, "slots": [{"name": "code", "value": PHONE}]}.get(name)] for name in schema}
    out = run(pl.DataFrame(data, schema=schema), Options(), ctx).rows.row(0, named=True)
    assert (out["text"], out["target"], out["slots"]) == (
        "拨打[手机号]",
        "[邮箱]",
        [{"name": "code", "value": "[手机号]"}],
    )
    assert (out["label"], out["intent"]) == (PHONE, PHONE)


def test_answers_stay_in_their_context() -> None:
    text = f"张先生的QQ是{QQ}，住在北京。"
    answers = [QQ, "北京", f"QQ是{QQ}", "9583", "没有这个"]
    starts = [text.find(answer) for answer in answers]
    outcome = masked("mrc", {"context": text, "question": "谁？", "answers": answers, "answer_starts": starts})
    row = outcome.rows.row(0, named=True)
    assert row["context"] == "张先生的QQ是[QQ号]，住在北京。"
    assert row["answers"] == ["[QQ号]", "北京", "QQ是[QQ号]", "[QQ号]", "没有这个"]
    assert row["answer_starts"] == [row["context"].find(answer) for answer in row["answers"]]
    located = locate_answer.run(outcome.rows, locate_answer.Options(), context("mrc"))
    assert located.counts == {"offsets_right": 4, "offsets_added": 0, "offsets_mended": 0, "answers_not_found": 1}


def test_reject_masks_and_names_the_first_kind() -> None:
    outcome = masked("classification", {"text": f"{MAIL}和{PHONE}"}, {"text": "好"}, action="reject")
    assert said(outcome.verdicts) == [(0, "reject", "mobile", None)]
    assert outcome.rows["text"].to_list() == ["[邮箱]和[手机号]", "好"]


def test_report_flags_every_kind_and_leaves_the_text() -> None:
    outcome = masked("classification", {"text": f"{MAIL}和{PHONE}、{OTHER}"}, {"text": "好"}, action="report")
    assert said(outcome.verdicts) == [(0, "flag", "email", None), (0, "flag", "mobile", None)]
    assert outcome.rows["text"].to_list() == [f"{MAIL}和{PHONE}、{OTHER}", "好"]
    assert outcome.counts == {"details_reported": 3}


PIECE = st.sampled_from([PHONE, MAIL, f"QQ{QQ}", QQ, "好", "，", "电话", "2013年", "12345", "1.2.3.4 版"])
TEXT = st.lists(PIECE, max_size=4).map("".join)


@given(st.lists(TEXT, max_size=6))
def test_single_texts_are_masked_as_text_by_text(texts: list[str]) -> None:
    outcome = masked("classification", *({"text": text} for text in texts))
    assert outcome.rows["text"].to_list() == [mask_all(text) for text in texts]


@given(st.lists(st.tuples(TEXT, st.integers(0, 20), st.integers(1, 12)), max_size=5))
def test_any_span_of_a_context_is_found_again(drawn: list[tuple[str, int, int]]) -> None:
    records = [
        {"context": text, "question": "谁", "answers": [text[at : at + n]], "answer_starts": [at]}
        for text, at, n in drawn
        if text[at : at + n]
    ]
    for row in masked("mrc", *records).rows.to_dicts():
        assert row["context"].startswith(row["answers"][0], row["answer_starts"][0])


@pytest.mark.parametrize("task", TASKS)
def test_every_text_of_every_task_is_private(task: str) -> None:
    fields = private_fields(TASKS[task])
    assert {*TASKS[task].text} <= {*fields}
    assert not {"label", "source_id", "answer_starts", "score"} & {*fields}


# ---- runs

SECRETS = (PHONE, OTHER, MAIL, QQ, "110101199003074514")
#: What becomes of each row: kept, too long, empty, unreadable, duplicate, kept, unreadable and cut, kept.
TRAIN = (
    f"我的电话是{PHONE}\t打{PHONE}吗\t1\n"
    f"{'很长' * 30}{OTHER}\t乙\t1\n"
    f"\t空的，邮箱{MAIL}\t0\n"
    f"只有一列 QQ：{QQ}\n"
    f"我的电话是{PHONE}\t打{PHONE}吗\t1\n"
    f"甲{PHONE}\t身份证110101199003074514\t0\n"
    f"{'截' * 1990}{PHONE}\n"
    "普通的一句\t另外的一句\t0\n"
)
TEST = f"测试{MAIL}\t请打{OTHER}\t0\n"
EARLY = ["normalise", {"length": {"max": 40}}, "require"]
LATE = ["label_conflict", "exact_dedup", "leak_check", {"segment": {"as": "meta"}}]


def source_of(folder: Path) -> Path:
    source = folder / "source"
    source.mkdir()
    (source / "train.tsv").write_text(TRAIN, encoding="utf-8")
    (source / "test.tsv").write_text(TEST, encoding="utf-8")
    return source


def in_clear(text: str) -> list[str]:
    return [secret for secret in (*SECRETS, PHONE[:9]) if secret in text]


@pytest.mark.parametrize("action", ["mask", "reject"])
@pytest.mark.parametrize("first", [True, False])
def test_nothing_shows_a_masked_detail(action: str, first: bool, tmp_path: Path) -> None:
    """Not the outputs, the rejects of earlier steps and of reading, the card; not preview, explain or the screen."""
    step = {"redact_pii": {"action": action}}
    steps = ["normalise", step, *EARLY[1:], *LATE] if first else [*EARLY, step, *LATE]
    recipe = recipe_file(tmp_path / "recipe", "pair", steps)
    source, out = source_of(tmp_path), tmp_path / "run"
    done = command("recipe", recipe, "--source", source, "--out", out, "--lang", "zh", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert in_clear(done.stdout + done.stderr) == []
    for name, data in tree(out).items():
        assert in_clear(data.decode(errors="replace")) == [], name
    loaded = load_recipe(str(recipe))
    shown = preview(loaded, [str(source)], 20)
    assert in_clear(shown) == []
    assert "personal details are shown masked" in shown
    for row in range(8):
        assert in_clear(explain(out, f"own/train/{row:09d}")) == [], row
    steps_said = {(row["step"], row["reason"]) for row in rejects(out)}
    early = {("length", "too_long"), ("require", "empty_field")}
    by_it = {("redact_pii", "mobile"), ("redact_pii", "email")} if action == "reject" else set()
    assert steps_said >= {("read", "too_few_columns")} | (by_it if first and by_it else early)
    test = samples(out, "test")[0]["meta"]
    assert test["fields"] == {"a": "测试[邮箱]", "b": "请打[手机号]"}
    assert test["flags"] == ("redact_pii:mobile" if action == "reject" else "")


def test_counts_stand_in_manifest_and_card(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path / "recipe", "pair", ["normalise", "redact_pii", *EARLY[1:], *LATE])
    run_ = curate(recipe, tmp_path / "run", source_of(tmp_path)).path
    entries = {entry["split"]: entry for entry in manifest(run_)["steps"] if entry["step"] == "redact_pii"}
    assert entries["train"]["changes"] == {"email": 1, "id_card": 1, "mobile": 6}
    assert entries["test"]["changes"] == {"email": 1, "mobile": 1}
    assert sum(entries["train"]["reasons"].values()) == 0
    assert card(run_)["steps"] == manifest(run_)["steps"]
    readme = (run_ / "README.md").read_text(encoding="utf-8")
    assert "| redact_pii | 手机号 | 6 | 1 |" in readme
    assert len([row for row in rejects(run_) if row["step"] == "exact_dedup"]) == 1


def test_an_error_that_quotes_the_file_is_masked(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path / "recipe", "pair", ["redact_pii"])
    path = tmp_path / "train.tsv"
    path.write_text(f"只有一列，电话{PHONE}\n" * 3 + "a\tb\t1\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        curate(recipe, tmp_path / "run", path)
    assert in_clear(str(error.value)) == []
    assert "[手机号]" in str(error.value)


def test_report_hides_nothing_and_removes_nothing(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path / "recipe", "pair", [*EARLY, {"redact_pii": {"action": "report"}}, *LATE])
    run_ = curate(recipe, tmp_path / "run", source_of(tmp_path)).path
    assert [row["meta"]["flags"] for row in samples(run_, "train")] == [
        "redact_pii:mobile",
        "redact_pii:id_card,redact_pii:mobile",
        "",
    ]
    assert PHONE in json.dumps(samples(run_, "train"), ensure_ascii=False)
    assert any(PHONE in row["fields"].get("a", "") for row in rejects(run_))


@pytest.mark.parametrize("action", ["mask", "reject", "report"])
def test_the_promises_hold_whatever_the_slices(action: str, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("普通\n", encoding="utf-8")
    content = ["language", {"quality": {"min_chars": 1}}, {"blocklist": {"file": str(words), "action": action}}]
    path = recipe_file(tmp_path / "recipe", "pair", [*EARLY, {"redact_pii": {"action": action}}, *content, *LATE])
    source, recipe = source_of(tmp_path), load_recipe(str(path))
    whole = curate(recipe, tmp_path / "whole", source).path
    sliced = curate(recipe, tmp_path / "sliced", source, slice_rows=2, workers=2).path
    assert differing(whole, sliced) == []
    assert broken_promises(whole, recipe) == []
    lines = (row for row in manifest(whole)["steps"] if row["step"] == "blocklist" and row["split"] == "train")
    line = next(lines)
    said_ = {"mask": line["changes"], "reject": line["reasons"], "report": line["flags"]}[action]
    assert said_ == {"mask": {"words_masked": 1}}.get(action, {"blocked_word": 1})
