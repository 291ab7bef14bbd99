"""Mixtures side by side, beside a corpus of theirs, and predictions made elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mixture_by_hand import CORPORA, MIXTURE, Rows, alone, change_manifest, error, rows_of, write_rows
from tuned_by_hand import make_tuning

from tune.compare import compare
from tune.results import read_eval, read_predictions
from tune.runs import open_run
from tune.score import score_file

# ---- comparing


@pytest.fixture(scope="module")
def tunings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two tunings on the mixture, one on a corpus of it, one on a mixture of two of its corpora."""
    place = tmp_path_factory.mktemp("tunings")
    smaller = Path(shutil.copytree(MIXTURE, place / "runs" / "smaller"))
    for split in ("train", "validation", "test"):
        write_rows(smaller, split, [row for row in rows_of(smaller, split) if row["meta"]["corpus"] != "tea-talk"])
    change_manifest(smaller, lambda manifest: manifest["mixture"]["corpora"].pop("tea-talk"))
    runs = {"one": MIXTURE, "two": MIXTURE, "smaller": smaller}
    runs["alone"] = alone(MIXTURE, "shop-pair", place / "runs" / "shop-pair")
    for seed, (name, run) in enumerate(runs.items()):
        make_tuning(run, place / name, "full", seed=seed)
    return {name: place / name for name in runs}


def test_mixtures_are_compared_by_corpus(tunings: dict[str, Path]) -> None:
    found = compare([tunings["one"], tunings["two"]])
    evals = [read_eval(tunings[name])["tuned"] for name in ("one", "two")]
    assert list(found["splits"]) == list(evals[0]) and found["notes"] == []
    for name, section in found["splits"].items():
        assert section["n"] == evals[0][name]["n"]
        assert set(section["differences"]) == set(section["metrics"]) - {"majority", "bag_of_characters", "perplexity"}
        for metric, (_, difference) in section["differences"].items():
            first, other = (figures[name][metric]["value"] for figures in evals)
            assert difference["value"] == pytest.approx(other - first, abs=1e-6), metric
            assert difference["low"] <= difference["value"] <= difference["high"]
    assert "validation/shop-pair, 4 rows" in str(found)


def test_a_mixture_beside_one_of_its_corpora(tunings: dict[str, Path]) -> None:
    found = compare([tunings["alone"], tunings["one"]])
    assert list(found["splits"]) == ["validation/shop-pair", "test/shop-pair"]
    own, mixed = (read_eval(tunings[name])["tuned"] for name in ("alone", "one"))
    assert found["splits"]["validation/shop-pair"]["metrics"]["accuracy"] == [
        own["validation"]["accuracy"], mixed["validation/shop-pair"]["accuracy"]
    ]  # fmt: skip
    assert "accuracy" in found["splits"]["test/shop-pair"]["differences"]
    assert any(note.startswith("validation, validation/tea-talk, ") for note in found["notes"])


def test_a_mixture_may_call_a_corpus_otherwise(tunings: dict[str, Path], tmp_path: Path) -> None:
    """The parts of a mixture have names of their own, which need not be those of the recipes."""
    run = Path(shutil.copytree(MIXTURE, tmp_path / "runs" / "renamed"))
    for split in ("train", "validation", "test"):
        rows = rows_of(run, split)
        for row in rows:
            row["meta"]["corpus"] = row["meta"]["corpus"].replace("shop-pair", "asked-twice")
        write_rows(run, split, rows)

    def rename(manifest: dict[str, Any]) -> None:
        corpora = manifest["mixture"]["corpora"]
        corpora["asked-twice"] = corpora.pop("shop-pair")

    change_manifest(run, rename)
    make_tuning(run, tmp_path / "renamed", "full")
    found = compare([tunings["alone"], tmp_path / "renamed"])
    assert list(found["splits"]) == ["validation/asked-twice", "test/asked-twice"]


def test_mixtures_of_other_corpora_share_some(tunings: dict[str, Path]) -> None:
    found = compare([tunings["one"], tunings["smaller"]])
    # All of test but the talk is in both; of validation only the corpora.
    assert list(found["splits"]) == [
        "validation/shop-pair", "validation/town-mrc", "test", "test/shop-pair", "test/town-mrc"
    ]  # fmt: skip
    assert "validation: the mixtures are of different rows; only what they share is compared" in found["notes"]


