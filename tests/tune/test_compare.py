"""Tunings side by side, and differences counted once more by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tuned_by_hand import make_tuning

from tune.compare import compare
from tune.errors import UserError
from tune.results import json_line, read_predictions, write_text

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module")
def tunings(tmp_path_factory) -> list[Path]:
    """Two tunings on the same run, one of them answering right on most rows."""
    place = tmp_path_factory.mktemp("tunings")
    folders = [place / "lr-low", place / "lr-high"]
    for seed, (folder, lr) in enumerate(zip(folders, ("1e-4", "5e-4"), strict=True)):
        make_tuning(GOLDEN / "pair", folder, "full", seed=seed, sets=(f"lr={lr}",))
    say(folders[0], ["相同", "不同", "不知道", "相同", "不同", "相同", "相同", "相同", "不同"])
    say(folders[1], None)
    return folders


def say(folder: Path, answers: list[str] | None) -> None:
    """Put other answers into a tuning's files, right ones for None."""
    from tune.metrics import score
    from tune.runs import open_run

    rows = read_predictions(folder)
    run = open_run(GOLDEN / "pair")
    for index, row in enumerate(rows):
        row["prediction"] = row["references"][0] if answers is None else answers[index]
    write_text(folder / "predictions.jsonl", "".join(map(json_line, rows)))
    found = json.loads((folder / "eval.json").read_text(encoding="utf-8"))
    for split, section in found["tuned"].items():
        here = [row for row in rows if row["split"] == split]
        texts, given = [row["prediction"] for row in here], [row["references"] for row in here]
        section |= score(run.task, ["exact_match", *run.metrics], texts, given, None, run.labels)
    write_text(folder / "eval.json", json.dumps(found))


def test_settings_that_differ(tunings):
    found = compare(tunings)
    assert found["tunings"] == ["lr-low", "lr-high"]
    assert found["settings"] == {"lr": [1e-4, 5e-4]}


def test_differences_are_less_the_first_and_drawn_for_both_at_once(tunings):
    found = compare(tunings)["splits"]["validation"]
    assert found["n"] == 6
    first, other = found["metrics"]["accuracy"]
    none, difference = found["differences"]["accuracy"]
    assert none is None
    assert other["value"] == 1
    assert difference["value"] == pytest.approx(other["value"] - first["value"])
    # By hand: of every draw of rows, the mean of the rows' differences.
    rows = [[r for r in read_predictions(f) if r["split"] == "validation"] for f in tunings]
    right = [[row["prediction"] == row["references"][0] for row in sorted(of, key=lambda r: r["id"])] for of in rows]
    gain = np.array(right[1], float) - np.array(right[0], float)
    assert 0 < gain.mean() < 1, "the test needs rows on which they differ, and rows on which they don't"
    random = np.random.default_rng(7)
    draws = gain[random.integers(6, size=(20_000, 6))].mean(axis=1)
    low, high = np.percentile(draws, (2.5, 97.5))
    assert difference["low"] == pytest.approx(low, abs=0.09)
    assert difference["high"] == pytest.approx(high, abs=0.09)


def test_pairing_leaves_out_what_both_find_hard(tunings):
    """Against itself there is no difference at all, though each figure has an interval."""
    twice = compare([tunings[0], tunings[0]])
    assert twice["tunings"] == [str(tunings[0])] * 2
    for section in twice["splits"].values():
        assert section["differences"]
        for name, (_, difference) in section["differences"].items():
            assert difference == {"value": 0, "low": 0, "high": 0}, name


def test_every_metric_of_rows_has_a_difference(tunings):
    found = compare(tunings)["splits"]["test"]
    assert set(found["differences"]) == set(found["metrics"]) - {"majority", "bag_of_characters"}
    assert {"answer_loss", "accuracy", "f1", "accuracy_likelihood", "auc"} <= set(found["differences"])
    for name, (_, difference) in found["differences"].items():
        first, other = found["metrics"][name]
        assert difference["value"] == pytest.approx(other["value"] - first["value"], abs=1e-6), name
        assert difference["low"] <= difference["value"] <= difference["high"]


