"""`tune score`: files of predictions in both shapes, and every way in which one can be wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tune.errors import UserError
from tune.runs import open_run
from tune.score import Scores, score_file


def gold(run: Path, split: str) -> list[dict[str, Any]]:
    lines = (run / f"{split}.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    return [{"id": row["meta"]["id"], "prediction": row["output"]} for row in map(json.loads, lines)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def values(scores: Scores) -> dict[str, float]:
    return {name: figure["value"] for name, figure in scores["metrics"].items()}


def error(run: Path, file: Path, split: str | None = None) -> str:
    with pytest.raises(UserError) as raised:
        score_file(open_run(run), file, split)
    (message,) = raised.value.messages
    return message


@pytest.mark.parametrize("name", ["pair", "mrc", "dialogue"])
def test_the_run_s_own_answers_score_one(golden: Path, tmp_path: Path, name: str) -> None:
    run = open_run(golden / name)
    scores = score_file(run, write(tmp_path / "p.jsonl", gold(golden / name, "validation")))
    assert (scores["run"], scores["task"], scores["split"], scores["n"]) == (name, name, "validation", 6)
    assert set(scores["metrics"]) - {"majority"} == {"exact_match", *run.metrics} - {"perplexity"}
    for metric, value in values(scores).items():
        if metric not in ("majority", "dist1"):
            assert value == pytest.approx(1)


def test_figures_by_hand(golden: Path, tmp_path: Path) -> None:
    # the labelled rows of the test split are 相同, 不同, 相同
    rows = gold(golden / "pair", "test")[:3]
    for row, text in zip(rows, ["相同。", "相同", "不知道"], strict=True):
        row["prediction"] = text
    scores = score_file(open_run(golden / "pair"), write(tmp_path / "p.jsonl", rows[::-1]))
    assert values(scores) == pytest.approx({"exact_match": 0, "accuracy": 1 / 3, "f1": 1 / 2, "majority": 2 / 3})
    assert (scores["n"], scores["unlabelled"]) == (3, 1)
    assert scores["notes"] == [
        "rows without a label, not scored: 1",
        "texts that name no label, or several, counted as wrong: 1 of 3",
    ]
    json.dumps(scores)


def test_plain_text_follows_the_rows_of_the_split(golden: Path, tmp_path: Path) -> None:
    file = tmp_path / "p.txt"
    file.write_bytes("\ufeff相同\r\n不同\r\n相同\r\n随便\r\n".encode())
    assert values(score_file(open_run(golden / "pair"), file))["exact_match"] == 1
    file.write_text("不同\n不同\n相同\n", encoding="utf-8")
    assert error(golden / "pair", file) == (
        f"{file}: has 3 lines, but test has 4 rows; plain text needs one prediction a line for each row "
        "(for texts of several lines use JSON lines)"
    )
    file.write_text("\n\n相同\n\n", encoding="utf-8")  # an empty line is an empty answer
    assert values(score_file(open_run(golden / "pair"), file))["accuracy"] == pytest.approx(1 / 3)


def test_both_shapes_score_alike(golden: Path, tmp_path: Path) -> None:
    run = open_run(golden / "mrc")
    rows = gold(golden / "mrc", "validation")
    for row in rows:
        row["prediction"] = row["prediction"][1:] + "。"
    plain = tmp_path / "p.txt"
    plain.write_text("\n".join(row["prediction"] for row in rows), encoding="utf-8")
    # JSON lines are known by their first line, whatever the file is called
    lines = write(tmp_path / "p.out", rows[::-1])
    assert score_file(run, plain, "validation") == score_file(run, lines)


def test_the_best_reference_counts(golden: Path, tmp_path: Path) -> None:
    rows = gold(golden / "mrc", "validation")
    rows[0]["prediction"] = "十二平方公里"  # the second of two accepted answers
    scores = score_file(open_run(golden / "mrc"), write(tmp_path / "p.jsonl", rows))
    assert values(scores)["cmrc_em"] == 1


def test_predictions_of_other_splits_are_left_aside(golden: Path, tmp_path: Path) -> None:
    rows = gold(golden / "pair", "validation") + gold(golden / "pair", "test")
    file = write(tmp_path / "p.jsonl", rows)
    scores = score_file(open_run(golden / "pair"), file)
    assert (scores["split"], scores["n"]) == ("validation", 6)
    assert "predictions of other splits, left aside: 4 (--split names another)" in scores["notes"]
    assert score_file(open_run(golden / "pair"), file, "test")["n"] == 3


def test_the_split_of_plain_text_has_labels(pair: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (pair / "test.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    for row in rows:
        row["output"] = row["meta"]["label"] = ""
        row["meta"]["labelled"] = False
    replace(pair, "test", rows)
    file = tmp_path / "p.txt"
    file.write_text("相同\n" * 6, encoding="utf-8")
    assert score_file(open_run(pair), file)["split"] == "validation"
    file.write_text("相同\n" * 4, encoding="utf-8")
    assert "no row has a label, so there is nothing to compare predictions with" in error(pair, file, "test")


def test_rows_that_ask_for_a_text_are_no_label_task(pair: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (pair / "validation.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    rows[0]["output"] = "写出来的一句话"
    replace(pair, "validation", rows)
    scores = score_file(open_run(pair), write(tmp_path / "p.jsonl", gold(pair, "validation")))
    assert scores["n"] == 5
    assert scores["notes"] == ["rows that ask for a text and not for a label, not scored: 1"]


def replace(run: Path, split: str, rows: list[dict[str, Any]]) -> None:
    """Another content for a split's file; the manifest agrees."""
    size = write(run / f"{split}.jsonl", rows).stat().st_size
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    for entry in manifest["outputs"]:
        if entry["file"] == f"{split}.jsonl":
            entry["bytes"] = size
    (run / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")


def test_wrong_files(golden: Path, tmp_path: Path) -> None:
    run, file = golden / "pair", tmp_path / "p.jsonl"
    assert error(run, file).startswith(f"{file}: no such file; give JSON lines like")
    assert error(run, tmp_path).startswith(f"{tmp_path}: is a folder")
    file.write_bytes("相同\n".encode("gbk"))
    assert error(run, file) == f"{file}: not UTF-8 text; save the predictions as UTF-8"
    for nothing in ("", "\n\n"):
        file.write_text(nothing, encoding="utf-8")
        assert error(run, file).startswith(f"{file}: holds no prediction")
    file.write_text("相同\n", encoding="utf-8")
    assert error(run, file).startswith(f"{file}:1: not an object of JSON")
    for line, key in [('{"prediction": "相同"}', "id"), ('{"id": "x"}', "prediction"), ('{"id": 1}', "id")]:
        file.write_text(f'{{"id": "a", "prediction": ""}}\n\n{line}\n', encoding="utf-8")
        assert error(run, file).startswith(f"{file}:3: '{key}' must be text")
    rows = gold(run, "test")
    rows[2]["prediction"] = None
    assert error(run, write(file, rows)).startswith(f"{file}:3: 'prediction' must be text")


def test_wrong_ids(golden: Path, tmp_path: Path) -> None:
    run, file = golden / "pair", tmp_path / "p.jsonl"
    rows = gold(run, "test")
    assert error(run, write(file, rows[1:])) == (
        f"{file}: 1 row (golden-pair/test/000000000) of test without a prediction; predict all 3"
    )
    assert "2 rows (the first: golden-pair/test/000000001) of test" in error(run, write(file, rows[:1]))
    write(file, [*rows, {"id": "pair/1", "prediction": ""}, {"id": "pair/2", "prediction": ""}])
    assert error(run, file) == f"{file}:5: 2 ids (the first: pair/1) that the run doesn't have; ids stand in meta.id"
    write(file, [*rows, rows[0]])
    assert error(run, file) == (
        f"{file}:5: a second prediction for golden-pair/test/000000000, the first is in line 1"
    )
    assert "has no dev split" in error(run, write(file, rows), "dev")


def test_as_text(golden: Path, tmp_path: Path) -> None:
    shown = str(
        score_file(open_run(golden / "dialogue"), write(tmp_path / "p.jsonl", gold(golden / "dialogue", "test")))
    )
    assert shown.split("\n")[0].split() == ["test,", "4", "rows", "%", "[95", "%]"]
    assert "bleu4" in shown
    assert "100.0 [100.0, 100.0]" in shown
    assert "|tok:zh|" in shown
    assert "note: perplexity is not scored: it follows from a model's loss, not from texts" in shown


def test_the_command(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tune.cli import main

    run = shutil.copytree(golden / "pair", tmp_path / "runs" / "pair")
    file = write(tmp_path / "p.jsonl", gold(golden / "pair", "test"))
    assert main(["score", str(run), str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["accuracy"] == {"value": 1, "low": 1, "high": 1}
    assert main(["score", str(run), str(file)]) == 0
    assert "accuracy" in capsys.readouterr().out
    write(file, gold(golden / "pair", "test")[:1])
    assert main(["score", str(run), str(file)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
