"""Data sets of the hub, on folders laid out as such; what is out of reach is said in one line, and soon."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers import broken_promises, card, command, curate, lines, manifest, rejects, samples
from hub_by_hand import SHA, serve_hub

from curate.explain import explain
from curate.hub import Hub, fetch, parse_hub
from curate.recipefile import load_recipe
from curate.resources import sample_path
from curate.types import UserError

datasets = pytest.importorskip("datasets")

OFF = ["segment.as=off"]
SPLITS = {"train": 12, "validation": 5, "test": 4}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def review(split: str, n: int) -> str:
    return f"{split}的第{n}间房{'很好' if n % 2 else '太吵'}。"


def parquet_repo(folder: Path, names: list[str] | None = None, readme: str = "") -> Path:
    """Splits as Parquet files under data/, the label a ClassLabel of these names; test has no labels."""
    label = datasets.ClassLabel(names=names or ["负面", "正面"])
    features = datasets.Features({"review": datasets.Value("string"), "label": label})
    (folder / "data").mkdir(parents=True)
    for split, n in SPLITS.items():
        told = [-1 if split == "test" else i % 2 for i in range(n)]
        rows = datasets.Dataset.from_dict({"review": [review(split, i) for i in range(n)], "label": told}, features)
        rows.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    if readme:
        (folder / "README.md").write_text(f"---\n{readme}---\n\n# 酒店评论\n", encoding="utf-8")
    return folder


def told(run: Path) -> dict[str, list[tuple[str, str]]]:
    rows = {split: [row["meta"] for row in samples(run, split)] for split in SPLITS}
    return {split: [(meta["id"], meta["label"]) for meta in metas] for split, metas in rows.items()}


def test_parquet(tmp_path: Path) -> None:
    repo = parquet_repo(tmp_path / "hotel")
    run = curate("chnsenticorp", tmp_path / "run", f"hf:{repo}").path
    assert broken_promises(run, load_recipe("chnsenticorp")) == []
    assert told(run) == {
        split: [(f"chnsenticorp/{split}/{i:09d}", "" if split == "test" else str(i % 2)) for i in range(n)]
        for split, n in SPLITS.items()
    }
    entries = manifest(run)["sources"]
    assert [(e["split"], e["file"], e["reader"], e["rows"], e["hub"]) for e in entries] == [
        (split, f"{split}.jsonl", "rows", n, {"source": "hf:hotel", "split": split}) for split, n in SPLITS.items()
    ]
    assert card(run)["reproduce"] == "python -m curate recipe chnsenticorp --source hf:hotel"
    assert str(tmp_path) not in (run / "manifest.json").read_text("utf-8") + (run / "README.md").read_text("utf-8")


@pytest.mark.parametrize("names", [["负面", "正面"], ["0", "1"], ["negative", "positive"]])
def test_a_class_is_told_by_the_name_that_the_recipe_knows(names: list[str], tmp_path: Path) -> None:
    """By its number only where the recipe knows the numbers and not the names."""
    run = curate("chnsenticorp", tmp_path / "run", f"hf:{parquet_repo(tmp_path / 'hotel', names)}", overrides=OFF).path
    assert [label for _, label in told(run)["train"]] == [str(i % 2) for i in range(12)]


def test_a_name_comes_before_a_number(tmp_path: Path) -> None:
    repo = parquet_repo(tmp_path / "hotel", ["正面", "负面"])
    run = curate("chnsenticorp", tmp_path / "run", f"hf:{repo}", overrides=OFF).path
    assert [label for _, label in told(run)["train"]] == [str(1 - i % 2) for i in range(12)]


CONFIGS = """configs:
- config_name: small
  data_files:
  - {split: train, path: data/test-*}
- config_name: full
  data_files:
  - {split: train, path: data/train-*}
  - {split: dev, path: data/validation-*}
