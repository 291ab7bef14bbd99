"""preview and explain: what happens to a row, before a run and after it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers import recipe_file

from curate.explain import explain
from curate.pipeline import curate_recipe
from curate.preview import preview
from curate.recipefile import Recipe, load_recipe
from curate.resources import recipe_names
from curate.types import UserError

TRAIN = (
    "今天天气怎么样\t今天的天气如何\t1\n"
    "今天天气怎么样\t今天的天气如何\t1\n"
    "Ａ股今天涨了吗\u200b\t今天Ａ股涨没涨\t1\n"
    "只有一列\n"
    "\t空的第一句\t0\n"
    "怎么煮鸡蛋\t鸡蛋煮多久\t0\n"
    "怎么煮鸡蛋\t鸡蛋煮多久？\t1\n"
    "猫能吃巧克力吗\t狗能吃葡萄吗\t0\n"
)
DEV = "今天天气怎么样？\t今天的天气如何\t1\n这句没有重复\t这句也没有重复\t0\n"


def lcqmc() -> Recipe:
    return load_recipe("lcqmc", ["segment.as=off"])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "train.tsv").write_text(TRAIN, encoding="utf-8")
    (folder / "dev.tsv").write_text(DEV, encoding="utf-8")
    return folder


@pytest.fixture
def run(source: Path, tmp_path: Path) -> Path:
    curate_recipe(lcqmc(), [str(source)], out=tmp_path / "run", workers=1)
    return tmp_path / "run"


def lines_of(text: str) -> dict[str, str]:
    """The first line of each label of an explanation."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        if line.startswith("  ") and line[2] != " ":
            label, _, rest = line.strip().partition("  ")
            found.setdefault(label, rest.strip())
    return found


# ---- preview


@pytest.mark.parametrize("name", recipe_names())
def test_preview_shows_rows_of_every_recipe(name: str) -> None:
    text = preview(load_recipe(name, ["segment.as=off"]), [], 5)
    assert text.count("\n  raw ") == 5
    assert "  sample   [" in text
    assert re.search(rf"\n{name}/train/(.+/)?000000000\n", text)


def test_preview_shows_changes_and_rejects(source: Path) -> None:
    text = preview(lcqmc(), [str(source)], 10)
    assert "the first 8 rows" in text
    assert "label_conflict, exact_dedup, near_dedup, leak_check" in text
    assert "Ａ股今天涨了吗⟨U+200B⟩" in text
    assert "A股今天涨了吗\n" in text
    assert "rejected by read: too_few_columns (train.tsv:4)" in text
    assert "rejected by require: empty_field" in text


def test_preview_takes_a_split(source: Path) -> None:
    text = preview(lcqmc(), [str(source)], 1, "validation")
    assert "lcqmc/validation/000000000" in text
    assert "lcqmc/validation/000000001" not in text
    with pytest.raises(UserError, match="no test split"):
        preview(lcqmc(), [str(source)], 1, "test")