def test_as_text(tunings):
    text = str(compare(tunings))
    lines = text.split("\n")
    assert lines[0].split() == ["settings", "that", "differ", "lr-low", "lr-high"]
    assert lines[1].split() == ["lr", "0.0001", "0.0005"]
    (accuracy,) = [line for line in lines[: lines.index("", 4)] if line.startswith("accuracy ")]
    assert "100.0 [100.0, 100.0]" in accuracy
    assert json.loads(json.dumps(compare(tunings), allow_nan=False))["tunings"] == ["lr-low", "lr-high"]


def test_the_same_ids_in_another_order_are_the_same_rows(tunings, tmp_path):
    other = Path(shutil.copytree(tunings[1], tmp_path / "turned"))
    rows = read_predictions(other)
    write_text(other / "predictions.jsonl", "".join(map(json_line, reversed(rows))))
    turned, plain = compare([tunings[0], other]), compare(tunings)
    assert turned["splits"] == plain["splits"]


def test_other_rows_are_refused(tunings, tmp_path):
    other = Path(shutil.copytree(tunings[1], tmp_path / "fewer"))
    rows = read_predictions(other)
    write_text(other / "predictions.jsonl", "".join(map(json_line, rows[1:])))
    with pytest.raises(UserError, match=r"answered different rows of validation \(1 differ, like golden-pair/val"):
        compare([tunings[0], other])
    rows[-1]["references"] = ["另外"]
    write_text(other / "predictions.jsonl", "".join(map(json_line, rows)))
    with pytest.raises(UserError, match="different rows of test"):
        compare([tunings[0], other])


def test_tunings_on_different_runs_are_refused(tunings, tmp_path):
    make_tuning(GOLDEN / "mrc", tmp_path / "mrc", "full")
    with pytest.raises(UserError, match="answered different rows of validation"):
        compare([tunings[0], tmp_path / "mrc"])


def test_a_split_that_only_some_were_evaluated_on(tunings, tmp_path):
    other = Path(shutil.copytree(tunings[1], tmp_path / "tuning"))
    found = json.loads((other / "eval.json").read_text(encoding="utf-8"))
    del found["tuned"]["test"]
    write_text(other / "eval.json", json.dumps(found))
    compared = compare([tunings[0], other])
    assert list(compared["splits"]) == ["validation"]
    assert compared["notes"] == ["test: not evaluated for all of them; left out"]
    found["tuned"] = {"train": found["tuned"]["validation"]}
    write_text(other / "eval.json", json.dumps(found))
    with pytest.raises(UserError, match="no split was evaluated for all"):
        compare([tunings[0], other])


def test_losses_of_different_tokenizers_are_not_subtracted(tunings, tmp_path):
    other = Path(shutil.copytree(tunings[1], tmp_path / "tuning"))
    lock = (other / "config.lock.yaml").read_text(encoding="utf-8")
    start = lock.index("tokenizer: ")
    (other / "config.lock.yaml").write_text(lock[: start + 11] + "f" * 8 + lock[start + 19 :], encoding="utf-8")
    found = compare([tunings[0], other])
    assert "answer_loss" not in found["splits"]["validation"]["differences"]
    assert "answer_loss" in found["splits"]["validation"]["metrics"]
    assert "accuracy" in found["splits"]["validation"]["differences"]
    assert found["notes"] == ["answer_loss is a mean over tokens, and the tokenizers differ: no difference is given"]


def test_bad_input(tunings, tmp_path):
    with pytest.raises(UserError, match="two tunings or more"):
        compare(tunings[:1])
    with pytest.raises(UserError, match="no such tuning"):
        compare([tunings[0], tmp_path / "nowhere"])
    other = Path(shutil.copytree(tunings[1], tmp_path / "tuning"))
    (other / "eval.json").unlink()
    with pytest.raises(UserError, match="was never evaluated"):
        compare([tunings[0], other])
    (other / "eval.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"eval\.json: is damaged"):
        compare([tunings[0], other])