"""


def test_several_configs_must_be_named(tmp_path: Path) -> None:
    repo = parquet_repo(tmp_path / "hotel", readme=CONFIGS)
    for config in ("", ":none"):
        with pytest.raises(UserError, match=r"small.*full"):
            curate("chnsenticorp", tmp_path / "run", f"hf:{repo}{config}", overrides=OFF)
    run = curate("chnsenticorp", tmp_path / "run", f"hf:{repo}:full", overrides=OFF).path
    assert {split: n["read"] for split, n in manifest(run)["splits"].items()} == {"train": 12, "validation": 5}
    assert manifest(run)["sources"][1]["hub"] == {"source": "hf:hotel:full", "split": "dev"}
    assert "--source hf:hotel:full --set" in card(run)["reproduce"]


@pytest.mark.parametrize("name", ["lcqmc", "cmrc2018", "lccc", "ecdt"])
def test_the_corpus_in_its_own_layout_is_read_as_a_folder(name: str, tmp_path: Path) -> None:
    folder = sample_path(name)
    assert folder is not None
    hub = curate(name, tmp_path / "hub", f"hf:{folder}", overrides=OFF).path
    plain = curate(name, tmp_path / "plain", folder, overrides=OFF).path
    for split in SPLITS:
        assert samples(hub, split) == samples(plain, split)
    assert rejects(hub) == rejects(plain)
    expected = [{**entry, "hub": {"source": f"hf:{name}"}} for entry in manifest(plain)["sources"]]
    assert manifest(hub)["sources"] == expected


def test_csv(tmp_path: Path) -> None:
    """One file that is no split: its rows are train, as those of a single file are."""
    (tmp_path / "hotel").mkdir()
    rows = "".join(f'"{review("all", i)}",x,{i % 2}\n' for i in range(8))
    (tmp_path / "hotel" / "all.csv").write_text(f"评论,备注,情感\n{rows}", encoding="utf-8")
    overrides = [*OFF, "split.validation=0"]
    run = curate("chnsenticorp", tmp_path / "run", f"hf:{tmp_path / 'hotel'}", overrides=overrides).path
    assert told(run)["train"] == [(f"chnsenticorp/train/{i:09d}", str(i % 2)) for i in range(8)]


def squad_rows(folder: Path) -> Path:
    folder.mkdir()
    answers = {"text": ["甲城"], "answer_start": [0]}
    rows = [
        {"id": f"Q{i}", "context": f"甲城有{i}座桥。", "question": "哪里有桥？", "answers": answers} for i in range(6)
    ]
    for name in ("train", "dev", "extra"):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text.replace("甲城有", f"甲城{name}有"), encoding="utf-8")
    return folder


def test_nested_rows_and_splits_that_are_left_aside(tmp_path: Path) -> None:
    readme = "configs:\n- config_name: default\n  data_files:\n" + "".join(
        f"  - {{split: {name}, path: {name}.jsonl}}\n" for name in ("train", "dev", "extra")
    )
    repo = squad_rows(tmp_path / "cmrc")
    (repo / "README.md").write_text(f"---\n{readme}---\n", encoding="utf-8")
    result = curate("cmrc2018", tmp_path / "run", f"hf:{repo}", overrides=OFF)
    assert {split: n["read"] for split, n in result.manifest["splits"].items()} == {"train": 6, "validation": 6}
    assert result.notes == ["left aside: hf:cmrc (extra)"]
    assert result.manifest["ignored_files"] == ["hf:cmrc (extra)"]
    assert samples(result.path, "train")[0]["meta"]["source_id"] == "Q0"


def test_one_split_of_a_data_set(tmp_path: Path) -> None:
    repo = parquet_repo(tmp_path / "hotel")
    run = curate("chnsenticorp", tmp_path / "run", f"validation=hf:{repo}", overrides=OFF).path
    assert {split: n["read"] for split, n in manifest(run)["splits"].items()} == {"validation": 5}
    assert "--source validation=hf:hotel --set" in card(run)["reproduce"]
    repo = squad_rows(tmp_path / "cmrc")
    with pytest.raises(UserError, match="has no split test, only train, validation"):
        fetch(Hub("x", folder=repo, split="test", config="default"), load_recipe("cmrc2018"), tmp_path / "w")


def test_the_fingerprint_follows_the_rows(tmp_path: Path) -> None:
    runs = [curate("chnsenticorp", tmp_path / "run", f"hf:{parquet_repo(tmp_path / 'a' / 'hotel')}", overrides=OFF)]
    again = curate("chnsenticorp", tmp_path / "run", f"hf:{parquet_repo(tmp_path / 'b' / 'hotel')}", overrides=OFF)
    assert (again.status, again.fingerprint) == ("up to date", runs[0].fingerprint)
    other = parquet_repo(tmp_path / "c" / "hotel", ["正面", "负面"])
    with pytest.raises(UserError, match="holds another run"):
        curate("chnsenticorp", tmp_path / "run", f"hf:{other}", overrides=OFF)


def test_explain_reads_the_data_set_again(tmp_path: Path) -> None:
    repo = parquet_repo(tmp_path / "hotel")
    run = curate("chnsenticorp", tmp_path / "run", f"hf:{repo}", overrides=OFF).path
    assert re.search(rf"read +text: {review('train', 3)}", explain(run, "train/3"))
    (repo / "data").rename(tmp_path / "gone")
    assert "not read again" in explain(run, "train/3")


# ---- names, and what is not there


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hub", Hub("owner/own")),
        ("hf:owner/name", Hub("owner/name")),
        ("hf:name", Hub("name")),
        ("hf:owner/name@v1.0", Hub("owner/name", "v1.0")),
        ("hf:owner/name:小", Hub("owner/name", config="小")),
        ("hf:owner/name@refs/convert/parquet:a:b", Hub("owner/name", "refs/convert/parquet", "a:b")),
    ],
)
def test_names(text: str, expected: Hub) -> None:
    hub = parse_hub(text, None, "owner/own")
    assert hub == expected
    assert text == "hub" or hub.words() == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hub", "names no data set of the hub; give its name"),
        ("hf:", "is no name of a data set"),
        ("hf:@v1", "is no name of a data set"),
        ("hf:./none", "there is no such folder"),
        ("hf:a/b/c", "there is no such folder"),
        ("hf:FOLDER@v1", "a folder has no revisions"),
        ("hf:FILE", "is a file; give it as it is"),
    ],
)
def test_wrong_names(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("甲", encoding="utf-8")
    text = text.replace("FOLDER", str(tmp_path)).replace("FILE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=says) as caught:
        parse_hub(text, None, None)
    assert len(caught.value.messages) == 1


def test_without_datasets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("curate.hub.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "jingtiao\[datasets\]".*--source PATH'):
        curate("lcqmc", tmp_path / "run", "hf:owner/name")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("why", [{"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}])
def test_a_hub_out_of_reach(why: dict[str, str], tmp_path: Path) -> None:
    words = ("recipe", "cmrc2018", "--source", "hub", "--out", "run")
    done = command(*words, cwd=tmp_path, env=why)
    assert done.returncode == 2
    (line,) = done.stderr.strip().split("\n")
    assert line.startswith("error: hf:hfl/cmrc2018: the hub can't be reached")
    assert "HF_ENDPOINT" in line and "--source PATH" in line
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "train.bin").write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match="hf:x: can't be read as a data set") as caught:
        curate("chnsenticorp", tmp_path / "run", f"hf:{tmp_path / 'x'}")
    assert len(caught.value.messages) == 1


def test_rows_are_written_by_name(tmp_path: Path) -> None:
    """What passes between datasets and the reader: every value as it was, the class by its name."""
    fetched = fetch(Hub("x", folder=parquet_repo(tmp_path / "hotel")), load_recipe("chnsenticorp"), tmp_path / "work")
    rows: dict[str, list[Any]] = {path.stem: lines(path) for _, path in fetched.parts}
    assert rows["train"] == [{"review": review("train", i), "label": ["负面", "正面"][i % 2]} for i in range(12)]
    assert {row["label"] for row in rows["test"]} == {None}


# ---- a hub of our own


def over_http(folder: Path, cwd: Path, *sources: str) -> tuple[int, str]:
    """`curate recipe chnsenticorp` with these sources in a child that knows only a hub with this folder's files."""
    with serve_hub(folder) as address:
        words = ["recipe", "chnsenticorp", "--out", "run", "--set", "segment.as=off", "--force"]
        for source in sources:
            words += ["--source", source]
        env = {"HF_ENDPOINT": address, "HF_HOME": str(cwd / "home"), "HF_HUB_OFFLINE": "0"}  # other tests set it
        done = command(*words, cwd=cwd, env=env)
    return done.returncode, done.stderr


