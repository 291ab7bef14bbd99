"""Runs that look for near-duplicates: conservation, the same bytes, cluster sizes, clusters.parquet, the card."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import near_by_hand
import polars as pl
import pytest
from helpers import broken_promises, card, curate, differing, manifest, recipe_file, rejects, samples
from rows import REAL, key_table, real_rows, with_key_texts

from curate.explain import explain
from curate.recipefile import load_recipe
from curate.steps import near_dedup
from curate.steps.near_dedup import Options
from curate.store import Store
from curate.text.keys import compare_key

STEPS = ["normalise", "require", {"exact_dedup": {"by": "key"}}, {"near_dedup": {"short": "edit1"}}, "leak_check"]
CHARS = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜"


def rows(seed: int, n: int) -> list[tuple[str, str]]:
    """(text, label): new texts of all lengths, copies, copies with other punctuation, copies changed a little."""
    draw = random.Random(seed)
    made = [("今天天气非常好", "0")]
    while len(made) < n:
        text = draw.choice(made)[0]
        kind = draw.choice(("new", "new", "copy", "mark", "change", "number"))
        k = draw.randrange(len(text))
        if kind == "new":
            text = "".join(draw.choices(CHARS, k=draw.choice((6, 14, 18, 40, 58, 64, 120, 190, 210))))
        elif kind == "mark":
            text = text[:k] + "，" + text[k:]
        elif kind != "copy":
            text = text[:k] + draw.choice("甲乙丙丁" if kind == "change" else "13") + text[k + 1 :]
        made.append((text, draw.choice("01")))
    return made


def write(folder: Path, **splits: list[tuple[str, str]]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for split, lines in splits.items():
        text = "text_a\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in lines)
        paths.append(folder / f"{split}.tsv")
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def source(folder: Path, seed: int) -> list[Path]:
    made = rows(seed, 400)
    return write(folder, train=made[:300], validation=made[300:360], test=made[360:])


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_accounted_for(tmp_path: Path, seed: int) -> None:
    recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", STEPS)))
    files = source(tmp_path, seed)
    run = curate(recipe, tmp_path / "run", *files).path
    assert broken_promises(run, recipe) == []
    others = [(5, 2), (97, 1), (10_000, 2)]
    for k, (slice_rows, workers) in enumerate(others):
        other = curate(recipe, tmp_path / f"other{k}", *files, slice_rows=slice_rows, workers=workers).path
        assert differing(run, other) == []

    with pytest.MonkeyPatch.context() as patch:  # every slice waits on disk
        patch.setattr(Store.__init__, "__defaults__", (0,))
        other = curate(recipe, tmp_path / "disk", *files, slice_rows=50).path
        assert differing(run, other) == []

    # What each row stands for: itself and every copy whose chain of kept ids ends there.
    lost = {row["id"]: row for row in rejects(run)}
    stands: Counter[str] = Counter()
    for row in lost.values():
        if row["step"] in ("exact_dedup", "near_dedup"):
            end = row["kept_id"]
            while end in lost and lost[end]["step"] in ("exact_dedup", "near_dedup"):
                end = lost[end]["kept_id"]
            stands[end] += 1
    sizes = {}
    for split in ("train", "validation", "test"):
        sizes |= {row["meta"]["id"]: row["meta"]["cluster_size"] for row in samples(run, split)}
    assert sizes == {name: 1 + stands[name] for name in sizes}
    assert max(sizes.values()) > 4

    table = pl.read_parquet(run / "clusters.parquet")
    assert table.columns == ["cluster", "id", "split", "similarity", "step", "removed"]
    assert table["id"].n_unique() == len(table)
    counted = dict(table.group_by("cluster").agg(1 + pl.col("removed").sum()).iter_rows())
    assert counted | {name: 1 for name in sizes if name not in counted} == sizes | {
        name: n for name, n in counted.items() if name not in sizes
    }
    assert all(row["id"] == row["cluster"] for row in table.filter(pl.col("similarity") == 1.0, ~pl.col("removed"))
               .filter(pl.col("split") == "train").to_dicts())  # fmt: skip
    near = [row for row in lost.values() if row["step"] == "near_dedup"]
    told = {row["id"]: row["similarity"] for row in table.to_dicts()}
    assert near and all(told[row["id"]] == row["score"] for row in near)

    shown = card(run)["near"]
    assert shown["splits"]["train"]["rows"] == len(near)
    assert shown["splits"]["train"]["weakest"] == round(min(row["score"] for row in near), 4)
    assert "clusters.parquet" in (run / "README.md").read_text(encoding="utf-8")
    assert [entry["file"] for entry in manifest(run)["files"]] == ["keys.parquet", "clusters.parquet"]
    assert "numpy" in manifest(run)["versions"]


@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_those_of_the_definition(tmp_path: Path, seed: int) -> None:
    recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", STEPS)))
    made = rows(seed, 300)
    run = curate(recipe, tmp_path / "run", *write(tmp_path, train=made)).path
    keys = [compare_key(text) for text, _ in made]
    first = near_by_hand.clusters(keys, 0.8, short="edit1")
    gone = {int(row["id"][-9:]) for row in rejects(run)}
    assert gone == {i for i, kept in enumerate(first) if i != kept}
    for row in rejects(run):
        if row["score"] is not None:
            a, b = (keys[int(row[name][-9:])] for name in ("id", "kept_id"))
            least, most = sorted((len(a), len(b)))
            if least > 15:
                n = 2 if least <= 60 else 3 if least <= 200 else 5
                assert row["score"] == pytest.approx(near_by_hand.jaccard(a, b, n), abs=1e-12)
            elif near_by_hand.one_edit(a, b):
                assert row["score"] == pytest.approx(1 - 1 / most, abs=1e-12)
    again = write(tmp_path / "again", train=[made[i] for i in range(len(made)) if i not in gone])
    second = curate(recipe, tmp_path / "second", *again).path
    assert rejects(second) == []


def test_evaluation_rows_are_flagged_and_stay(tmp_path: Path) -> None:
    recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", STEPS)))
    text = "".join(CHARS[:30])
    made = [(text, "0"), (text[:-1] + "甲", "0"), (text, "1")]
    run = curate(recipe, tmp_path / "run", *write(tmp_path, train=[("不同的话", "0")], test=made)).path
    assert [row["meta"]["flags"] for row in samples(run, "test")] == [
        "",
        "near_dedup:near_text",
        "exact_dedup:same_text,near_dedup:same_key",
    ]
    assert {row["meta"]["cluster_size"] for row in samples(run, "test")} == {1}
    table = pl.read_parquet(run / "clusters.parquet")
    assert table.select("id", "removed").rows() == [(f"own/test/{k:09}", False) for k in range(3)]


def test_explain_tells_how_alike(tmp_path: Path) -> None:
    recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", STEPS)))
    text = "".join(CHARS[:30])
    run = curate(recipe, tmp_path / "run", *write(tmp_path, train=[(text, "0"), (text[:-1] + "甲", "0")])).path
    told = explain(run, "train/1")
    alike = near_by_hand.jaccard(text, text[:-1] + "甲", 2)
    assert f"by near_dedup: near_text (nearly the same as another row), similarity {alike:.2f}" in told
    assert "own/train/000000000, written to train.jsonl" in told


def test_nothing_near(tmp_path: Path) -> None:
    recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", STEPS)))
    run = curate(recipe, tmp_path / "run", *write(tmp_path, train=[("好", "0"), ("坏", "1")])).path
    assert broken_promises(run, recipe) == []
    assert len(pl.read_parquet(run / "clusters.parquet")) == 0
    assert card(run)["near"]["splits"] == {}
    without = [step for step in STEPS if "near_dedup" not in step]
    other = load_recipe(str(recipe_file(tmp_path / "other", "classification", without)))
    plain = curate(other, tmp_path / "plain", tmp_path / "train.tsv").path
    assert not (plain / "clusters.parquet").exists()
    assert "cluster_size" not in samples(plain, "train")[0]["meta"]


def test_off(tmp_path: Path) -> None:
    recipe = load_recipe(str(recipe_file(tmp_path / "recipe", "classification", STEPS)), ["near_dedup.threshold=off"])
    run = curate(recipe, tmp_path / "run", *source(tmp_path, 0)).path
    assert broken_promises(run, recipe) == []
    assert "near_dedup" not in {row["step"] for row in rejects(run)}
    assert not (run / "clusters.parquet").exists()
    assert "near" not in card(run)
    assert "cluster_size" not in samples(run, "train")[0]["meta"]
    assert "numpy" not in manifest(run)["versions"]


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_rows_against_an_exact_join(corpora: Path, name: str) -> None:
    """3,000 real rows of each corpus: the clusters of a brute-force Jaccard join over all pairs."""
    pytest.importorskip("scipy", reason="scipy is not installed (pip install -e '.[dev]')")
    recipe, ctx, found = real_rows(name, corpora)
    found = found.head(3000)
    options = Options()
    keys = key_table(found, ["train"] * len(found), near_dedup, options, ctx)
    found = with_key_texts(found, near_dedup, options, ctx)
    said = near_dedup.judge(keys, options, ctx, lambda rids: iter([found.filter(pl.col("rid").is_in(rids.implode()))]))
    texts = near_dedup.compared(found, ctx.task, "count").to_list()
    threshold = near_dedup.threshold_of(options, ctx.task)
    fixed = [name for name in ("question", "target") if name in found.columns]
    fixed += ["label"] if recipe.task == "pair" else []
    same = [tuple(compare_key(str(value)) for value in row) for row in found.select(fixed).rows()] if fixed else None
    first = near_by_hand.joined(texts, threshold, same)
    rids = found["rid"].to_list()
    expected = {(rids[i], rids[kept]) for i, kept in enumerate(first) if i != kept}
    assert set(said.select("rid", "kept").iter_rows()) == expected
