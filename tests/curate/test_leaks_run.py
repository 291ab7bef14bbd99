"""Runs that look for near leaks: every row accounted for, the same bytes, nothing left to find, the card's figures."""

from __future__ import annotations

import json
import random
from pathlib import Path

import near_by_hand
import pytest
from helpers import (
    broken_promises,
    card,
    curate,
    differing,
    judged_again,
    manifest,
    recipe_file,
    record,
    rejects,
    samples,
)
from near_by_hand import CHARS, changed, made

from curate.explain import explain
from curate.recipefile import load_recipe
from curate.text.keys import compare_key

LEAKS = {"leak_check": {"near": 0.9, "coverage": 0.5}}
STEPS = ["normalise", "require", "exact_dedup", {"near_dedup": {"threshold": 0.95}}, LEAKS, "segment"]
NAMES = ("train", "validation", "test")


def texts(seed: int) -> dict[str, list[tuple[str, str]]]:
    """New texts of all lengths and copies of them, as they are or changed, in all splits."""
    draw = random.Random(seed)
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in NAMES}
    known: list[str] = []
    for _ in range(130):
        text = made(draw, draw.choice((5, 15, 17, 40, 59, 62, 120, 190, 210, 400)))
        if known and draw.random() < 0.6:
            text = changed(draw, draw.choice(known), draw.randrange(4))
        known.append(text)
        found[draw.choice(("train", "train", "validation", "test"))].append((text, draw.choice("01")))
    return found


