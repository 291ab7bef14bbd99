"""Mixtures against a recount in plain Python; same in, same out; and everything that can be wrong with the parts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from contract import check_run
from helpers import RECIPES, SPLITS, card, command, curate, differing, manifest, recipe_file, rejects, samples, tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mixed import Recount, mix, mixture_file, small_run

from curate.card import write_card
from curate.explain import explain
from curate.mixture import order
from curate.resources import mixture_path
from curate.run import check_run as check_hashes
from curate.types import UserError


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run of every recipe's built-in sample."""
    folder = tmp_path_factory.mktemp("runs")
    return {name: curate(name, folder / name).path for name in RECIPES}


def parts_of(runs: dict[str, Path], **options: Any) -> dict[str, Any]:
    return {name: {"run": str(path), **options.get(name.replace("-", "_"), {})} for name, path in runs.items()}


#: what a mixture of the samples says of its parts, and of the whole
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "everything": ({}, {}),
    "caps": ({"lcqmc": {"cap": 20}, "drcd": {"cap": 7}, "bq": {"cap": 10_000}}, {}),
    "temperature": ({}, {"temperature": 2}),
    "temperature, cap": ({"lcqmc": {"cap": 30}}, {"temperature": 1.5}),
    "temperature, total": ({"lcsts": {"cap": 5}}, {"temperature": 3, "total": 2_000}),
    "small total": ({}, {"temperature": 1, "total": 10}),
    "weights": ({name.replace("-", "_"): {"weight": 1 + place % 3} for place, name in enumerate(RECIPES)}, {}),
    "weights, total": (
        {name.replace("-", "_"): {"weight": place % 4} for place, name in enumerate(RECIPES)},
        {"total": 3_333},
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_recount(way: str, runs: dict[str, Path], tmp_path: Path) -> None:
    options, fields = WAYS[way]
    path = mixture_file(tmp_path, parts_of(runs, **options), **fields)
    run = mix(path, tmp_path / "run").path
    recount = Recount(runs, {name.replace("_", "-"): option for name, option in options.items()}, **fields)
    assert recount.broken(run) == []
    assert check_hashes(run) == []
    corpora = manifest(run)["mixture"]["corpora"]
    repeats = sum(corpus["repeats"] for corpus in corpora.values())
    assert (repeats > 0) == (way in ("temperature, total", "weights, total"))
    for split in SPLITS:  # whole, whatever is asked of train
        if split != "train":
            assert len(samples(run, split)) == sum(len(samples(path, split)) for path in runs.values())


def test_a_seed_chooses_others(runs: dict[str, Path], tmp_path: Path) -> None:
    path = mixture_file(tmp_path, parts_of(runs, lcqmc={"cap": 50}))
    one, other = (mix(path, tmp_path / str(seed), seed=seed).path for seed in (0, 1))
    assert Recount(runs, {"lcqmc": {"cap": 50}}, seed=1).broken(other) == []
    assert (one / "validation.jsonl").read_bytes() == (other / "validation.jsonl").read_bytes()
    assert (one / "train.jsonl").read_bytes() != (other / "train.jsonl").read_bytes()


# ---- what stands in two corpora

PIECES = ["好", "好！", "Ａ", "a", "1"]
texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=2).map("".join)
pairs = st.lists(st.tuples(texts, texts, st.sampled_from("01")), max_size=6)
splits = st.fixed_dictionaries({"train": pairs, "validation": pairs, "test": pairs})
corpora = st.dictionaries(st.sampled_from(["one", "two", "three"]), splits, min_size=2, max_size=3)
steps = st.sampled_from([["normalise"], ["normalise", "exact_dedup", "leak_check"]])
few = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@few
@given(corpora, steps, st.sampled_from([{}, {"temperature": 2}, {"temperature": 2, "total": 9}]))
def test_random_corpora(corpora: Any, steps: list[Any], fields: dict[str, Any]) -> None:
    """Duplicates, conflicts and leaks across corpora, with and without such within them."""
    corpora = {name: corpus for name, corpus in corpora.items() if any(corpus.values())}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        runs = {name: small_run(folder, name, "pair", steps, corpus) for name, corpus in corpora.items()}
        if not any(samples(path, split) for path in runs.values() for split in SPLITS):
            return
        recount = Recount(runs, {}, **fields)
        path = mixture_file(folder, parts_of(runs), **fields)
        if not any(recount.available.values()) and "total" in fields:
            with pytest.raises(UserError, match="no part has a row of train"):
                mix(path, folder / "run")
            return
        assert recount.broken(mix(path, folder / "run").path) == []


