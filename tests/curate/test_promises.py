"""The three promises, on every shipped sample, on every layout of the real files, and on random small corpora."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from helpers import (
    RECIPES,
    SPLITS,
    broken_promises,
    card,
    curate,
    judged,
    judged_again,
    key_of,
    lines,
    manifest,
    recipe_file,
    rejects,
    samples,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from curate.recipefile import load_recipe
from curate.types import UserError

# ---- the shipped samples


@pytest.fixture(scope="module")
def sample_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("samples")
    return {name: curate(name, folder / name).path for name in RECIPES}


@pytest.mark.parametrize("name", RECIPES)
def test_sample_keeps_the_promises(name: str, sample_runs: dict[str, Path]) -> None:
    assert broken_promises(sample_runs[name], load_recipe(name)) == []


@pytest.mark.parametrize("name", RECIPES)
def test_sample_is_judged_right(name: str, sample_runs: dict[str, Path]) -> None:
    assert judged_again(sample_runs[name], load_recipe(name)) == []


@pytest.mark.parametrize("name", RECIPES)
def test_sample_shows_every_mechanism(name: str, sample_runs: dict[str, Path]) -> None:
    """What the recipe can do, its sample does: each step that may reject rejects something, evaluation is flagged."""
    said = manifest(sample_runs[name])
    assert sum(counts["flagged"] for counts in said["splits"].values())
    for step in ("exact_dedup", "leak_check", "label_conflict"):
        entries = [entry for entry in said["steps"] if entry["step"] == step]
        assert not entries or any(sum(entry["reasons"].values()) for entry in entries), step


# ---- the real files

#: recipe, file or folder under the corpora, rows of (train, validation, test) as the corpora's README counts them
LAYOUTS: list[tuple[str, str, tuple[int, int, int]]] = [
    ("lcqmc", "lcqmc/dev.txt", (0, 8802, 0)),
    ("lcqmc", "lcqmc/dev_header.txt", (0, 8802, 0)),
    ("lcqmc", "bq/dev.tsv", (0, 10000, 0)),
    ("lcqmc", "bq/dev.csv", (0, 10000, 0)),
    ("bq", "bq/dev.tsv", (0, 10000, 0)),
    ("bq", "bq/dev.csv", (0, 10000, 0)),
    ("bq", "bq", (0, 10000, 0)),
    ("drcd", "drcd", (0, 3524, 0)),
    ("drcd", "drcd/DRCD_dev.json", (0, 3524, 0)),
    ("chnsenticorp", "chnsenticorp/train.tsv", (9600, 0, 0)),
    ("chnsenticorp", "chnsenticorp/dev.tsv", (0, 1200, 0)),
    ("chnsenticorp", "chnsenticorp", (9600, 1200, 0)),
    ("chnsenticorp", "chnsenticorp/ChnSentiCorp_htl_all.csv", (7766, 0, 0)),
    ("cmrc2018", "cmrc2018/squad_dev.json", (0, 3219, 0)),
    ("cmrc2018", "cmrc2018/original_dev.json", (0, 3219, 0)),
    ("cmrc2018", "drcd/DRCD_dev.json", (0, 3524, 0)),
    ("lcsts", "lcsts/PART_III.txt", (0, 0, 1106)),
    ("lcsts", "lcsts/parallel_char", (50, 1066, 0)),
    ("lcsts", "lcsts/parallel_char/eval_source.txt", (0, 1066, 0)),
    ("lcsts", "lcsts/parallel_char/eval_target.txt", (0, 1066, 0)),
    ("lcsts", "lcsts/parallel_char/train_source.txt", (50, 0, 0)),
    ("lcsts", "lcsts/parallel_char/train_target.txt", (50, 0, 0)),
    ("nlpcc-summary", "nlpcc", (100, 0, 0)),
    ("nlpcc-summary", "nlpcc/summ2017_articles.train.sample.txt", (100, 0, 0)),
    ("nlpcc-summary", "nlpcc/summ2017_summaries.train.sample.txt", (100, 0, 0)),
    ("nlpcc-headline", "nlpcc", (0, 0, 36_000)),
    ("nlpcc-headline", "nlpcc/headline2017_test.full.word", (0, 0, 36_000)),
    ("nlpcc-stance", "nlpcc", (0, 0, 1000)),
    ("nlpcc-stance", "nlpcc/stance2016_TaskA_gold.txt", (0, 0, 1000)),
    ("ecdt", "ecdt/smp2019_nlu_train.json", (2579, 0, 0)),
    ("ecdt", "ecdt/smp2017_task1", (2299, 770, 0)),
    ("ecdt", "ecdt/smp2017_task1/develop", (0, 770, 0)),
    ("ecdt", "ecdt/smp2017_task1/train/train_train.txt", (70, 0, 0)),
    ("ecdt", "ecdt", (2579, 770, 0)),
    ("nlpcc-summary", "nlpcc", (100, 0, 0)),
    ("nlpcc-summary", "nlpcc/summ2017_articles.train.sample.txt", (100, 0, 0)),
    ("nlpcc-summary", "nlpcc/summ2017_summaries.train.sample.txt", (100, 0, 0)),
    ("nlpcc-kbqa", "nlpcc", (0, 0, 7631)),
    ("nlpcc-kbqa", "nlpcc/nlpcc2017.kbqa.test", (0, 0, 7631)),
    ("lccc", "lccc/toy_data.json", (1000, 200, 200)),
    ("lccc", "lccc/toy_train.txt", (10000, 0, 0)),
    ("lccc", "lccc/raw_dialogs.jsonl", (1000, 0, 0)),
]
#: Rows of a split that are read of a large layout: recounting all 238,766 of LCQMC's shows nothing that these don't.
ROWS = 60_000
SLOW_LAYOUTS = [
    ("lcqmc", "lcqmc", (ROWS, 8802, 0)),
    ("cmrc2018", "cmrc2018", (10_142, 3219, 0)),
    ("cmrc2018", "cmrc2018/train.json", (10_142, 0, 0)),
    ("lccc", "lccc/LCCC-base_valid.json", (0, 20_000, 0)),
]


def check_layout(recipe: str, source: Path, rows: tuple[int, int, int], out: Path, limit: int | None = None) -> Path:
    run = curate(recipe, out, source, workers=None, limit=limit).path
    said = manifest(run)["splits"]
    assert tuple(said.get(split, {"read": 0})["read"] for split in SPLITS) == rows
    assert broken_promises(run, load_recipe(recipe)) == []
    if not any(counts["derived"] for counts in said.values()):
        assert judged_again(run, load_recipe(recipe), likeness=False) == []
    return run


@pytest.mark.parametrize(("recipe", "name", "rows"), LAYOUTS, ids=[name for _, name, _ in LAYOUTS])
def test_layout(recipe: str, name: str, rows: tuple[int, int, int], corpora: Path, tmp_path: Path) -> None:
    check_layout(recipe, corpora / name, rows, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "name", "rows"), SLOW_LAYOUTS, ids=[name for _, name, _ in SLOW_LAYOUTS])
def test_large_layout(recipe: str, name: str, rows: tuple[int, int, int], corpora: Path, tmp_path: Path) -> None:
    check_layout(recipe, corpora / name, rows, tmp_path / "run", ROWS)


def steps_of(run: Path, step: str, split: str) -> dict[str, Any]:
    return next(entry for entry in manifest(run)["steps"] if (entry["step"], entry["split"]) == (step, split))


def test_lcqmc_recount(corpora: Path, tmp_path: Path) -> None:
    """The figures of the real train and dev sets, from the lines of the files alone."""
    raw = (corpora / "lcqmc" / "train.tsv").read_text(encoding="utf-8").split("\n")[1:-1]
    assert len(raw) - len(set(raw)) == 569
    overrides = ["segment.as=off", "label_conflict.by=text", "exact_dedup.by=text", "leak_check.by=text"]
    run = curate("lcqmc", tmp_path / "run", corpora / "lcqmc", overrides=overrides, workers=None).path
    rows = [tuple(line.split("\t")) for line in raw]
    texts = [(key_of({"a": a, "b": b}, ("a", "b"), "text", True), label) for a, b, label in rows]
    labels: dict[Any, set[str]] = {}
    for key, label in texts:
        labels.setdefault(key, set()).add(label)
    mixed = {key for key, seen in labels.items() if len(seen) > 1}
    assert steps_of(run, "label_conflict", "train")["reasons"] == {
        "conflicting_labels": sum(key in mixed for key, _ in texts)
    }
    left = [key for key, _ in texts if key not in mixed]
    assert sum(steps_of(run, "exact_dedup", "train")["reasons"].values()) == len(left) - len(set(left))
    dev = (corpora / "lcqmc" / "dev.txt").read_text(encoding="utf-8").split("\n")[:-1]
    known = {key_of(dict(zip("ab", line.split("\t"), strict=False)), ("a", "b"), "text", True) for line in dev}
    leaks = {reason: n for reason, n in steps_of(run, "leak_check", "train")["reasons"].items() if n}
    assert leaks == {"in_validation": len(known & set(left))}
    written = manifest(run)["splits"]
    assert written["train"]["written"] == len(set(left) - known)
    assert written["validation"]["written"] == 8802


def test_chnsenticorp_recount(corpora: Path, tmp_path: Path) -> None:
    """28 % of the evaluation texts stand in train, and the card says how many."""

    def texts(name: str) -> list[str]:
        raw = (corpora / "chnsenticorp" / name).read_text(encoding="utf-8").split("\n")[1:-1]
        return [line.split("\t")[1] for line in raw]

    train, dev = texts("train.tsv"), texts("dev.tsv")
    assert (len(train), len(set(train)), len(dev)) == (9600, 8249 + len(set(train)) - 8249, 1200)
    exact = sum(text in set(train) for text in dev)
    assert exact == 338
    run = curate("chnsenticorp", tmp_path / "run", corpora / "chnsenticorp", overrides=["segment.as=off"]).path
    one = ("text",)
    by_key = {key_of({"text": text}, one, "key", False) for text in train}
    shared = sum(key_of({"text": text}, one, "key", False) in by_key for text in dev)
    leak = card(run)["leaks"]["before"]["validation"]["train"]
    assert (leak["rows"], leak["of"]) == (shared, 1200)
    assert shared >= exact and 0.28 <= leak["share"] < 0.29
    assert card(run)["leaks"]["after"]["validation"]["train"]["rows"] == 0
    repeated = len(train) - len({key_of({"text": text}, one, "key", False) for text in train})
    assert card(run)["duplicates"]["train"]["rows"] == repeated


def test_htl_all_recount(corpora: Path, tmp_path: Path) -> None:
    """Quoted CSV without a validation file: one row has an empty review, a tenth of the texts becomes validation."""
    path = corpora / "chnsenticorp" / "ChnSentiCorp_htl_all.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert len(rows) == 7766
    run = curate("chnsenticorp", tmp_path / "run", path).path
    said = manifest(run)["splits"]
    assert said["train"]["read"] == 7766
    assert said["train"]["derived"] == -said["validation"]["written"] < 0
    assert [row["id"] for row in rejects(run) if row["reason"] == "empty_field"] == [
        f"chnsenticorp/train/{number:09}" for number, row in enumerate(rows) if not row[1].strip()
    ]
    assert 0.08 < said["validation"]["written"] / (said["validation"]["written"] + said["train"]["written"]) < 0.12
    assert all(row["meta"]["id"].startswith("chnsenticorp/train/") for row in samples(run, "validation"))


def test_lcsts_recount(corpora: Path, tmp_path: Path) -> None:
    """Only scores of 3 and more belong to the test set: 725 of 1,106."""
    text = (corpora / "lcsts" / "PART_III.txt").read_text(encoding="utf-8")
    scores = Counter(re.findall(r"<human_label>(\d)</human_label>", text))
    run = curate("lcsts", tmp_path / "run", corpora / "lcsts" / "PART_III.txt", overrides=["segment.as=off"]).path
    assert manifest(run)["splits"]["test"]["written"] == 725 == sum(scores[score] for score in "345")
    assert steps_of(run, "select", "test")["reasons"] == {"not_in_split": scores["1"] + scores["2"]}


def test_bq_recount(corpora: Path, tmp_path: Path) -> None:
    """Both copies say the same once their invisible characters are gone; the cells are recounted from the bytes."""
    rows = {}
    with (corpora / "bq" / "dev.csv").open(encoding="utf-8-sig", newline="") as file:
        rows["dev.csv"] = list(csv.reader(file))[1:]
    text = (corpora / "bq" / "dev.tsv").read_text(encoding="utf-8")
    rows["dev.tsv"] = [line.split("\t") for line in text.removesuffix("\n").split("\n")]
    seen = []
    for name, cells in rows.items():
        run = curate("bq", tmp_path / name, corpora / "bq" / name, overrides=["segment.as=off"]).path
        assert manifest(run)["splits"]["validation"]["written"] == len(cells) == 10_000
        texts = [text for row in cells for text in row[:2]]
        changes = steps_of(run, "normalise", "validation")["changes"]
        assert changes["control"] == sum(text.count("\b") for text in texts) == 16
        assert changes.get("zero_width", 0) == sum(text.count("\u200d") for text in texts) == 80 * (name == "dev.csv")
        shown = samples(run, "validation")
        assert [row["meta"]["label"] for row in shown] == [label for *_, label in cells]
        assert not any(mark in row["instruction"] + row["input"] for row in shown for mark in "\b\u200d")
        # Beside its spaces, the CSV has two private-use and two rare characters that the TSV has lost.
        seen.append(
            [re.sub(r"[\s\ue000-\uf8ff\u3400-\u4dbf]", "", row["instruction"] + row["input"]) for row in shown]
        )
    assert seen[0] == seen[1]


def drcd_answers(corpora: Path) -> list[tuple[str, list[str]]]:
    """(id of the question, its answers) of DRCD's dev set; every one stands where the file says."""
    data = json.loads((corpora / "drcd" / "DRCD_dev.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in data for paragraph in article["paragraphs"]]
    assert (len(data), len(paragraphs)) == (383, 1000)
    for paragraph in paragraphs:
        for answer in (answer for qa in paragraph["qas"] for answer in qa["answers"]):
            assert paragraph["context"].startswith(answer["text"], answer["answer_start"])
    return [(qa["id"], [answer["text"] for answer in qa["answers"]]) for one in paragraphs for qa in one["qas"]]


def test_drcd_recount(corpora: Path, tmp_path: Path) -> None:
    """A clean corpus stays as it is: every offset right, every answer in its Traditional characters."""
    asked = drcd_answers(corpora)
    run = curate("drcd", tmp_path / "run", corpora / "drcd", overrides=["segment.as=off"]).path
    entry = steps_of(run, "locate_answer", "validation")
    assert {kind: n for kind, n in entry["changes"].items() if n} == {"offsets_right": 7048}
    assert not entry.get("flags")
    written = samples(run, "validation")
    assert [(row["meta"]["source_id"], row["output"]) for row in written] == [(name, one[0]) for name, one in asked]
    assert len(written) == 3524
    assert sum(len(set(one)) > 1 for _, one in asked) == 774


def test_drcd_simplified(corpora: Path, tmp_path: Path) -> None:
    """By OpenCC, every answer still stands at its offset, which is where it stood before."""
    opencc = pytest.importorskip("opencc", reason="OpenCC is not installed (pip install opencc)")
    asked = drcd_answers(corpora)
    run = curate(
        "drcd", tmp_path / "run", corpora / "drcd", overrides=["segment.as=off", "convert_script.config=tw2s"]
    )
    entry = steps_of(run.path, "locate_answer", "validation")
    assert {kind: n for kind, n in entry["changes"].items() if n} == {"offsets_right": 7048}
    assert steps_of(run.path, "convert_script", "validation")["changes"]["characters_converted"] > 100_000
    convert = opencc.OpenCC("tw2s").convert
    written = samples(run.path, "validation")
    told = dict(asked)
    assert [row["meta"]["source_id"] for row in written] == list(told)
    assert all(len(row["output"]) == len(told[row["meta"]["source_id"]][0]) for row in written)
    alone = sum(row["output"] == convert(told[row["meta"]["source_id"]][0]) for row in written)
    assert alone >= 0.99 * len(written)
    assert all(row["output"] in row["instruction"] + row["input"] for row in written)


def test_cmrc_recount(corpora: Path, tmp_path: Path) -> None:
    """Answers that do not stand in the dev contexts: flagged, never removed; the two layouts say the same."""
    data = json.loads((corpora / "cmrc2018" / "squad_dev.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in data for paragraph in article["paragraphs"]]
    absent = sum(
        any(answer["text"] not in paragraph["context"] for answer in qa["answers"])
        for paragraph in paragraphs
        for qa in paragraph["qas"]
    )
    assert absent == 174
    runs = []
    for name in ("squad_dev.json", "original_dev.json"):
        source = corpora / "cmrc2018" / name
        run = curate("cmrc2018", tmp_path / name, source, overrides=["segment.as=off"]).path
        said = manifest(run)["splits"]["validation"]
        assert said["written"] == 3219
        entry = steps_of(run, "locate_answer", "validation")
        assert sum(entry["reasons"].values()) == 0
        runs.append(
            (entry["flags"], [(row["meta"]["source_id"], row["output"]) for row in samples(run, "validation")])
        )
        # Cleaning the context and its answers alike may bring an answer back, and never loses one.
        assert 0 < sum(entry["flags"].values()) <= absent
    assert runs[0] == runs[1]


def test_headline_recount(corpora: Path, tmp_path: Path) -> None:
    """Labels and titles as the lines alone tell them, without the spaces between Chinese words."""
    path = corpora / "nlpcc" / "headline2017_test.full.word"
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    run = curate("nlpcc-headline", tmp_path / "run", path, overrides=["segment.as=off"]).path
    written = samples(run, "test")
    assert [row["meta"]["label"] for row in written] == [label for label, _ in rows]
    assert Counter(label for label, _ in rows) == dict.fromkeys(load_recipe("nlpcc-headline").labels, 2000)
    titles = [re.sub(r"\s", "", title) for _, title in rows]
    text = [row["instruction"] + row["input"] + row["output"] for row in written]
    # What normalising changed (full-width letters, invisible characters) is left out of the comparison.
    same = [title in re.sub(r"\s", "", shown) for title, shown in zip(titles, text, strict=True)]
    assert sum(same) > 0.95 * len(rows)
    assert not any(re.search(r"[\u4e00-\u9fff] +[\u4e00-\u9fff]", shown) for shown in text)
    segmented = sum(any(not (a.isascii() and b.isascii()) for a, b in edges(title)) for _, title in rows)
    assert steps_of(run, "join_words", "test")["changes"]["words_joined"] >= segmented > 35_000


def edges(title: str) -> list[tuple[str, str]]:
    """The characters on both sides of every space."""
    words = title.split()
    return [(one[-1], other[0]) for one, other in pairwise(words)]


def test_stance_recount(corpora: Path, tmp_path: Path) -> None:
    """GBK with a header: targets and labels as the lines alone tell them."""
    path = corpora / "nlpcc" / "stance2016_TaskA_gold.txt"
    rows = [line.split("\t") for line in path.read_bytes().decode("gbk").split("\r\n")[1:-1]]
    run = curate("nlpcc-stance", tmp_path / "run", path, overrides=["segment.as=off"]).path
    written = [row["meta"] for row in samples(run, "test")]
    assert [(meta["target"], meta["label"]) for meta in written] == [(target, label) for _, target, _, label in rows]
    assert Counter(label for *_, label in rows) == {"FAVOR": 419, "AGAINST": 489, "NONE": 92}
    assert manifest(run)["sources"][0]["encoding"] == "gb18030"


def test_ecdt_recount(corpora: Path, tmp_path: Path) -> None:
    """All of both years: labels, intents and slots as the files alone tell them; byte order marks are no text."""
    folder = corpora / "ecdt"
    sources = [folder / "smp2019_nlu_train.json", folder / "smp2017_task1"]
    run = curate("ecdt", tmp_path / "run", *sources, overrides=["segment.as=off"]).path
    told: list[tuple[str, str, str, int]] = []
    for item in json.loads(sources[0].read_text(encoding="utf-8")):
        told.append(("train", item["domain"], item["intent"], len(item["slots"])))
    for path in sorted(sources[1].rglob("*.txt")):
        split = {"train": "train", "develop": "validation"}[path.parent.name]
        queries = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8").split("\r\n")[:-1]
        told += [(split, path.stem.partition("_")[2], "", 0) for _ in queries]
    assert Counter(split for split, *_ in told) == {"train": 2579 + 2299, "validation": 770}
    found = [
        (split, meta["label"], meta["intent"], len(meta["slots"]))
        for split in ("train", "validation")
        for meta in (row["meta"] for row in samples(run, split))
    ]
    gone = [(row["split"], row["fields"]) for row in rejects(run)]
    found += [(split, fields["label"], fields["intent"], len(fields["slots"])) for split, fields in gone]
    assert Counter(found) == Counter(told)
    written = (run / "train.jsonl").read_text("utf-8") + (run / "validation.jsonl").read_text("utf-8")
    assert "\ufeff" not in written


# ---- random small corpora

PIECES = ["你好", "你好！", "A", "Ａ", "a", "3.5", "35", "-1", "？", "ß", "ss", "C#", "c", " ", "\u3000"]
texts = st.lists(st.sampled_from(PIECES), min_size=0, max_size=2).map("".join)
labels = st.sampled_from(["0", "1", "0", "1", "1.0", "", "x"])
pairs = st.lists(st.tuples(texts, texts, labels), max_size=12)
reviews = st.lists(st.tuples(texts, labels), max_size=12)
turns = st.lists(
    st.lists(st.sampled_from(["好", "好！", "a", "A", "-1", "嗯？"]), min_size=1, max_size=4), max_size=10
)
by = st.sampled_from(["text", "key"])
few = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

BASE: list[Any] = ["normalise", "require"]


def write_table(folder: Path, split: str, head: str, rows: list[tuple[str, ...]]) -> None:
    body = "".join("\t".join(row) + "\n" for row in rows)
    (folder / f"{split}.tsv").write_text(f"{head}\n{body}", encoding="utf-8")


def write_corpus(folder: Path, task: str, corpus: dict[str, list[Any]]) -> None:
    folder.mkdir(exist_ok=True)
    for split, rows in corpus.items():
        if not rows:
            continue
        if task == "dialogue":
            (folder / f"{split}.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        else:
            write_table(folder, split, "text_a\ttext_b\tlabel" if task == "pair" else "text_a\tlabel", rows)


def run_random(task: str, corpus: dict[str, list[Any]], steps: list[Any], folder: Path, name: str = "run") -> Path:
    """A run of the corpus; examples of which nothing can be read are passed over if the message is the right one."""
    assume(any(corpus.values()))
    source = folder / f"{name}-source"
    write_corpus(source, task, corpus)
    recipe = recipe_file(folder / "recipe", task, steps)
    try:
        return curate(recipe, folder / name, source).path
    except UserError as error:
        assert "can't be read" in str(error) or "columns" in str(error), error
        assert not (folder / name).exists()
        assume(False)
        raise


def reached(corpus: dict[str, list[Any]], task: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The rows that reach the judgements, from the corpus as it was drawn: readable, not empty, labelled in train."""
    rows = []
    for split in SPLITS:
        for number, row in enumerate(corpus[split]):
            name = f"own/{split}/{number:09}"
            if task == "dialogue":
                if len(row) > 1:
                    rows.append((name, split, {"turns": row, "label": None}))
                continue
            label = {"0": "0", "1": "1", "1.0": "1", "": None}.get(row[-1], "outside")
            if label == "outside" or not all(text.strip() for text in row[:-1]) or (split == "train" and not label):
                continue
            names = ("a", "b") if task == "pair" else ("text",)
            rows.append((name, split, {**dict(zip(names, row, strict=False)), "label": label}))
    return rows


def check_random(task: str, corpus: dict[str, list[Any]], judgements: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        steps = [*BASE, *judgements]
        run = run_random(task, corpus, steps, folder)
        recipe = load_recipe(str(folder / "recipe" / "own.yaml"))
        if task != "dialogue":
            assert broken_promises(run, recipe) == []
        gone, flags = judged(reached(corpus, task), task, list(recipe.steps))
        said = {
            row["id"]: row for row in rejects(run) if row["step"] in ("label_conflict", "exact_dedup", "leak_check")
        }
        assert {name: {key: row[key] for key in ("step", "reason", "kept_id")} for name, row in said.items()} == gone
        there = [row["meta"] for split in SPLITS for row in samples(run, split)]
        assert {meta["id"]: sorted(filter(None, meta["flags"].split(","))) for meta in there} == {
            name: sorted(flags.get(name, [])) for name, _, _ in reached(corpus, task) if name not in gone
        }


@few
@given(train=pairs, validation=pairs, test=pairs, conflict=by, dedup=by, leak=by)
def test_random_pairs(train: Any, validation: Any, test: Any, conflict: str, dedup: str, leak: str) -> None:
    corpus = {"train": train, "validation": validation, "test": test}
    check_random(
        "pair",
        corpus,
        [{"label_conflict": {"by": conflict}}, {"exact_dedup": {"by": dedup}}, {"leak_check": {"by": leak}}],
    )


@few
@given(train=reviews, validation=reviews, test=reviews, dedup=by, leak=by)
def test_random_reviews(train: Any, validation: Any, test: Any, dedup: str, leak: str) -> None:
    corpus = {"train": train, "validation": validation, "test": test}
    judgements = [{"leak_check": {"by": leak}}, {"exact_dedup": {"by": dedup}}, "label_conflict"]
    check_random("classification", corpus, judgements)


@few
@given(train=turns, validation=turns, test=turns, dedup=by, leak=by)
def test_random_dialogues(train: Any, validation: Any, test: Any, dedup: str, leak: str) -> None:
    corpus = {"train": train, "validation": validation, "test": test}
    check_random("dialogue", corpus, [{"exact_dedup": {"by": dedup}}, {"leak_check": {"by": leak}}])


@few
@given(train=pairs, validation=pairs, maximum=st.integers(1, 8), minimum=st.integers(0, 3))
def test_trailing_length_after_deduplication(train: Any, validation: Any, maximum: int, minimum: int) -> None:
    """Survivors that a later step rejects leave nothing behind that their copies could point at."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        steps = [*BASE, "exact_dedup", "leak_check", {"length": {"min": minimum, "max": maximum}}]
        run = run_random("pair", {"train": train, "validation": validation, "test": []}, steps, folder)
        assert broken_promises(run, load_recipe(str(folder / "recipe" / "own.yaml"))) == []
        for split in SPLITS:
            for row in samples(run, split):
                sizes = [len(text) for text in row["meta"]["fields"].values()]
                inside = minimum <= min(sizes) and max(sizes) <= maximum
                assert inside or (split != "train" and "length:" in row["meta"]["flags"])
        gone = {row["id"] for row in rejects(run) if row["step"] == "length"}
        assert all(row["kept_id"] not in gone for row in rejects(run))


@few
@given(
    train=reviews, per=st.sampled_from(["label", "answer", "template"]), maximum=st.integers(1, 3), first=st.booleans()
)
def test_cap(train: Any, per: str, maximum: int, first: bool) -> None:
    """A cap before or after deduplication: at most so many of a label, and no link ends at a capped row."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cap = {"cap": {"per": per, "max": maximum}}
        steps = [*BASE, cap, "exact_dedup"] if first else [*BASE, "exact_dedup", cap]
        corpus = {"train": train, "validation": train[:3], "test": []}
        run = run_random("classification", corpus, steps, folder)
        assert broken_promises(run, load_recipe(str(folder / "recipe" / "own.yaml"))) == []
        of = "template" if per == "template" else "label"
        counts = Counter(row["meta"][of] for row in samples(run, "train"))
        assert max(counts.values(), default=0) <= maximum
        capped = [row for row in rejects(run) if row["step"] == "cap"]
        assert all(row["fields"] is None and row["kept_id"] is None for row in capped)
        names = {row["id"] for row in capped}
        assert all(row["kept_id"] not in names for row in rejects(run))


@few
@given(train=reviews, share=st.sampled_from([0.2, 0.5]), trailing=st.integers(1, 6))
def test_split(train: Any, share: float, trailing: int) -> None:
    """Rows are moved by their key: no text stands on both sides; a moved row is an evaluation row like any other."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        steps = [
            *BASE, "exact_dedup", {"split": {"validation": share, "test": 0.2}}, "leak_check",
            {"length": {"max": trailing}},
        ]  # fmt: skip
        run = run_random("classification", {"train": train, "validation": [], "test": []}, steps, folder)
        assert broken_promises(run, load_recipe(str(folder / "recipe" / "own.yaml"))) == []
        written = {s: {key_of({"t": r["input"]}, ("t",), "key", False) for r in samples(run, s)} for s in SPLITS}
        assert not written["train"] & (written["validation"] | written["test"])
        assert not written["validation"] & written["test"]


def outcome(run: Path, by_rule: str) -> Any:
    """What a run came to, whatever the order of its rows: the texts of each split by their key, and the funnel."""
    written = {
        split: Counter(
            (key_of(row["meta"]["fields"], ("a", "b"), by_rule, True), row["meta"]["label"])
            for row in samples(run, split)
        )
        for split in SPLITS
    }
    said = manifest(run)
    funnel = [
        (entry["step"], entry["split"], entry["in"], entry["out"], sum(entry["reasons"].values()), entry["flags"])
        for entry in said["steps"]
        if entry["step"] != "exact_dedup" or entry["split"] == "train"
    ]
    return written, said["splits"], [line if line[0] != "exact_dedup" else line[:5] for line in funnel]


@few
@given(train=pairs, validation=pairs, rule=by, data=st.data())
def test_order_of_rows_changes_no_count(train: Any, validation: Any, rule: str, data: Any) -> None:
    shuffled = data.draw(st.permutations(train))
    judgements = [{step: {"by": rule}} for step in ("label_conflict", "exact_dedup", "leak_check")]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ends = [
            run_random(
                "pair", {"train": rows, "validation": validation, "test": []}, [*BASE, *judgements], folder, name
            )
            for name, rows in (("one", train), ("other", shuffled))
        ]
        assert outcome(ends[0], rule) == outcome(ends[1], rule)


# ---- local steps change nothing the second time

MARKUP = [
    "（", "）", "，", "(", ")", "《", "》", "[哈哈]", "[", "]", "-{", "}-", "{", "}", "zh-hans:", "zh-hant:", ";", "|",
    "<ref>", "<br/>", "</ref>", "//@a:", "回复@b:", "回复 @b：", "好", "a", " ", "\u3000", "\u200b", "\x07", "Ａ",
    "１", "\n", "\ufeff", "\u00ad", "e\u0301", "\u0301",
]  # fmt: skip
marked = st.lists(st.sampled_from(MARKUP), max_size=10).map("".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(marked, marked, st.lists(marked, max_size=2)), min_size=1, max_size=4), st.booleans())
def test_local_steps_run_twice(rows: list[Any], weibo: bool) -> None:
    import polars as pl

    from curate.steps import STEPS, Context
    from curate.tasks import TASKS

    context = Context(TASKS["mrc"], {}, 0)
    frame = pl.DataFrame(
        {
            "rid": range(len(rows)),
            "title": [""] * len(rows),
            "context": [row[0] for row in rows],
            "question": [row[1] for row in rows],
            # Every other answer is a piece of its context, so that there is something to find.
            "answers": [[*row[2], row[0][1:3]] for row in rows],
            "answer_starts": [[-1] * (len(row[2]) + 1) for row in rows],
            "source_id": [""] * len(rows),
        },
        schema={"rid": pl.UInt64, **TASKS["mrc"].schema()},
    )
    for name, options in (
        ("normalise", {}),
        ("strip_markup", {"kinds": ["wiki", "weibo"] if weibo else ["wiki"]}),
        ("locate_answer", {}),
    ):
        step = STEPS[name].module
        frame = step.run(frame, step.Options(**options), context).rows
        again = step.run(frame, step.Options(**options), context)
        assert again.rows.to_dicts() == frame.to_dicts(), name
        if name != "locate_answer":
            assert not any(again.counts.values()), (name, again.counts)
        else:
            assert again.counts["offsets_mended"] == again.counts["offsets_added"] == 0


# ---- libraries that people read a run with


@pytest.mark.parametrize("name", RECIPES)
def test_polars_and_pandas_read(name: str, sample_runs: dict[str, Path]) -> None:
    import pandas
    import polars as pl

    run = sample_runs[name]
    present = [split for split in SPLITS if samples(run, split)]
    schema = pl.read_ndjson(run / f"{present[0]}.jsonl").schema
    assert schema["instruction"] == pl.String
    # A test set without answers has only empty lists, which have no type of their own: the train set's will do.
    frames = [pl.read_ndjson(run / f"{split}.jsonl", schema=schema) for split in present]
    for split, frame in zip(present, frames, strict=True):
        assert frame.to_dicts() == samples(run, split)
        read = pandas.read_json(run / f"{split}.jsonl", lines=True, dtype=False)
        assert read.to_dict("records") == samples(run, split)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_datasets_loads(
    name: str, sample_runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    run = sample_runs[name]
    if (run / "README.md").read_text(encoding="utf-8") == "TODO\n":
        pytest.skip("the card has no front matter yet")
    loaded = datasets.load_dataset(str(run), cache_dir=str(tmp_path / "cache"))
    assert {split: part.to_list() for split, part in loaded.items()} == {
        split: lines(run / f"{split}.jsonl") for split in SPLITS if samples(run, split)
    }
