"""decontaminate: rows known from benchmarks outside the corpus, in whatever file these are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import card, curate, manifest, recipe_file, rejects, samples
from rows import context, frame, said

from curate.preview import preview
from curate.recipefile import load_recipe
from curate.steps import decontaminate
from curate.steps.decontaminate import Options
from curate.types import UserError

SHORT = "这台相机的电池只能用半天出门一定要多带一块"
LONG = "".join(chr(0x4E00 + 7 * k) for k in range(300))


def judged(task: str, records: list[dict[str, Any]], *against: Path, **options: Any) -> list[Any]:
    chosen = Options(against=[str(path) for path in against], **options)
    return said(decontaminate.run(frame(task, *records), chosen, context(task)).verdicts)


def lines(path: Path, *texts: str) -> Path:
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def objects(path: Path, *rows: dict[str, Any]) -> Path:
    return lines(path, *(json.dumps(row, ensure_ascii=False) for row in rows))


def test_the_three_ways(tmp_path: Path) -> None:
    bench = lines(tmp_path / "bench.txt", SHORT, "好。", LONG)
    records = [
        {"text": "不同的话"},
        {"text": f"{SHORT[:5]}，{SHORT[5:]}！"},
        {"text": SHORT + "了"},
        {"text": "好"},
        {"text": "前言" + LONG[:200] + "后语"},
        {"text": "前言" + LONG[:100] + "后语"},
    ]
    rejected = {1: "in_benchmark", 2: "near_benchmark", 3: "in_benchmark", 4: "covers_benchmark"}
    found = judged("classification", records, bench)
    assert [one for one in found if one[1] == "reject"] == [(k, "reject", why, None) for k, why in rejected.items()]
    assert [one for one in found if one[1] == "note"] == [(k, "note", "bench.txt", None) for k in rejected]
    off = judged("classification", records, bench, near="off", coverage="off")
    assert [rid for rid, action, *_ in off if action == "reject"] == [1, 3]


def test_each_file_that_has_a_text_is_noted(tmp_path: Path) -> None:
    one, other = lines(tmp_path / "one.txt", SHORT), lines(tmp_path / "other.txt", SHORT, "好")
    found = judged("classification", [{"text": SHORT}], one, other)
    assert found == judged("classification", [{"text": SHORT}], other, one)
    assert [reason for _, _, reason, _ in found] == ["one.txt", "other.txt", "in_benchmark"]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    table = pl.DataFrame(rows)
    if path.suffix == ".jsonl":
        return objects(path, *rows)
    if path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path, separator="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_rows_of_any_kind(tmp_path: Path, suffix: str) -> None:
    """Known by the names that corpora use, or by `columns`; an answer plays no part."""
    rows = [{"sentence": SHORT, "answer": "是的"}, {"sentence": "好", "answer": "不是"}]
    bench = write(tmp_path / f"bench{suffix}", rows)
    records = [{"text": SHORT}, {"text": "是的"}, {"text": "不是"}]
    assert [rid for rid, action, *_ in judged("classification", records, bench) if action == "reject"] == [0]
    named = judged("classification", records, bench, columns={"text": "answer"})
    assert [rid for rid, action, *_ in named if action == "reject"] == [1, 2]


def test_pairs_as_pairs_in_either_order(tmp_path: Path) -> None:
    bench = objects(tmp_path / "b.jsonl", {"sentence1": SHORT, "sentence2": "电池", "label": 1})
    records = [{"a": "电池", "b": SHORT + "。"}, {"a": SHORT, "b": "别的"}, {"a": "电池", "b": "电池"}]
    assert [rid for rid, action, *_ in judged("pair", records, bench) if action == "reject"] == [0]
    text = lines(tmp_path / "b.txt", SHORT)
    with pytest.raises(UserError, match=r"b\.txt: a text a line can't be compared with a and b"):
        judged("pair", records, text)
    assert [rid for rid, action, *_ in judged("pair", records, text, key=["a"]) if action == "reject"] == [1]


def test_reading_tasks_and_dialogues(tmp_path: Path) -> None:
    paragraph = {"context": LONG, "qas": [{"question": "谁", "id": "1", "answers": []}]}
    squad = tmp_path / "squad.json"
    squad.write_text(json.dumps({"data": [{"title": "", "paragraphs": [paragraph]}]}), encoding="utf-8")
    records = [{"context": LONG + "完", "question": "谁"}, {"context": LONG, "question": "哪里"}, {"context": "别的"}]
    assert [rid for rid, action, *_ in judged("mrc", records, squad) if action == "reject"] == [0, 1]
    both = judged("mrc", records, squad, key=["context", "question"])
    assert [rid for rid, action, *_ in both if action == "reject"] == [0]
    for name, rows in (
        ("d.json", json.dumps([["你好呀", SHORT]])),
        ("d.jsonl", json.dumps({"turns": ["你好呀", SHORT]})),
    ):
        talk = lines(tmp_path / name, rows)
        told = judged("dialogue", [{"turns": ["你好呀！", SHORT]}, {"turns": ["你好", "再见"]}], talk)
        assert [rid for rid, action, *_ in told if action == "reject"] == [0]


def own(folder: Path, against: Any, *more: Any) -> Path:
    return recipe_file(folder, "classification", ["normalise", {"decontaminate": {"against": against}}, *more])


def source(folder: Path, **splits: list[str]) -> list[Path]:
    paths = []
    for name, texts in splits.items():
        paths.append(lines(folder / f"{name}.tsv", "text_a\tlabel", *(f"{text}\t0" for text in texts)))
    return paths


def test_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train rows go, others are flagged; the files are found beside the recipe, counted, and in the fingerprint."""
    folder = tmp_path / "recipe"
    recipe = own(folder, ["bench.txt"], "exact_dedup", "leak_check")
    bench = lines(folder / "bench.txt", SHORT)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    files = source(tmp_path, train=[SHORT, "别的话", SHORT + "啦"], test=[SHORT + "呀", "好"])
    run = curate(load_recipe(str(recipe)), tmp_path / "run", *files).path
    gone = {row["id"]: row for row in rejects(run)}
    assert {name: (row["reason"], row["kept_id"]) for name, row in gone.items()} == {
        "own/train/000000000": ("in_benchmark", None),
        "own/train/000000002": ("near_benchmark", None),
    }
    assert gone["own/train/000000000"]["score"] is None and gone["own/train/000000002"]["score"] >= 0.9
    assert [row["meta"]["flags"] for row in samples(run, "test")] == ["decontaminate:near_benchmark", ""]
    notes = {line["split"]: line["notes"] for line in manifest(run)["steps"] if line["step"] == "decontaminate"}
    assert notes == {"train": {"bench.txt": 2}, "test": {"bench.txt": 1}}
    assert [line["notes"] for line in card(run)["steps"] if line["step"] == "decontaminate"] == list(notes.values())
    assert "| bench.txt | 2 | 1 |" in (run / "README.md").read_text(encoding="utf-8")
    assert str(tmp_path) not in (run / "manifest.json").read_text(encoding="utf-8")
    assert "near_benchmark" in preview(load_recipe(str(recipe)), [str(path) for path in files], 5, "train")

    first = manifest(run)
    lines(bench, "另一句话")
    second = manifest(curate(load_recipe(str(recipe)), tmp_path / "second", *files).path)
    assert first["fingerprint"] != second["fingerprint"]
    assert second["splits"]["train"]["rejected"] == 0
    assert first["versions"]["benchmark bench.txt"] != second["versions"]["benchmark bench.txt"]