def overlapping(folder: Path) -> dict[str, Path]:
    one = {
        "train": [("甲", "乙", "1"), ("丙", "丁", "0"), ("戊", "己", "1"), ("庚", "辛", "1"), ("一", "二", "0")],
        "validation": [("子", "丑", "1"), ("寅", "卯", "0")],
    }
    two = {
        "train": [("乙！", "甲", "1"), ("丙", "丁", "1"), ("子", "丑", "1"), ("三", "四", "0"), ("三", "四", "0")],
        "validation": [("戊", "己", "1")],
        "test": [("寅", "卯", "0")],
    }
    return {
        name: small_run(folder, name, "pair", ["normalise"], corpus) for name, corpus in (("one", one), ("two", two))
    }


def test_worked_example(tmp_path: Path) -> None:
    """Each judgement once, by hand; what two's own recipe let stand twice is left to it."""
    runs = overlapping(tmp_path)
    run = mix(mixture_file(tmp_path, parts_of(runs)), tmp_path / "run").path
    assert check_run(run) == []
    assert {(row["id"], row["step"], row["reason"], row["kept_id"]) for row in rejects(run)} == {
        ("two/train/000000000", "exact_dedup", "in_other_corpus", "one/train/000000000"),
        ("one/train/000000001", "label_conflict", "conflicting_labels", None),
        ("two/train/000000001", "label_conflict", "conflicting_labels", None),
        ("two/train/000000002", "leak_check", "in_validation", "one/validation/000000000"),
        ("one/train/000000002", "leak_check", "in_validation", "two/validation/000000000"),
    }
    assert all(set(row["fields"]) == {"instruction", "input", "output"} for row in rejects(run))
    flags = {row["meta"]["id"]: row["meta"]["flags"] for split in SPLITS for row in samples(run, split)}
    assert {name: flag for name, flag in flags.items() if flag} == {
        "one/validation/000000000": "leak_check:in_train",
        "one/validation/000000001": "leak_check:in_test",
        "two/validation/000000000": "leak_check:in_train",
    }
    assert sum(name.startswith("two/train") for name in flags) == 2
    assert card(run)["across"] == {
        "before": {
            "duplicates": {"one": {"two": 2}, "two": {"one": 2}},
            "leaks": {"one": {"two": 1}, "two": {"one": 1}},
        },
        "after": {"duplicates": {}, "leaks": {}},
    }
    text = explain(run, "two/train/000000000")
    assert "by exact_dedup: in_other_corpus" in text and "one/train/000000000, written to train.jsonl" in text
    assert f"python -m curate explain {runs['two']} two/train/000000000" in text
    assert "two/train/000000000, rejected by exact_dedup" in explain(run, "one/train/000000000")


def test_a_row_nobody_compared_stands_for_itself(tmp_path: Path) -> None:
    text = "这家酒店的早餐很丰盛，服务员也非常热情周到，下次来还会住这里"
    near = small_run(tmp_path, "near", "classification", ["near_dedup"], {"train": [(text, "1"), (text + "的", "1")]})
    far = small_run(tmp_path, "far", "classification", [], {"train": [("房间太小，隔音也差", "0")]})
    path = mixture_file(tmp_path, {"near": {"run": str(near)}, "far": {"run": str(far)}})
    mix(path, tmp_path / "out")
    assert check_run(tmp_path / "out") == []
    sizes = {row["meta"]["corpus"]: row["meta"]["cluster_size"] for row in samples(tmp_path / "out", "train")}
    assert sizes == {"far": 1, "near": 2}


