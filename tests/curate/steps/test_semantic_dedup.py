"""semantic_dedup: what counts as the same meaning, by a small model whose paraphrases share vectors."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from helpers import broken_promises, card, curate, differing, manifest, recipe_file, rejects, samples
from rows import context, frame, key_table, said, with_key_texts

from curate.explain import explain
from curate.recipefile import load_recipe
from curate.semantic_model import load_model
from curate.steps import semantic_dedup
from curate.steps.semantic_dedup import Options
from curate.types import UserError

pytest.importorskip("model2vec")

from small_model import CHARS, SAME, small_model

GOOD, FINE, OTHER = "这家店很好离站很近", "这家馆很佳离站很近", "房间干净早餐也不错"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(small_model(tmp_path_factory.mktemp("model")))


def verdicts(task: str, rows: pl.DataFrame, splits: list[str], options: dict[str, Any]) -> pl.DataFrame:
    ctx, chosen = context(task), Options.model_validate(options)
    keys = key_table(rows, splits, semantic_dedup, chosen, ctx)
    rows = with_key_texts(rows, semantic_dedup, chosen, ctx)

    def records(rids: pl.Series) -> Iterator[pl.DataFrame]:
        for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            yield part.filter(pl.col("rid").is_in(rids.implode()))

    return semantic_dedup.judge(keys, chosen, ctx, records)


def judged(task: str, records: list[dict[str, Any]], splits: list[str] | None = None, **options: object) -> list[Any]:
    """(rid, action, reason, kept) of every verdict."""
    return said(verdicts(task, frame(task, *records), splits or ["train"] * len(records), options))


def texts(*given: str) -> list[dict[str, Any]]:
    return [{"text": text, "label": "0"} for text in given]


def same(rid: int, kept: int) -> tuple[int, str, str, int]:
    return (rid, "reject", "same_meaning", kept)


def test_paraphrases(model: str) -> None:
    given = texts(GOOD, OTHER, FINE, GOOD)
    assert judged("classification", given, model=model) == [same(2, 0), same(3, 0)]
    found = verdicts("classification", frame("classification", *given), ["train"] * 4, {"model": model})
    assert found["score"].to_list() == [1.0, 1.0]


def test_the_score_is_the_cosine(model: str) -> None:
    given = (GOOD, GOOD + "霜")
    found = verdicts("classification", frame("classification", *texts(*given)), ["train"] * 2, {"model": model})
    one, other = load_model(model).vectors(list(given)).astype(np.float64)
    assert found["score"].to_list() == [round(float(one @ other), 6)]
    assert judged("classification", texts(*given), model=model, threshold=1.0) == []


def test_each_split_by_itself_and_labels(model: str) -> None:
    assert judged(
        "classification", texts(GOOD, FINE, FINE, GOOD), ["test", "train", "test", "train"], model=model
    ) == [
        same(2, 0),
        same(3, 1),
    ]
    given = [{"text": GOOD, "label": "0"}, {"text": FINE, "label": "1"}, {"text": GOOD, "label": "1"}]
    assert judged("classification", given, model=model) == [same(1, 0), same(2, 0)]
    assert judged("classification", given, model=model, within="label") == [same(2, 1)]


def test_other_numbers_are_another_meaning(model: str) -> None:
    given = texts(GOOD + "3元", FINE + "5元", FINE + "３元", FINE)
    assert judged("classification", given, model=model) == [same(2, 0)]


def test_texts_that_the_model_does_not_know(model: str) -> None:
    note = [(rid, "note", "no_known_word", None) for rid in (0, 1, 2)]
    assert judged("classification", texts("gg", "gg", "", GOOD), model=model) == note


def test_pairs_by_both_sides_in_either_order_inside_one_label(model: str) -> None:
    given = [
        {"a": GOOD, "b": OTHER, "label": "1"},
        {"a": OTHER, "b": FINE, "label": "1"},
        {"a": OTHER, "b": FINE, "label": "0"},
        {"a": GOOD, "b": FINE, "label": "1"},
    ]
    assert judged("pair", given, model=model) == [same(1, 0)]


def test_every_question_of_a_passage_stays_and_dialogues_are_whole(model: str) -> None:
    given = [
        {"context": GOOD, "question": "一"},
        {"context": FINE, "question": "二"},
        {"context": FINE, "question": "一"},
    ]
    assert judged("mrc", given, model=model) == [same(2, 0)]
    turns = [{"turns": [GOOD, OTHER]}, {"turns": [FINE, OTHER]}, {"turns": [OTHER, CHARS]}]
    assert judged("dialogue", turns, model=model) == [same(1, 0)]


def made(seed: int, n: int) -> list[str]:
    """Texts, and paraphrases of earlier ones, some a character longer."""
    draw = random.Random(seed)
    found = [GOOD]
    while len(found) < n:
        if draw.random() < 0.5:
            found.append("".join(draw.choices(CHARS + "".join(SAME), k=draw.choice((4, 9, 20)))))
        else:
            text = "".join(
                next((draw.choice(word) for word in SAME if char in word), char) for char in draw.choice(found)
            )
            found.append(text + draw.choice(["", "", "霜", "！"]))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_definition_by_hand_any_order_and_twice(model: str, seed: int) -> None:
    given = made(seed, 120)
    vectors = load_model(model).vectors(given).astype(np.float64)
    kept = list(range(len(given)))
    for i, j in combinations(range(len(given)), 2):  # join whatever is alike, as often as it takes
        if round(float(vectors[i] @ vectors[j]), 6) >= 0.9:
            low, high = sorted((kept[i], kept[j]))
            kept = [low if at == high else at for at in kept]
    expected = [same(i, at) for i, at in enumerate(kept) if at != i]
    assert judged("classification", texts(*given), model=model) == expected
    assert len(expected) > 20

    order = random.Random(seed).sample(range(len(given)), len(given))
    moved = {
        (order[i], order[at]) for i, *_, at in judged("classification", texts(*(given[i] for i in order)), model=model)
    }
    together = {frozenset((i, at)) for i, at in moved}
    assert all(kept[i] == kept[at] for i, at in map(tuple, together))
    assert len(moved) == len(expected)
    stay = [text for i, text in enumerate(given) if kept[i] == i]
    assert judged("classification", texts(*stay), model=model) == []


def test_a_vector_depends_on_nothing_but_its_text(model: str) -> None:
    given = made(5, 2500)
    found = load_model(model).vectors(given)
    assert np.array_equal(found[::-1], load_model(model).vectors(given[::-1]))
    assert all(np.array_equal(found[i], load_model(model).vectors([given[i]])[0]) for i in range(0, 2500, 100))
    long = GOOD * 400
    assert not np.array_equal(*load_model(model).vectors([long, long + OTHER * 200]))


# ---- runs


def test_a_run_beside_near_dedup(tmp_path: Path, model: str) -> None:
    steps = [
        "normalise",
        {"exact_dedup": {"by": "key"}},
        {"near_dedup": {"short": "edit1"}},
        {"semantic_dedup": {"model": model}},
    ]
    lines = [f"{text}\t{i % 2}" for i, text in enumerate(made(7, 400))]
    for split, part in {"train": lines[:300], "validation": lines[300:350], "test": lines[350:]}.items():
        (tmp_path / f"{split}.tsv").write_text("text_a\tlabel\n" + "\n".join(part) + "\n", encoding="utf-8")
    files = [tmp_path / f"{split}.tsv" for split in ("train", "validation", "test")]
    recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", steps)))
    run = curate(recipe, tmp_path / "run", *files).path
    assert broken_promises(run, recipe) == []
    other = curate(recipe, tmp_path / "other", *reversed(files), slice_rows=17, workers=2).path
    assert differing(run, other) == []

    lost = {row["id"]: row for row in rejects(run)}
    by = {step: [row for row in lost.values() if row["step"] == step] for step in ("near_dedup", "semantic_dedup")}
    assert min(map(len, by.values())) > 5
    stands: dict[str, int] = {}
    for row in lost.values():
        end = row["kept_id"]
        while end in lost:
            end = lost[end]["kept_id"]
        stands[end] = stands.get(end, 0) + 1
    assert {row["meta"]["id"]: row["meta"]["cluster_size"] for row in samples(run, "train")} == {
        row["meta"]["id"]: 1 + stands.get(row["meta"]["id"], 0) for row in samples(run, "train")
    }
    table = pl.read_parquet(run / "clusters.parquet")
    assert table["id"].n_unique() == len(table)
    assert dict(table.filter("removed").select("id", "step").iter_rows()) == {
        i: row["step"] for i, row in lost.items()
    }
    for step, part in (("near_dedup", "near"), ("semantic_dedup", "semantic")):
        assert card(run)[part]["splits"]["train"]["rows"] == len(by[step])
    versions = manifest(run)["versions"]
    assert {"model2vec", "tokenizers", "numpy"} < set(versions) and len(versions["semantic_model"]) == 64
    shown = (run / "README.md").read_text(encoding="utf-8")
    assert "语义近似重复" in shown and versions["semantic_model"][:16] in shown
    told = explain(run, by["semantic_dedup"][0]["id"])
    assert "by semantic_dedup: same_meaning (means the same as another row), similarity" in told


def test_another_model_is_another_run(tmp_path: Path, model: str) -> None:
    (tmp_path / "train.tsv").write_text(f"text_a\tlabel\n{GOOD}\t0\n{FINE}\t0\n", encoding="utf-8")
    prints = []
    for folder in (Path(model), small_model(tmp_path / "models" / "m", seed=1)):
        steps = [{"semantic_dedup": {"model": str(folder)}}]
        recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", steps)))
        run = curate(recipe, tmp_path / folder.name, tmp_path / "train.tsv").path
        prints.append((manifest(run)["fingerprint"], manifest(run)["versions"]["semantic_model"]))
    assert len(set(prints)) == 2 and prints[0][1] != prints[1][1]


# ---- models that are none


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"model": "minishlab/potion-base-8M"}, "no model is fetched: download it and name its folder"),
        ({"model": "empty"}, "is no model2vec model; name the folder that holds model.safetensors"),
        ({}, "model"),
        ({"model": "MODEL", "threshold": 0.2}, "semantic_dedup.threshold"),
    ],
)
def test_recipe_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, options: dict[str, Any], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    given = {key: model if value == "MODEL" else value for key, value in options.items()}
    with pytest.raises(UserError) as error:
        load_recipe(str(recipe_file(tmp_path / "recipe", "classification", [{"semantic_dedup": given}])))
    assert [message for message in error.value.messages if expected in message]


def test_within_labels_needs_labels(tmp_path: Path, model: str) -> None:
    path = recipe_file(tmp_path, "summarization", [{"semantic_dedup": {"model": model, "within": "label"}}])
    with pytest.raises(UserError, match="has no labels; remove 'within'"):
        load_recipe(str(path))


def test_a_broken_model_and_a_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"can't be read: .*; it needs model\.safetensors, tokenizer\.json"):
        load_model(str(tmp_path))

    def none(name: str) -> str:
        raise semantic_model.PackageNotFoundError(name)

    from curate import semantic_model

    monkeypatch.setattr(semantic_model, "version", none)
    with pytest.raises(UserError, match=r"pip install 'jingtiao\[semantic\]'"):
        semantic_model.model_sha256(model)