def test_a_repository_in_the_corpus_layout(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    for name, n in (("train", 9), ("dev", 3)):
        rows = "".join(f"{i % 2}\t{review(name, i)}\n" for i in range(n))
        (repo / f"{name}.tsv").write_text(f"label\ttext_a\n{rows}", encoding="utf-8")
    for name in ("README.md", "notes.txt", ".gitattributes"):
        (repo / name).write_text("甲\n", encoding="utf-8")
    assert over_http(repo, tmp_path, "hf:owner/name@v1") == (0, "")
    run = tmp_path / "run"
    said = manifest(run)
    assert [(e["file"], e["reader"], e["rows"]) for e in said["sources"]] == [
        ("train.tsv", "table", 9),
        ("dev.tsv", "table", 3),
    ]
    # The revision is the commit that v1 was, in whatever is written down.
    assert {e["hub"]["source"] for e in said["sources"]} == {f"hf:owner/name@{SHA}"}
    assert said["ignored_files"] == ["README.md", "notes.txt"]
    assert f"--source hf:owner/name@{SHA} --set" in card(run)["reproduce"]
    assert json.loads((run / "local.json").read_text("utf-8"))["sources"] == [f"hf:owner/name@{SHA}"]


def test_a_repository_of_parquet_files(tmp_path: Path) -> None:
    assert over_http(parquet_repo(tmp_path / "repo"), tmp_path, "hf:owner/name") == (0, "")
    entries = manifest(tmp_path / "run")["sources"]
    assert [(e["split"], e["rows"], e["hub"]) for e in entries] == [
        (split, n, {"source": f"hf:owner/name@{SHA}", "split": split}) for split, n in SPLITS.items()
    ]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("hf:owner/other", "there is no such data set on the hub, or it is private (then set HF_TOKEN)"),
        ("hf:owner/name@v2", "has no revision 'v2'"),
    ],
)
def test_what_the_hub_does_not_have(source: str, says: str, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    assert over_http(repo, tmp_path, source) == (2, f"error: {source}: {says}\n")