def test_other_labels_are_no_conflict(tmp_path: Path) -> None:
    """Whose words for the labels differ asks another question: no contradiction, but still a duplicate."""
    rows = {"train": [("甲", "乙", "1")]}
    one = small_run(tmp_path, "one", "pair", ["normalise"], rows)
    recipe = recipe_file(tmp_path / "r", "pair", ["normalise"], name="two", labels={"0": "不能推出", "1": "能推出"})
    (tmp_path / "train.tsv").write_text("text_a\ttext_b\tlabel\n甲\t乙\t0\n", encoding="utf-8")
    two = curate(recipe, tmp_path / "two", tmp_path / "train.tsv").path
    run = mix(mixture_file(tmp_path, parts_of({"one": one, "two": two})), tmp_path / "run").path
    assert [(row["id"], row["step"]) for row in rejects(run)] == [("two/train/000000000", "exact_dedup")]


def test_the_same_row_in_two_runs(runs: dict[str, Path], tmp_path: Path) -> None:
    """A part of a corpus beside all of it: each row counts once, whatever template it has; the ids stay unique."""
    some = curate("lcqmc", tmp_path / "some", limit=50, seed=3).path
    both = {"a": some, "lcqmc": runs["lcqmc"]}
    run = mix(mixture_file(tmp_path, parts_of(both), temperature=1, total=600), tmp_path / "run").path
    assert Recount(both, {}, temperature=1, total=600).broken(run) == []
    steps = Counter(row["step"] for row in rejects(run))
    assert steps["same_id"] == sum(len(samples(some, split)) for split in SPLITS) - sum(
        row["meta"]["id"] not in {r["meta"]["id"] for s in SPLITS for r in samples(runs["lcqmc"], s)}
        for split in SPLITS
        for row in samples(some, split)
    )


def test_the_same_id_for_another_text(tmp_path: Path) -> None:
    rows = {"train": [("甲", "乙", "1"), ("丙", "丁", "0")]}
    (tmp_path / "x").mkdir()
    one = small_run(tmp_path, "own", "pair", ["normalise"], rows)
    other = small_run(tmp_path / "x", "own", "pair", ["normalise"], {"train": [("甲", "乙", "1"), ("丙", "戊", "0")]})
    path = mixture_file(tmp_path, parts_of({"one": one, "two": other}))
    with pytest.raises(UserError) as raised:
        mix(path, tmp_path / "run")
    assert raised.value.messages == [
        "parts one and two: both have own/train/000000001, with another text or label (1 such rows); a row's id must "
        "mean one text: mix one of the two runs, or give one recipe another name"
    ]
    assert not (tmp_path / "run").exists()


# ---- same in, same out