def test_preview_on_a_terminal_stands_side_by_side(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    text = preview(lcqmc(), [str(source)], 3)
    assert any("raw" in line and "cleaned" in line and "sample" in line for line in text.split("\n"))


def test_a_preview_shows_what_the_run_writes(source: Path, run: Path) -> None:
    text = preview(lcqmc(), [str(source)], 10)
    for line in (run / "train.jsonl").read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        block = text.split(row["meta"]["id"])[1].split("\n\nlcqmc/")[0]
        assert row["instruction"].split("\n")[0] in block
        assert f"[assistant] {row['output']}" in block


# ---- explain


def test_every_row_can_be_explained(run: Path) -> None:
    for split, n in (("train", 8), ("validation", 2)):
        for row in range(n):
            found = lines_of(explain(run, f"lcqmc/{split}/{row:09d}"))
            assert ("kept" in found) != ("rejected" in found)
            assert "read" in found
            assert "source" not in found


def test_a_chain_of_reasons_is_followed(run: Path) -> None:
    text = explain(run, "lcqmc/train/000000001")
    assert lines_of(text)["rejected"].startswith("by exact_dedup: same_text")
    assert "lcqmc/train/000000000, itself rejected by leak_check: in_validation" in text
    assert "lcqmc/validation/000000000, written to validation.jsonl" in text
    assert text.count("今天天气怎么样") == 3


def test_the_row_in_whose_favour_one_was_rejected_is_shown_with_the_difference(tmp_path: Path) -> None:
    """As records, whatever templates both would have got; of the same text and of a swapped pair there is none."""
    (tmp_path / "source").mkdir()
    rows = "label\ttext_a\n1\t位置很好，服务也周到。\n1\t位置很好,服务也周到!\n1\t位置很好，服务也周到。\n"
    (tmp_path / "source" / "train.tsv").write_text(rows, encoding="utf-8")
    curate_recipe(load_recipe("chnsenticorp"), [str(tmp_path / "source")], out=tmp_path / "run", workers=1)
    text = explain(tmp_path / "run", "train/1")
    found = lines_of(text)
    assert found["because of"] == "chnsenticorp/train/000000000, written to train.jsonl"
    assert "text: 位置很好，服务也周到。\n" in text and "[user]" not in text
    assert found["difference"] == "text: …位置很好[, → ，]服务也周到!…  …很好,服务也周到[! → 。]…"
    assert "difference" not in lines_of(explain(tmp_path / "run", "train/2"))


def test_the_text_of_a_benchmark_is_shown(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    texts = [
        "位置很好，服务也周到，下次出差还会住在这里。",
        "又吵又脏，隔音很差，半夜还有人敲门，再也不来了。",
        "早餐很丰盛",
    ]
    rows = "".join(f"1\t{text}\n" for text in texts)
    (tmp_path / "source" / "train.tsv").write_text(f"label\ttext_a\n{rows}", encoding="utf-8")
    bench = tmp_path / "bench.txt"
    bench.write_text(f"别的一句\n{texts[0]}\n{texts[1].replace('再也', '真的再也')}\n", encoding="utf-8")
    steps = ["normalise", {"decontaminate": {"against": [str(bench)], "near": 0.7}}]
    template = {"id": "t/1", "instruction": "判断", "input": "{{ text }}", "output": "{{ answer }}"}
    recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", steps, [template])))
    curate_recipe(recipe, [str(tmp_path / "source")], out=tmp_path / "run", workers=1)
    found = lines_of(explain(tmp_path / "run", "train/0"))
    assert found["because of"] == "bench.txt, text 1 (counted from 0)" and "difference" not in found
    found = lines_of(explain(tmp_path / "run", "train/1"))
    assert "similarity 0." in found["rejected"]
    assert found["because of"] == "bench.txt, text 2 (counted from 0)"
    assert found["difference"] == "text: …半夜还有人敲门，[ → 真的]再也不来了。…"
    assert "kept" in lines_of(explain(tmp_path / "run", "train/2"))


def test_changes_are_shown_by_step(run: Path) -> None:
    found = lines_of(explain(run, "train/2"))
    assert found["read"] == "a: Ａ股今天涨了吗⟨U+200B⟩"
    assert found["normalise"] == "a: A股今天涨了吗"
    assert found["require"] == "nothing changed"
    assert found["kept"] == "written to train.jsonl"


def test_unreadable_and_empty_rows(run: Path) -> None:
    found = lines_of(explain(run, "train/3"))
    assert found["rejected"].startswith("by read: too_few_columns")
    assert found["read"] == "line 4: 只有一列"
    found = lines_of(explain(run, "train/4"))
    assert found["rejected"].startswith("by require: empty_field")
    assert "format" not in found


def test_a_conflict_names_its_rival(run: Path) -> None:
    text = explain(run, "train/5")
    assert lines_of(text)["because of"] == "lcqmc/train/000000006"
    assert "鸡蛋煮多久？" in text


def test_a_flag_is_explained_with_the_rows_it_cost(run: Path) -> None:
    text = explain(run, "validation/0")
    assert lines_of(text)["flagged"] == "by leak_check: in_train (also stood in train)"
    assert lines_of(text)["stands for"] == "lcqmc/train/000000000, rejected by leak_check: in_validation"


def test_a_source_that_is_gone_or_changed_is_said_in_one_line(run: Path, source: Path) -> None:
    (source / "train.tsv").write_text(TRAIN + "新的\t一行\t1\n", encoding="utf-8")
    assert "train.tsv has changed since the run" in lines_of(explain(run, "train/2"))["source"]
    (source / "train.tsv").unlink()
    text = explain(run, "train/1")
    assert lines_of(text)["source"].startswith("not read again")
    assert lines_of(text)["record"] == "a: 今天天气怎么样"
    (run / "local.json").unlink()
    assert "local.json" in lines_of(explain(run, "train/1"))["source"]


def test_unknown_ids(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="numbered 000000000 to 000000007"):
        explain(run, "lcqmc/train/000000099")
    with pytest.raises(UserError, match=r"did you mean lcqmc/train/000000003\?"):
        explain(run, "lcqmc/trian/3")
    with pytest.raises(UserError, match="ids look like lcqmc/"):
        explain(run, "nonsense")
    with pytest.raises(UserError, match="no such run"):
        explain(tmp_path / "nowhere", "train/1")


@pytest.mark.parametrize("name", recipe_names())
def test_all_rejects_of_the_samples_are_explained(name: str, tmp_path: Path) -> None:
    curate_recipe(load_recipe(name, ["segment.as=off"]), [], out=tmp_path / "run", workers=1)
    rows = [json.loads(line) for line in (tmp_path / "run" / "rejected.jsonl").read_text("utf-8").splitlines()]
    assert rows
    for row in {(row["step"], row["reason"]): row for row in rows}.values():
        found = lines_of(explain(tmp_path / "run", row["id"]))
        assert found["rejected"].startswith(f"by {row['step']}: {row['reason']}")
        assert "source" not in found
        assert ("because of" in found) == (row["kept_id"] is not None or row["step"] == "label_conflict")