def test_other_rows_of_a_corpus_are_refused(tunings: dict[str, Path], tmp_path: Path) -> None:
    other = Path(shutil.copytree(tunings["two"], tmp_path / "fewer"))
    rows = [row for row in read_predictions(other) if row["id"] != "town-mrc/validation/000000002"]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (other / "predictions.jsonl").write_text(text, encoding="utf-8")
    message = error(lambda: compare([tunings["one"], other]))
    assert "answered different rows of validation/town-mrc (1 differ, like town-mrc/validation/000000002)" in message


# ---- scoring


def gold(split: str) -> Rows:
    return [{"id": row["meta"]["id"], "prediction": row["output"]} for row in rows_of(MIXTURE, split)]


def write(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_predictions_are_scored_by_corpus(tmp_path: Path) -> None:
    rows = gold("validation")
    for row in rows:
        if row["id"] in ("shop-pair/validation/000000000", "town-mrc/validation/000000000"):
            row["prediction"] = "不同" if row["id"].startswith("shop") else "七点"
    file = write(tmp_path / "p.jsonl", rows)
    scores = score_file(open_run(MIXTURE), file)
    assert (scores["task"], scores["split"], scores["n"], scores["unlabelled"]) == ("mixture", "validation", 10, 0)
    assert list(scores["corpora"]) == CORPORA and set(scores["metrics"]) == {"exact_match"}
    # 七点 is the second of two accepted answers
    assert scores["metrics"]["exact_match"]["value"] == pytest.approx(0.9)
    by_corpus = {
        name: {metric: figure["value"] for metric, figure in part["metrics"].items()}
        for name, part in scores["corpora"].items()
    }
    assert by_corpus["shop-pair"] == pytest.approx(
        {"exact_match": 0.75, "accuracy": 0.75, "f1": 2 / 3, "majority": 0.5}
    )
    assert by_corpus["town-mrc"] == {"exact_match": 1, "cmrc_em": 1, "cmrc_f1": 1}
    assert set(by_corpus["tea-talk"]) == {"exact_match", "bleu2", "dist1"}
    assert scores["notes"] == ["tea-talk: perplexity is not scored: it follows from a model's loss, not from texts"]
    shown = str(scores).split("\n")
    assert shown[0].split()[:3] == ["validation,", "10", "rows"]
    assert "validation/shop-pair, 4 rows" in str(scores) and any(line.startswith("bleu2: ") for line in shown)
    json.dumps(scores)


def test_scores_are_those_of_an_evaluation(tunings: dict[str, Path], tmp_path: Path) -> None:
    """What tune said, scored as if it were said elsewhere."""
    for split in ("validation", "test"):
        rows = [row for row in read_predictions(tunings["one"]) if row["split"] == split]
        scores = score_file(open_run(MIXTURE), write(tmp_path / "p.jsonl", rows), split)
        tuned = read_eval(tunings["one"])["tuned"]
        assert scores["metrics"]["exact_match"] == tuned[split]["exact_match"]
        for name, part in scores["corpora"].items():
            for metric, figure in part["metrics"].items():
                assert figure == tuned[f"{split}/{name}"][metric]


def test_a_corpus_nobody_predicted_is_left_out_and_noted(tmp_path: Path) -> None:
    rows = [row for row in gold("test") if row["id"].startswith("shop-pair")]
    scores = score_file(open_run(MIXTURE), write(tmp_path / "p.jsonl", rows))
    assert (scores["n"], scores["unlabelled"], list(scores["corpora"])) == (2, 1, ["shop-pair"])
    assert scores["notes"] == [
        "shop-pair: rows without a label, not scored: 1",
        "town-mrc: no row of it is predicted; not scored",
    ]
    file = write(tmp_path / "p.jsonl", [*rows, gold("test")[-1]])
    assert error(lambda: score_file(open_run(MIXTURE), file)) == (
        f"{file}: 1 row (town-mrc/test/000000000) of test without a prediction; predict all 4"
    )