def test_bytes_do_not_depend_on(runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mixture_file(tmp_path, parts_of(runs, lcqmc={"cap": 50}), temperature=2, total=900)
    first = mix(path, tmp_path / "first").path
    assert differing(first, mix(path, tmp_path / "again", workers=3).path) == []
    monkeypatch.setattr(order, "BLOCK", 2_000)  # less than some lines are long
    assert differing(first, mix(path, tmp_path / "blocks").path) == []
    env = {"PYTHONHASHSEED": "4242", "TZ": "Asia/Shanghai", "LC_ALL": "C"}
    done = command("mix", path, "--out", tmp_path / "child", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert differing(first, tmp_path / "child") == []


def test_the_order_of_the_parts_shows_in_no_sample(tmp_path: Path) -> None:
    runs = overlapping(tmp_path)
    one, other = (
        mix(mixture_file(tmp_path / name, dict(order)), tmp_path / name / "run").path
        for name, order in (("a", list(parts_of(runs).items())), ("b", list(parts_of(runs).items())[::-1]))
    )
    told = {"manifest.json", "README.md", "card.json", "card.html", "figures/shares.svg"}
    assert set(differing(one, other)) <= told  # they name the file's hash, and list the corpora in its order
    assert manifest(one)["mixture"] == manifest(other)["mixture"]


def test_tune(tmp_path: Path) -> None:
    """What the mixture says, then the largest length of the parts and what all of them say alike."""
    said = {
        "a": {"max_length": 256, "method": "lora", "epochs": 3, "seed": 1},
        "b": {"max_length": 2048, "method": "lora", "epochs": 2},
        "c": {"method": "lora", "seed": 1},
    }
    runs = {}
    for name, tune in said.items():
        recipe = recipe_file(tmp_path / f"{name}-recipe", "classification", [], name=name, tune=tune)
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.tsv").write_text(f"text\tlabel\n{name}\t1\n", encoding="utf-8")
        runs[name] = curate(recipe, tmp_path / f"{name}-run", tmp_path / name).path

    def told(folder: str, names: str, **fields: Any) -> Any:
        path = mixture_file(tmp_path / folder, parts_of({name: runs[name] for name in names}), **fields)
        return manifest(mix(path, tmp_path / folder / "run").path)["tune"]

    assert told("abc", "abc") == {"max_length": 2048, "method": "lora"}
    assert told("ab", "ab") == {"max_length": 2048, "method": "lora"}
    assert told("c", "c") == said["c"]
    assert told("own", "abc", tune={"max_length": 512, "epochs": 1}) == {
        "max_length": 512,
        "method": "lora",
        "epochs": 1,
    }


def test_a_finished_mixture_is_left_alone(tmp_path: Path) -> None:
    runs = overlapping(tmp_path)
    path = mixture_file(tmp_path, parts_of(runs))
    run = mix(path, tmp_path / "run")
    whole = tree(run.path)
    assert (run.status, mix(path, tmp_path / "run").status) == ("written", "up to date")
    with pytest.raises(UserError, match="holds another run"):
        mix(path, tmp_path / "run", seed=1)
    assert tree(run.path) == whole
    assert mix(path, tmp_path / "run", seed=1, force=True).status == "written"


# ---- what can be wrong


def wrong(path: Path, folder: Path, **options: Any) -> list[str]:
    before = sorted(folder.rglob("*"))
    with pytest.raises(UserError) as raised:
        mix(path, folder / "out", **options)
    assert sorted(folder.rglob("*")) == before
    return raised.value.messages


def test_missing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parts = {"lcqmc": None, "lcmqc": None, "bq": {"run": "elsewhere/bq"}, "x": {"run": "own"}}
    Path("own").mkdir()
    path = mixture_file(tmp_path, parts)
    assert wrong(path, tmp_path) == [
        "part bq: no run at elsewhere/bq; `python -m curate recipe bq --source PATH --out elsewhere/bq` makes it",
        "part lcmqc: no run at runs/lcmqc; `python -m curate recipe RECIPE --source PATH` makes it; did you mean "
        "'lcqmc'?",
        "part lcqmc: no run at runs/lcqmc; `python -m curate recipe lcqmc --source PATH` makes it",
        "own: not a run folder (no readable manifest.json); name a folder that curate wrote",
    ]
    assert wrong(path, tmp_path, samples=True) == [
        "part bq: names the run elsewhere/bq; --samples is for mixtures of shipped recipes",
        "part lcmqc: is no shipped recipe with a built-in sample; did you mean 'lcqmc'?",
        "part x: names the run own; --samples is for mixtures of shipped recipes",
    ]


def test_runs_that_cannot_be_mixed(tmp_path: Path) -> None:
    runs = overlapping(tmp_path)
    mixed = mix(mixture_file(tmp_path, parts_of(runs)), tmp_path / "mixed").path
    old = tmp_path / "old"
    shutil.copytree(runs["one"], old)
    said = manifest(old)
    (old / "manifest.json").write_text(json.dumps({k: v for k, v in said.items() if k != "files"}), encoding="utf-8")
    (runs["two"] / "train.jsonl").write_text("", encoding="utf-8")
    path = mixture_file(
        tmp_path, parts_of({"a": mixed, "b": old, "c": runs["two"], "d": runs["one"], "e": runs["one"]})
    )
    assert wrong(path, tmp_path) == [
        f"part a: {mixed} is a mixture; name its parts instead",
        f"part b: {old} has no keys.parquet (an older version wrote it); curate it again with --force",
        f"part c: {runs['two'] / 'train.jsonl'} is missing or was changed; curate it again with --force",
        f"parts d and e: both are the run {runs['one']}; keep one of them",
    ]


@pytest.mark.parametrize("name", ["train.jsonl", "keys.parquet"])
@pytest.mark.parametrize("byte", [b"{", b"\n", b"9"])
def test_a_changed_run(name: str, byte: bytes, tmp_path: Path) -> None:
    """A byte of the same size: found while reading, at the latest when all is read; nothing is left behind."""
    runs = overlapping(tmp_path)
    data = (runs["two"] / name).read_bytes()
    (runs["two"] / name).write_bytes(data[:90] + byte + data[91:])
    (message,) = wrong(mixture_file(tmp_path, parts_of(runs)), tmp_path)
    assert message.startswith("part two: ") and message.endswith(
        "was changed after it was written; curate it again with --force"
    )


def test_weight_without_rows(tmp_path: Path) -> None:
    one = small_run(tmp_path, "one", "pair", ["normalise"], {"train": [("甲", "乙", "1")]})
    two = small_run(tmp_path, "two", "pair", ["normalise"], {"validation": [("丙", "乙", "1")]})
    runs = {"one": one, "two": two}
    path = mixture_file(tmp_path, parts_of(runs, one={"weight": 1}, two={"weight": 1}))
    assert wrong(path, tmp_path) == [
        "part two: has no row of train to give; 'weight: 0' takes its evaluation rows only"
    ]
    path = mixture_file(tmp_path, parts_of(runs, one={"weight": 1}, two={"weight": 0}), total=5)
    run = mix(path, tmp_path / "run").path
    assert [row["meta"]["id"][-2:] for row in samples(run, "train")] == ["00", "~1", "~2", "~3", "~4"]
    assert len(samples(run, "validation")) == 1 and check_run(run) == []
    assert "~1, ~2, ~3, ~4" in explain(run, "one/train/000000000")
    assert explain(run, "one/train/000000000~2").startswith("one/train/000000000~2\n  kept")


def test_killed_midway(runs: dict[str, Path], tmp_path: Path) -> None:
    """kill -9 leaves no run in the place, and the next mixture clears what was left beside it."""
    path = mixture_file(tmp_path, parts_of(runs), temperature=1, total=400_000)
    child = subprocess.Popen([sys.executable, "-m", "curate", "mix", path, "--out", "run"], cwd=tmp_path)
    while child.poll() is None and not (tmp_path / ".run.work" / "run" / "train.jsonl").exists():
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (tmp_path / "run").exists() and (tmp_path / ".run.work").exists()
    run = mix(mixture_file(tmp_path, parts_of(runs)), tmp_path / "run").path
    assert check_run(run) == [] and not (tmp_path / ".run.work").exists()
    assert differing(run, mix(mixture_file(tmp_path, parts_of(runs)), tmp_path / "undisturbed").path) == []


# ---- the command line, and what others read


def test_samples_from_nothing(tmp_path: Path, runs: dict[str, Path]) -> None:
    """A new user's first mixture: the sample runs are made, and said; the second call finds everything done."""
    done = command("mix", "all", "--samples", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.split("\n") if line.startswith("curating")]
    assert told == [f"curating the built-in sample of {name}" for name in sorted(RECIPES)]
    assert differing(tmp_path / "runs" / "lcqmc-sample", runs["lcqmc"]) == []
    run = tmp_path / "runs" / "all-sample"
    assert check_run(run) == []
    again = command("mix", "all", "--samples", "--json", cwd=tmp_path)
    said = json.loads(again.stdout)
    assert (said["status"], said["path"]) == ("up to date", "runs/all-sample")
    assert command("validate", "runs/all-sample", cwd=tmp_path).stdout == "runs/all-sample: ok\n"
    assert command("validate", mixture_path("all"), cwd=tmp_path).stdout.endswith("a mixture of 13 parts)\n")
    assert "python -m curate mix all --samples" in (run / "README.md").read_text(encoding="utf-8")
    done = command("explain", "runs/all-sample", "lcqmc/train/999999999", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("error: runs/all-sample: has no row")


def test_the_card(runs: dict[str, Path], tmp_path: Path) -> None:
    """Drawn again from card.json it is the same; without rows it holds no text of any corpus; both languages work."""
    run = mix(mixture_file(tmp_path, parts_of(runs), temperature=2, total=900), tmp_path / "run").path
    before = (run / "README.md").read_text(encoding="utf-8")
    write_card(run)
    assert (run / "README.md").read_text(encoding="utf-8") == before
    write_card(run, "en")
    english = (run / "README.md").read_text(encoding="utf-8")
    assert "The shares of train" in english and "训练集的构成" in before
    done = command("card", "run", "--no-rows", "--out", "bare", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    bare = "".join((tmp_path / "bare" / name).read_text(encoding="utf-8") for name in ("README.md", "card.json"))
    texts = {row[part] for split in SPLITS for row in samples(run, split) for part in ("instruction", "input")}
    assert not any(text in bare for text in texts if len(text) > 12)
    for name, corpus in card(run)["mixture"]["corpora"].items():
        rows = [row for split in SPLITS for row in samples(run, split) if row["meta"]["corpus"] == name]
        assert sum(corpus["rows"].values()) == len(rows)
        assert corpus["lengths"]["output"]["max"] == max(len(row["output"]) for row in rows)
        assert Counter(row["meta"]["label"] for row in rows if row["meta"]["label"]) == sum(
            (Counter({key: n for key, n in labels.items() if key}) for labels in corpus["label_rows"].values()),
            Counter(),
        )


@pytest.mark.slow
def test_datasets_loads(runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    run = mix(mixture_file(tmp_path, parts_of(runs)), tmp_path / "run").path
    loaded = datasets.load_dataset(str(run), cache_dir=str(tmp_path / "cache"))
    assert {split: part.to_list() for split, part in loaded.items()} == {
        split: samples(run, split) for split in SPLITS if samples(run, split)
    }


@pytest.mark.slow
def test_types_told_by_the_beginning_of_a_file(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without types given, `datasets` takes them from the first 10 MB: a list that is empty there stays so.

    One large corpus has no list, and small ones, last by name, have one each.
    """
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    text = "山水之间有人家" * 500
    rows = {split: [(f"{split}{n}{text}", str(n % 2)) for n in range(1_200)] for split in ("train", "validation")}
    large = small_run(tmp_path, "large", "classification", [], rows)  # type: ignore[arg-type]
    others = {f"z-{name}": runs[name] for name in ("cmrc2018", "ecdt", "lccc")}
    path = mixture_file(tmp_path, parts_of({"large": large, **others}))
    run = mix(path, tmp_path / "run", formats=["sharegpt", "messages"]).path
    for split in ("train", "validation"):
        assert (run / f"{split}.jsonl").stat().st_size > 12_000_000
        assert any(row["meta"]["slots"] for row in samples(run, split)) == (split == "train")
    for pattern in ("{}.jsonl", "formats/{}.sharegpt.jsonl", "formats/{}.messages.jsonl"):
        for split in SPLITS:
            file = run / pattern.format(split)
            loaded = datasets.load_dataset("json", data_files=str(file), cache_dir=str(tmp_path / "cache"))["train"]
            ids = [row["meta"]["id"] for row in samples(run, split) if row["output"] or pattern == "{}.jsonl"]
            assert [meta["id"] for meta in loaded["meta"]] == ids


# ---- the real corpora


def test_lcqmc_and_bq(corpora: Path, tmp_path: Path) -> None:
    runs = {
        name: curate(name, tmp_path / name, *files, overrides=["segment.as=off"], workers=2).path
        for name, files in {
            "lcqmc": [f"train={corpora / 'lcqmc/dev.txt'}"],
            "bq": [f"train={corpora / 'bq/dev.tsv'}"],
        }.items()
    }
    path = mixture_file(tmp_path, parts_of(runs), temperature=2)
    run = mix(path, tmp_path / "run").path
    assert Recount(runs, {}, temperature=2).broken(run) == []


def test_chnsenticorp_and_htl_all(corpora: Path, tmp_path: Path) -> None:
    """The hotel reviews of the one are among those of the other: nearly half of its texts."""
    htl = tmp_path / "htl.yaml"
    text = (mixture_path("all").parent.parent / "chnsenticorp.yaml").read_text(encoding="utf-8")
    htl.write_text(text.replace("name: chnsenticorp", "name: htl"), encoding="utf-8")
    folder, off = corpora / "chnsenticorp", ["segment.as=off"]
    runs = {
        "chnsenticorp": curate("chnsenticorp", tmp_path / "chnsenticorp", folder, overrides=off).path,
        "htl": curate(htl, tmp_path / "htl", folder / "ChnSentiCorp_htl_all.csv", overrides=off).path,
    }
    run = mix(mixture_file(tmp_path, parts_of(runs)), tmp_path / "run").path
    assert Recount(runs, {}).broken(run) == []
    shared = card(run)["across"]["before"]["duplicates"]["htl"]["chnsenticorp"]
    assert shared > 1_000
    assert card(run)["across"]["after"] == {"duplicates": {}, "leaks": {}}


# ---- the contract


def _edit(run: Path, change: Any) -> list[str]:
    said = manifest(run)
    change(said)
    (run / "manifest.json").write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
    return check_run(run)


#: what breaks a mixture's manifest, and a piece of the line that must say so
BROKEN: dict[str, tuple[Any, str]] = {
    "total": (lambda m: m["mixture"].update(total=3), "manifest.mixture: total is 3"),
    "written": (lambda m: m["mixture"]["corpora"]["one"].update(written=1), "one: written is 1, the rows say 3"),
    "asked": (lambda m: m["mixture"]["corpora"]["two"].update(asked=0.9), "two: 2 rows, asked were"),
    "order": (
        lambda m: m["mixture"].update(corpora=dict(reversed(m["mixture"]["corpora"].items()))),
        "order of their",
    ),
    "metrics": (lambda m: m.update(metrics=["f1"]), "manifest.metrics must be"),
    "task": (lambda m: m["mixture"]["corpora"]["one"].update(task="mrc"), "meta.task is 'pair'"),
    "files": (lambda m: m["files"][0].update(bytes=1), "manifest.files: keys.parquet: bytes is"),
    "none": (lambda m: m.update(task="pair"), "manifest.mixture: this run is none"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_mixture_is_found(name: str, tmp_path: Path) -> None:
    run = mix(mixture_file(tmp_path, parts_of(overlapping(tmp_path))), tmp_path / "run").path
    change, piece = BROKEN[name]
    assert any(piece in line for line in _edit(run, change))


def test_rows_out_of_place_are_found(tmp_path: Path) -> None:
    run = mix(mixture_file(tmp_path, parts_of(overlapping(tmp_path))), tmp_path / "run").path
    lines = (run / "train.jsonl").read_bytes().split(b"\n")[:-1]
    assert [json.loads(line)["meta"]["corpus"] for line in lines] == ["one", "two", "one", "two", "one"]
    (run / "train.jsonl").write_bytes(b"\n".join([*lines[::2], *lines[1::2], b""]))
    assert any("train.jsonl: row k of a corpus's n must stand at k/n" in line for line in check_run(run))