def test_what_set_names_is_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "here.txt", SHORT)
    recipe = own(tmp_path / "recipe", "bench.txt")
    lines(tmp_path / "recipe" / "bench.txt", "别的话")
    loaded = load_recipe(str(recipe), ["decontaminate.against=[here.txt]"])
    run = curate(loaded, tmp_path / "run", *source(tmp_path, train=[SHORT])).path
    assert [row["reason"] for row in rejects(run)] == ["in_benchmark"]
    assert manifest(run)["recipe"]["overrides"] == {"decontaminate.against": ["here.txt"]}


@pytest.mark.parametrize(
    ("against", "name", "told"),
    [
        (["no.txt"], "", r"own\.yaml:\d+:\d+: no\.txt: there is no such file; paths are relative to the recipe file"),
        ("no.txt", "", r"own\.yaml:\d+:\d+: no\.txt: there is no such file"),
        ([], "", r"own\.yaml:\d+:\d+: decontaminate\.against: must not be empty"),
        (["b.txt", "more/b.txt"], "b.txt", r"two benchmarks are called 'b\.txt'"),
    ],
)
def test_files_that_are_not_there(tmp_path: Path, against: Any, name: str, told: str) -> None:
    recipe = own(tmp_path, against)
    (tmp_path / "more").mkdir()
    for path in (tmp_path / name, tmp_path / "more" / name) if name else ():
        lines(path, SHORT)
    with pytest.raises(UserError, match=told) as error:
        load_recipe(str(recipe))
    assert len(error.value.messages) == 1


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("b.jsonl", '{"id": 1, "words": "x"}\n', r"b\.jsonl: has no column for text; its columns are id, words"),
        ("b.jsonl", '{"text": "x"}\nnot json\n', r"b\.jsonl:2: a row of this benchmark can't be read \(bad_json\)"),
        ("b.jsonl", '{"text": {"a": 1}}\n', r"b\.jsonl:1: a row of this benchmark can't be read \(bad_text\)"),
        ("b.txt", "\n\n", r"b\.txt"),
        ("b.jsonl", '{"text": ""}\n', r"b\.jsonl: the benchmark holds no texts"),
    ],
)
def test_files_that_hold_no_texts(tmp_path: Path, name: str, text: str, told: str) -> None:
    """Said before anything is read, and nothing is left behind."""
    recipe = own(tmp_path / "recipe", [name])
    (tmp_path / "recipe" / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        curate(load_recipe(str(recipe)), tmp_path / "run", *source(tmp_path, train=["好"]))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([{"decontaminate": {"against": "b.txt"}}, "normalise"], "'normalise' changes the text and must stand before"),
        (
            ["exact_dedup", {"chunk": {"max": 9}}, {"decontaminate": {"against": "b.txt"}}],
            "whole texts and must stand before",
        ),
        ([{"decontaminate": {"against": "b.txt", "key": ["texts"]}}], "has no field 'texts'; did you mean 'text'"),
        ([{"decontaminate": {"against": "b.txt", "columns": {"label": "x"}}}], "'label' is not compared"),
        ([{"decontaminate": {"against": "b.txt", "near": 2}}], "must be off or a number from 0.5 to 1"),
        (["decontaminate"], "'against' is missing"),
    ],
)
def test_recipes_that_make_no_sense(tmp_path: Path, steps: list[Any], told: str) -> None:
    lines(tmp_path / "b.txt", SHORT)
    with pytest.raises(UserError, match=told):
        load_recipe(str(recipe_file(tmp_path, "classification", steps)))
