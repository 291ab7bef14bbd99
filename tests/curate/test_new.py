"""`curate new`: whatever the format and the task, what it proposes validates, runs and keeps the contract."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from files_of_rows import FORMATS, as_lines, write, write_workbook
from helpers import broken_promises, command, curate, manifest, samples

from curate.propose import new_recipe
from curate.recipefile import Recipe, load_recipe
from curate.types import UserError

Row = dict[str, Any]
PLACES = ("北京", "上海", "广州", "成都", "杭州", "武汉", "西安", "南京", "重庆", "苏州")


def pair(n: int) -> Row:
    place = PLACES[n % 10]
    return {"甲句": f"{place}第{n}天怎么去机场", "乙句": f"{place}第{n}天去机场怎么走", "结论": n % 2}


def classification(n: int) -> Row:
    return {
        "编号": f"no{n}",
        "评语": f"{PLACES[n % 10]}的第{n}家店，菜很{'香' if n % 2 else '咸'}。",
        "态度": ["差评", "好评"][n % 2],
    }


def mrc(n: int) -> Row:
    place = PLACES[n % 10]
    return {"材料甲": f"{place}的地铁第{n}号线全长{n + 20}公里，共有{n + 5}座车站。", "所问": f"{place}{n}号线多长？",
            "所答": f"{n + 20}公里"}  # fmt: skip


def summarization(n: int) -> Row:
    return {
        "正文": f"{PLACES[n % 10]}今天举行了第{n}次会议，会上讨论了明年的安排，参加的人都发了言。",
        "摘要": f"第{n}次会议举行",
    }


def dialogue(n: int) -> Row:
    return {"对话": [f"第{n}号菜好吃吗", f"好吃，我点过{n}次"]}


TASKS: dict[str, Callable[[int], Row]] = {
    "pair": pair, "classification": classification, "mrc": mrc, "summarization": summarization, "dialogue": dialogue,
}  # fmt: skip


def table(rows: list[list[Any]], delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


def proposed(folder: Path, source: Path, task: str | None = None) -> tuple[str, Recipe]:
    told = new_recipe("own", str(source), task, folder / "own.yaml")
    return told, load_recipe(folder / "own.yaml")


def run_whole(folder: Path, recipe: Recipe, source: Path) -> Path:
    """A run of a recipe that keeps its promises and lost no row to its reader."""
    run = folder / "run"
    curate(recipe, run, source)
    assert broken_promises(run, recipe) == []
    assert not [step for step in manifest(run)["steps"] if step["step"] == "read" and step["reasons"]]
    return run


def read_of(run: Path) -> int:
    return sum(split["read"] for split in manifest(run)["splits"].values())


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("task", TASKS)
def test_every_format_and_task(tmp_path, task, kind):
    source = write(tmp_path / f"a.{kind}", kind, [TASKS[task](n) for n in range(40)])
    told, recipe = proposed(tmp_path, source)
    assert recipe.task == task
    run = run_whole(tmp_path, recipe, source)
    assert read_of(run) == 40
    assert len(samples(run, "train")) + len(samples(run, "validation")) == 40
    assert told.count("\nown/train/0") == 5


def test_what_is_written(tmp_path):
    source = write(tmp_path / "a.csv", "csv", [classification(n) for n in range(40)])
    told, recipe = proposed(tmp_path, source)
    text = (tmp_path / "own.yaml").read_text(encoding="utf-8")
    assert 'columns:\n    text: "评语"\n    label: "态度"' in text
    assert "license: none stated  # fill in" in text
    assert recipe.labels == {"好评": "好评", "差评": "差评"}
    assert recipe.templates == "sentiment"
    assert [use.name for use in recipe.steps] == [
        "normalise", "require", "label_conflict", "exact_dedup", "split", "leak_check", "segment",
    ]  # fmt: skip
    assert recipe.tune == {"max_length": 128, "method": "lora"}
    assert f"python -m curate recipe {tmp_path}/own.yaml --source {source}" in told


@pytest.mark.parametrize(
    ("label", "words", "guessed"),
    [
        ([0, 1], {"0": "负面", "1": "正面"}, "# a guess: check which is which"),
        (["0.0", "1.0"], {"0": "负面", "1": "正面"}, "# a guess: check which is which"),
        ([-1, 0, 1], {"-1": "负面", "0": "中性", "1": "正面"}, "# a guess: check which is which"),
        (["Pos", "Neg"], {"Neg": "负面", "Pos": "正面"}, ""),
        ([3, 1, 2], {"1": "1", "2": "2", "3": "3"}, "# write what each number means"),
        (["体育", "财经"], {"体育": "体育", "财经": "财经"}, ""),
        (['a"b', "c:\u2028#d"], {'a"b': 'a"b', "c:\u2028#d": "c:\u2028#d"}, ""),
    ],
)  # fmt: skip
def test_labels_and_their_words(tmp_path, label, words, guessed):
    rows = [{"text": f"第{n}条", "label": label[n % len(label)]} for n in range(30)]
    source = write(tmp_path / "a.jsonl", "jsonl", rows)
    _, recipe = proposed(tmp_path, source)
    assert recipe.labels == words
    assert f"labels:  {guessed}".rstrip() in (tmp_path / "own.yaml").read_text(encoding="utf-8").split("\n")
    assert read_of(run_whole(tmp_path, recipe, source)) == 30


def test_known_names_need_no_columns(tmp_path):
    rows = [{"id": n, "sentence1": f"甲{n}", "sentence2": f"乙{n}", "label": n % 2} for n in range(20)]
    _, recipe = proposed(tmp_path, write(tmp_path / "a.csv", "csv", rows))
    assert (recipe.task, recipe.source.columns, recipe.source.reader) == ("pair", None, ("table",))
    assert recipe.labels == {"0": "不同", "1": "相同"}


@pytest.mark.parametrize("delimiter", ["\t", ","])
@pytest.mark.parametrize("ending", ["txt", "xlsx"])
def test_without_a_header_and_label_first(tmp_path, delimiter, ending):
    rows = [[n % 2, f"第{n}家店的菜很好吃，下次再来"] for n in range(30)]
    source = tmp_path / f"a.{ending}"
    if ending == "xlsx":
        write_workbook(source, {"表": rows})
    else:
        source.write_text(table(rows, delimiter), encoding="gb18030")
    told, recipe = proposed(tmp_path, source)
    assert "first row is taken for a row" in told
    assert recipe.source.columns == ("label", "text")
    run = run_whole(tmp_path, recipe, source)
    assert read_of(run) == 30


def test_quoted_fields_with_line_ends(tmp_path):
    rows = [["评语", "label"], *([f"第{n}家，\n“好”吃", n % 2] for n in range(20))]
    source = tmp_path / "a.csv"
    source.write_bytes(table(rows).replace("\n", "\r\n").encode("utf-8-sig"))
    _, recipe = proposed(tmp_path, source)
    assert read_of(run_whole(tmp_path, recipe, source)) == 20


def test_the_first_sheet_that_holds_anything(tmp_path):
    rows = [["评语", "态度"], *([f"第{n}家", n % 2] for n in range(20))]
    source = write_workbook(tmp_path / "a.xlsx", {"封面": [], "数据": rows, "说明": [["x"]]})
    told, recipe = proposed(tmp_path, source)
    assert "of the sheets 数据, 说明 the first is read, 数据" in told
    assert read_of(run_whole(tmp_path, recipe, source)) == 20


def test_mostly_empty_columns_are_left_aside(tmp_path):
    rows = [{"评语": f"第{n}家店", "备注": "要重看一遍" if n == 3 else None, "label": n % 2} for n in range(20)]
    told, recipe = proposed(tmp_path, write(tmp_path / "a.csv", "csv", rows))
    assert recipe.source.columns == {"text": "评语", "label": "label"}
    assert "left aside: 备注" in told


@pytest.mark.parametrize(
    ("given", "others", "files"),
    [
        ("train.csv", ["dev.csv", "test.csv"], {"train": "train.csv", "validation": "dev.csv", "test": "test.csv"}),
        ("My_Train.csv", ["My_Valid.csv"], {"train": "My_Train.csv", "validation": "My_Valid.csv"}),
        ("dev.csv", ["train.csv"], {"train": "train.csv", "validation": "dev.csv"}),
        ("dev.csv", [], {"train": "dev.csv"}),
        ("训练集[1].csv", ["测试集[1].csv"], {"train": "训练集[[]1].csv", "test": "测试集[[]1].csv"}),
        ("constrained.csv", ["dev.csv"], {"train": "constrained.csv"}),
    ],
)  # fmt: skip
def test_siblings(tmp_path, given, others, files):
    for place, name in enumerate([given, *others]):
        write(tmp_path / name, "csv", [classification(n + 100 * place) for n in range(20)])
    _, recipe = proposed(tmp_path, tmp_path / given)
    assert {split: patterns[0] for split, patterns in recipe.source.files.items()} == files
    assert (recipe.step("split") is None) == ("validation" in files)
    run = run_whole(tmp_path, recipe, tmp_path)
    assert read_of(run) == 20 * len(files)


def test_names_that_come_late_and_columns_that_never_change(tmp_path):
    rows: list[Row] = [{"评语": f"第{n}家店", "打分": n % 2, "来源": "网页"} for n in range(1100)]
    rows[1050]["备注"] = "要重看一遍"
    source = tmp_path / "a.jsonl"
    source.write_text(as_lines(rows), encoding="utf-8")
    told, recipe = proposed(tmp_path, source)
    assert recipe.source.columns == {"text": "评语", "label": "打分"}
    assert "note: not read, for no row of the first 1000 has it: 备注" in told
    assert "left aside: 来源" in told


def test_an_archive_of_one_file(tmp_path):
    import gzip

    source = tmp_path / "train.csv.gz"
    plain = write(tmp_path / "x.csv", "csv", [classification(n) for n in range(20)])
    source.write_bytes(gzip.compress(plain.read_bytes()))
    _, recipe = proposed(tmp_path, source)
    assert read_of(run_whole(tmp_path, recipe, source)) == 20


TWO_LABELS = [{"text": f"第{n}家", "情绪": n % 2, "来源": "网页" if n % 3 else "手机"} for n in range(20)]


@pytest.mark.parametrize(
    ("content", "task", "says"),
    [
        (as_lines(TWO_LABELS), None, "columns 情绪 and 来源 could both be the label"),
        (as_lines([{"内容一": f"第{n}家店的菜"} for n in range(20)]), None,
         "can't tell which task this is: its columns are 内容一 .*labels: none.*--task pair|classification"),
        (as_lines([{"text": f"第{n}家店的菜"} for n in range(20)]), "classification", "no column holds labels"),
        (as_lines([{"text": f"第{n}", "label": f"类{n}"} for n in range(90)]), None, "label has 90 different values"),
        ('{"data": [{"text": "好", "label": 1}]}', None, "is an object of lists, not rows: write each list"),
        ('{"train": [{"text": "好", "label": 1}], "dev": []}', None, "is an object of lists, not rows"),
        ('{"version": "1", "data": [{"title": "好", "paragraphs": []}]}', None, "the reader squad knows"),
        ('[["你好", "好"], ["在", "在"]]', None, "the reader dialogue knows"),
        ("<doc id=1>\n", None, "begins with '<'"),
        ("text,label\n", None, "holds no rows that can be read"),
        ("[]", None, "holds no rows that can be read"),
        ("text,text,label\n好,坏,1\n坏,好,0\n好,好,1\n坏,坏,0\n", None, "two columns called 'text'"),
        (as_lines([{"对白": f"好{n}"} for n in range(9)]), "dialogue", "can't tell which column is turns"),
        (as_lines([{"甲": f"第{n}家店", "乙": f"第{n}个人"} for n in range(9)]), "mrc",
         "can't tell which column is context and which question and which answers"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path, content, task, says):
    source = tmp_path / "a.txt"
    source.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=says) as raised:
        new_recipe("own", str(source), task, tmp_path / "own.yaml")
    assert len(raised.value.messages) == 1
    assert not (tmp_path / "own.yaml").exists()


def test_names_and_places(tmp_path):
    source = write(tmp_path / "a.csv", "csv", [classification(n) for n in range(20)])
    for name, out, says in [
        ("Own", "own.yaml", "'Own' must be lower-case letters"),
        ("lcqmc", "own.yaml", "a shipped recipe has this name"),
        ("own", "own.txt", "a recipe is a YAML file"),
        ("own", "no/own.yaml", "there is no folder"),
    ]:
        with pytest.raises(UserError, match=says):
            new_recipe(name, str(source), None, tmp_path / out)
    for given, says in [(tmp_path, "is a folder: give one file"), (tmp_path / "b.csv", "there is no such file"),
                        (f"train={source}", "takes a file alone"), ("hf:owner/name", "looks at a file")]:  # fmt: skip
        with pytest.raises(UserError, match=says):
            new_recipe("own", str(given), None, tmp_path / "own.yaml")
    (tmp_path / "own.yaml").write_text("mine\n", encoding="utf-8")
    with pytest.raises(UserError, match="is there already; --force replaces it"):
        proposed(tmp_path, source)
    assert (tmp_path / "own.yaml").read_text(encoding="utf-8") == "mine\n"
    new_recipe("own", str(source), None, tmp_path / "own.yaml", force=True)
    assert load_recipe(tmp_path / "own.yaml").name == "own"


def test_on_the_command_line(tmp_path):
    write(tmp_path / "my data.csv", "csv", [classification(n) for n in range(40)])
    told = command("new", "own", "--from", "my data.csv", cwd=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    for line in re.findall(r"^  python -m curate (.*)$", told.stdout, re.MULTILINE):
        done = command(*(word.replace("'", "") for word in re.split(r" (?=own|--|'|validate|recipe)", line) for word in
                         (word.split(" ", 1) if word.startswith("--") else [word])), cwd=tmp_path)  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
    assert command("validate", "runs/own", cwd=tmp_path).stdout == "runs/own: ok\n"
    again = command("new", "own", "--from", "my data.csv", cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr == "error: own.yaml: is there already; --force replaces it, --out FILE.yaml writes another\n"


@pytest.mark.parametrize(
    ("name", "task", "rows"),
    [
        ("lcqmc/dev_header.txt", "pair", 8_802),
        ("lcqmc/dev.txt", "pair", 8_802),
        ("chnsenticorp/train.tsv", "classification", 9_600 + 1_200),
        ("chnsenticorp/ChnSentiCorp_htl_all.csv", "classification", 7_766),
        ("bq/dev.csv", "pair", 10_000),
        ("nlpcc/headline2017_test.full.word", "classification", 36_000),
        ("nlpcc/stance2016_TaskA_gold.txt", "classification", 1_000),
    ],
)
def test_real_tables(corpora, tmp_path, name, task, rows):
    source = corpora / name
    _, recipe = proposed(tmp_path, source)
    assert recipe.task == task
    assert read_of(run_whole(tmp_path, recipe, source.parent if "chnsenticorp/train" in name else source)) == rows