def write(folder: Path, found: dict[str, list[tuple[str, str]]]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for split, rows in found.items():
        paths.append(folder / f"{split}.tsv")
        lines = "".join(f"{text}\t{label}\n" for text, label in rows)
        paths[-1].write_text(f"text_a\tlabel\n{lines}", encoding="utf-8")
    return paths


@pytest.mark.parametrize("seed", range(4))
def test_every_row_is_accounted_for(tmp_path: Path, seed: int) -> None:
    """The promises, a recount by every pair, the same bytes for other slices, and nothing to find a second time."""
    recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", STEPS)))
    found = texts(seed)
    run = curate(recipe, tmp_path / "run", *write(tmp_path, found)).path
    assert broken_promises(run, recipe) == []
    assert judged_again(run, recipe) == []
    told = {row["reason"] for row in rejects(run) if row["step"] == "leak_check"}
    assert told & {"near_test", "near_validation"} and told & {"covers_test", "covers_validation"}
    assert all(row["split"] == "train" for row in rejects(run))
    for k, (slice_rows, workers) in enumerate(((7, 2), (1, 1))):
        other = curate(
            recipe, tmp_path / f"o{k}", *write(tmp_path, found), slice_rows=slice_rows, workers=workers
        ).path
        assert differing(run, other) == []

    left = {name: [(record(row)["text"], row["meta"]["label"]) for row in samples(run, name)] for name in NAMES}
    again = curate(recipe, tmp_path / "again", *write(tmp_path / "left", left)).path
    assert rejects(again) == []


def test_the_matrix_is_that_of_every_pair(tmp_path: Path) -> None:
    recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", STEPS)))
    found = texts(11)
    run = curate(recipe, tmp_path / "run", *write(tmp_path, found)).path
    written = {name: [record(row)["text"] for row in samples(run, name)] for name in NAMES}
    came = {name: [text for text, _ in rows] for name, rows in found.items()}
    leaks = card(run)["leaks"]
    assert (leaks["near"], leaks["coverage"]) == (0.9, 0.5)
    for when, rows in (("before", came), ("after", written)):
        keys = {name: [compare_key(text) for text in there] for name, there in rows.items()}
        for split in ("validation", "test"):
            for other in NAMES:
                if other == split:
                    continue
                count = {"near": 0, "covered": 0, "covered_tenth": 0}
                for one in keys[split]:
                    if one in keys[other]:
                        continue
                    ways = [met for text in keys[other] if (met := near_by_hand.meets(one, text, 0.9, 0.5))]
                    # A text that is near may cover too: `meets` says the former only.
                    tenth = any(
                        met for text in keys[other] if (met := near_by_hand.meets(one, text, None, 0.5))
                    ) or any(how == "covers" for how, *_ in ways)
                    near = any(how == "near" for how, *_ in ways)
                    count["near"] += near
                    count["covered"] += not near and any(leak for *_, leak in ways)
                    count["covered_tenth"] += tenth
                cell = leaks[when][split][other]
                assert {name: cell[name] for name in ("near", "covered")} == {
                    name: count[name] for name in ("near", "covered")
                }, (when, split, other)
                assert cell["covered_tenth"] >= count["covered"]
                assert cell["rows"] == sum(one in keys[other] for one in keys[split])
    assert leaks["before"]["test"]["train"]["near"] and leaks["before"]["test"]["train"]["covered"]
    assert leaks["after"]["test"]["train"]["near"] == leaks["after"]["test"]["train"]["covered"] == 0
    readme = (run / "README.md").read_text(encoding="utf-8")
    assert "几乎相同（之前）" in readme and "validation 的行也在 test 中" in readme


def test_off_says_nothing_new(tmp_path: Path) -> None:
    steps = ["normalise", "exact_dedup", "leak_check"]
    recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", steps)))
    run = curate(recipe, tmp_path / "run", *write(tmp_path, texts(0))).path
    assert judged_again(run, load_recipe(str(tmp_path / "recipe" / "own.yaml")), likeness=False) == []
    assert "near" not in card(run)["leaks"] and "numpy" not in manifest(run)["versions"]
    assert {row["reason"] for row in rejects(run) if row["step"] == "leak_check"} <= {"in_test", "in_validation"}


def test_a_split_that_was_made_is_looked_at_too(tmp_path: Path) -> None:
    """Rows that `split` makes a validation set of give near rows of train away as well."""
    draw = random.Random(5)
    rows = [(made(draw, 40), "0") for _ in range(60)]
    rows += [(text[:-1] + draw.choice(CHARS), "0") for text, _ in rows]
    steps = ["exact_dedup", {"split": {"validation": 0.3}}, LEAKS]
    recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", steps)))
    run = curate(recipe, tmp_path / "run", *write(tmp_path, {"train": rows})).path
    assert broken_promises(run, recipe) == []
    left = [compare_key(row["input"]) for row in samples(run, "train")]
    known = [compare_key(row["input"]) for row in samples(run, "validation")]
    assert len(known) > 20
    assert [1 for one in known for text in left if near_by_hand.meets(one, text, 0.9, 0.5)] == []
    assert {row["reason"] for row in rejects(run)} == {"near_validation"}


def test_another_question_of_a_near_passage(tmp_path: Path) -> None:
    """What beside the text is in the key must be the same."""
    passage = made(random.Random(6), 150)
    rows = {"train": [("一", passage + "好"), ("二", passage + "好")], "test": [("一", passage)]}
    answers = [{"text": passage[:3], "answer_start": 0}]
    for name, questions in rows.items():
        tree = [{"context": text, "qas": [{"question": q, "answers": answers, "id": q}]} for q, text in questions]
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"data": [{"title": "", "paragraphs": tree}]}), encoding="utf-8")
    gone = {}
    for key in (["context"], ["context", "question"]):
        steps = [{"leak_check": {"key": key, "near": 0.9}}]
        recipe = load_recipe(str(recipe_file(tmp_path / "-".join(key), "mrc", steps)))
        files = [tmp_path / "train.json", tmp_path / "test.json"]
        run = curate(recipe, tmp_path / f"run-{len(key)}", *files).path
        gone[len(key)] = [row["id"] for row in rejects(run) if row["step"] == "leak_check"]
    assert gone == {1: ["own/train/000000000", "own/train/000000001"], 2: ["own/train/000000000"]}


def test_explain_names_the_evaluation_row(tmp_path: Path) -> None:
    text = made(random.Random(7), 30)
    recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", [LEAKS])))
    found = {"train": [(text[:-1] + "甲", "0"), ("别的", "1")], "test": [(text, "0")]}
    run = curate(recipe, tmp_path / "run", *write(tmp_path, found)).path
    told = explain(run, "train/0")
    assert "by leak_check: near_test (nearly the same as a row of test), similarity 0.9" in told
    assert "own/test/000000000, written to test.jsonl" in told
    assert samples(run, "test")[0]["meta"]["flags"] == "leak_check:near_train"
