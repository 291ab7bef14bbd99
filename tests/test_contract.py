"""The golden run folders keep the contract, every planted breakage is found, the usual libraries read the folders."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract import check_run
from contract_files import front_matter

from curate.formatting.features import hf_features

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("pair", "mrc", "dialogue")
ROWS = {"pair": (16, 6, 4), "mrc": (12, 6, 4), "dialogue": (12, 6, 4)}
SPLITS = ("train", "validation", "test")

Rows = list[dict[str, Any]]


def lines(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


# ---- breaking a folder on purpose


def edit_rows(name: str, change: Callable[[Rows], Any], *, sealed: bool = True) -> Callable[[Path], None]:
    """Change the rows of a file; `sealed` brings manifest.outputs along, so that only the planted breakage is left."""

    def breakage(run: Path) -> None:
        rows = lines(run / name)
        change(rows)
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")
        (run / name).write_bytes(data)
        if sealed:
            seal(run, name, data, len(rows))

    return breakage


def seal(run: Path, name: str, data: bytes, rows: int) -> None:
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    for output in manifest["outputs"]:
        if output["file"] == name:
            output.update(rows=rows, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    (run / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")


def edit_json(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def breakage(run: Path) -> None:
        value = json.loads((run / name).read_text(encoding="utf-8"))
        change(value)
        (run / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")

    return breakage


def edit_text(name: str, old: str, new: str) -> Callable[[Path], None]:
    def breakage(run: Path) -> None:
        text = (run / name).read_text(encoding="utf-8")
        assert old in text
        (run / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return breakage


def reordered(rows: Rows) -> None:
    rows[0] = {key: rows[0][key] for key in ("input", "instruction", "output", "meta")}


def unlabelled(rows: Rows) -> None:
    rows[0]["output"] = ""
    rows[0]["meta"].update(label="", labelled=False)


def step_entry(entries: Rows, step: str, split: str = "train") -> dict[str, Any]:
    return next(entry for entry in entries if entry["step"] == step and entry["split"] == split)


def step_count(entries: Rows, step: str, key: str, value: Any) -> None:
    step_entry(entries, step)[key] = value


def manifest(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return edit_json("manifest.json", change)


def train(change: Callable[[Rows], Any]) -> Callable[[Path], None]:
    return edit_rows("train.jsonl", change)


def rejected(change: Callable[[Rows], Any]) -> Callable[[Path], None]:
    return edit_rows("rejected.jsonl", change)


#: name -> (golden folder, what breaks it, a piece of the line that must name it)
BREAKAGES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "byte changed": ("pair", edit_text("train.jsonl", "绿萝", "吊兰"), "outputs: train.jsonl: sha256 is"),
    "row removed": (
        "pair",
        edit_rows("test.jsonl", lambda r: r.pop(), sealed=False),
        "outputs: test.jsonl: rows is 3",
    ),
    "output gone": ("mrc", lambda run: (run / "test.jsonl").unlink(), "test.jsonl: no such file"),
    "split file without rows": (
        "mrc",
        edit_rows("test.jsonl", lambda rows: rows.clear()),
        "test.jsonl: a split without rows has no file",
    ),
    "output unlisted": ("mrc", manifest(lambda m: m["outputs"].pop(0)), "train.jsonl is not listed"),
    "manifest gone": ("mrc", lambda run: (run / "manifest.json").unlink(), "manifest.json: missing"),
    "line cut": ("mrc", edit_text("test.jsonl", '"meta"', '"meta'), "test.jsonl:1: not UTF-8 JSON"),
    "key order": ("pair", train(reordered), "train.jsonl:1: keys input, instruction"),
    "meta order": (
        "pair",
        train(lambda r: r[1]["meta"].update(task=r[1]["meta"].pop("task"))),
        "meta begins id, template",
    ),
    "null": ("mrc", train(lambda r: r[2]["meta"].update(source_id=None)), "train.jsonl:3: meta.source_id is null"),
    "type changes": (
        "mrc",
        edit_rows("test.jsonl", lambda r: r[0]["meta"].update(source_id=5)),
        "meta.source_id is int",
    ),
    "key on one row": ("pair", train(lambda r: r[3]["meta"].update(cluster_size=1)), "train.jsonl:4: meta is object"),
    "mixed list": ("mrc", train(lambda r: r[0]["meta"]["references"].append(1)), "mixes str and int"),
    "unlabelled in train": ("pair", train(unlabelled), "train.jsonl:1: an unlabelled row in train"),
    "unlabelled answer": (
        "pair",
        edit_rows("test.jsonl", lambda r: r[3].update(output="相同")),
        "test.jsonl:4: labelled is False with the output",
    ),
    "unknown label": ("pair", train(lambda r: r[0]["meta"].update(label="7")), "label '7' is not in"),
    "bad flags": ("pair", train(lambda r: r[0]["meta"].update(flags="dup")), "is not step:reason"),
    "unflagged": (
        "pair",
        edit_rows("validation.jsonl", lambda r: r[4]["meta"].update(flags="")),
        "validation: flagged is 1, the files have 0",
    ),
    "row disappears": (
        "pair",
        manifest(lambda m: m["splits"]["train"].update(read=25)),
        "train: read + derived is not written + rejected",
    ),
    "reject lost": ("pair", rejected(lambda r: r.pop()), "train: rejected is 8, the files have 7"),
    "wrong split of a reject": (
        "dialogue",
        rejected(lambda r: r[0].update(split="test")),
        "lines must stand in the order train, validation, test",
    ),
    "step in": (
        "pair",
        manifest(lambda m: step_count(m["steps"], "exact_dedup", "in", 21)),
        "exact_dedup takes in 21",
    ),
    "step out": ("mrc", manifest(lambda m: step_count(m["steps"], "format", "out", 11)), "the last step leaves 11"),
    "step reasons": (
        "pair",
        manifest(lambda m: step_count(m["steps"], "label_conflict", "reasons", {"different_labels": 1})),
        "different_labels is 1, the files have 2 rejected",
    ),
    "step counts a flag as a reject": (
        "mrc",
        manifest(
            lambda m: step_entry(m["steps"], "locate_answer", "test").update(flags={}, reasons={"not_in_context": 1})
        ),
        "locate_answer: 4 − 1 + 0 is not 4",
    ),
    "step forgets its flags": (
        "mrc",
        manifest(lambda m: step_entry(m["steps"], "locate_answer", "test").update(flags={})),
        "not_in_context is not among its flags, 1 rows carry it",
    ),
    "step flags too many": (
        "mrc",
        manifest(lambda m: step_entry(m["steps"], "locate_answer", "test").update(flags={"not_in_context": 2})),
        "not_in_context flags 2, the files have 1 flagged",
    ),
    "step moves rows": (
        "mrc",
        manifest(lambda m: step_entry(m["steps"], "leak_check", "train").update(moved=1)),
        "leak_check moves rows",
    ),
    "moved is not derived": (
        "mrc",
        manifest(lambda m: step_entry(m["steps"], "leak_check", "train").update(moved=1)),
        "1 rows were moved, derived are 0",
    ),
    "step without flags": (
        "mrc",
        manifest(lambda m: step_entry(m["steps"], "leak_check", "train").pop("flags")),
        "the keys must be step, split, in, out",
    ),
    "reason unknown": ("pair", rejected(lambda r: r[1].update(reason="why")), "label_conflict: why is not among"),
    "id twice": ("pair", train(lambda r: r[1]["meta"].update(id=r[0]["meta"]["id"])), "stands in train.jsonl:1 too"),
    "id both written and rejected": (
        "pair",
        rejected(lambda r: r[1].update(id="golden-pair/train/000000000")),
        "rejected.jsonl:2: id golden-pair/train/000000000 stands in train.jsonl:1 too",
    ),
    "kept_id unknown": (
        "pair",
        rejected(lambda r: r[2].update(kept_id="golden-pair/train/000000099")),
        "ends at unknown golden-pair/train/000000099",
    ),
    "kept_id circle": ("pair", rejected(lambda r: r[5].update(kept_id=r[7]["id"])), "ends in a circle"),
    "kept_id at a lost row": (
        "pair",
        rejected(lambda r: r[5].update(kept_id=None)),
        "ends at a row that was not kept",
    ),
    "absolute path": ("mrc", manifest(lambda m: m["sources"][0].update(file="/data/train.json")), "absolute path"),
    "time": ("mrc", manifest(lambda m: m["versions"].update(built="2024-05-01T10:00:00")), "versions.built: a time"),
    "seconds": ("mrc", manifest(lambda m: m["splits"]["train"].update(seconds=1.5)), "times belong into local.json"),
    "templates used": ("mrc", manifest(lambda m: m["templates"].update(used={})), "manifest.templates.used"),
    "dataset_info file": (
        "pair",
        edit_json("dataset_info.json", lambda i: i["golden-pair_train"].update(file_name="training.jsonl")),
        "no file training.jsonl",
    ),
    "dataset_info column": (
        "pair",
        edit_json("dataset_info.json", lambda i: i["golden-pair_train"]["columns"].update(history="history")),
        "has no column 'history'",
    ),
    "dataset_info forgets history": (
        "dialogue",
        edit_json("dataset_info.json", lambda i: i["golden-dialogue_train"]["columns"].pop("history")),
        "columns must be",
    ),
    "front matter gone": ("mrc", edit_text("README.md", "---\n", ""), "README.md: front matter"),
    "front matter broken": ("mrc", edit_text("README.md", "license: ", "license"), "no `key: value`"),
    "config forgets a split": (
        "mrc",
        edit_text("README.md", "  - split: test\n    path: test.jsonl\n", ""),
        "configs name",
    ),
    "feature missing": (
        "mrc",
        edit_text("README.md", "    - name: flags\n      dtype: string\n", ""),
        "the features say",
    ),
    "feature type": ("pair", edit_text("README.md", "dtype: bool", "dtype: string"), "meta.labelled is bool"),
}


@pytest.mark.parametrize("name", NAMES)
def test_golden_keeps_the_contract(name: str) -> None:
    assert check_run(GOLDEN / name) == []
    assert tuple(len(lines(GOLDEN / name / f"{split}.jsonl")) for split in SPLITS) == ROWS[name]


@pytest.mark.parametrize("what", BREAKAGES)
def test_breakage_is_found(what: str, tmp_path: Path) -> None:
    name, breakage, piece = BREAKAGES[what]
    run = tmp_path / name
    shutil.copytree(GOLDEN / name, run)
    breakage(run)
    found = check_run(run)
    assert any(piece in line for line in found), found
    assert all("\n" not in line for line in found)


def test_folder_that_is_no_run(tmp_path: Path) -> None:
    assert "manifest.json: missing" in check_run(tmp_path)


# ---- the front matter


@pytest.mark.parametrize("name", NAMES)
def test_front_matter_features(name: str) -> None:
    """The features in the golden cards are what `hf_features` makes of any row, first row or last, history or none."""
    front = front_matter((GOLDEN / name / "README.md").read_text(encoding="utf-8"))
    for split in SPLITS:
        for row in lines(GOLDEN / name / f"{split}.jsonl"):
            assert hf_features(row) == front["dataset_info"]["features"]


def test_front_matter_is_read_as_yaml() -> None:
    yaml = pytest.importorskip("yaml")
    for name in NAMES:
        text = (GOLDEN / name / "README.md").read_text(encoding="utf-8")
        assert front_matter(text) == yaml.safe_load(text.split("---\n")[1])
    text = "a: 'it''s'\nb: \"x: y\"\nc: [zh, en]\nd:\n  - e: 1\n    f:\n      - g\n  - e: 2\nh: true\n"
    assert front_matter(f"---\n{text}---\n") == yaml.safe_load(text)


# ---- the libraries people read a run with


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_datasets_loads(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(GOLDEN / name), cache_dir=str(tmp_path / "cache"))
    assert {split: len(part) for split, part in loaded.items()} == dict(zip(SPLITS, ROWS[name], strict=True))
    for split in SPLITS:
        rows = lines(GOLDEN / name / f"{split}.jsonl")
        assert loaded[split].to_list() == rows
        assert loaded[split].features == datasets.Features._from_yaml_list(hf_features(rows[0]))


@pytest.mark.slow
def test_datasets_loads_lists_that_are_empty_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow types a column by its first 10 MB; only the features of the card say what comes after them."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    run = tmp_path / "run"
    shutil.copytree(GOLDEN / "dialogue", run)
    text = (run / "train.jsonl").read_text(encoding="utf-8")
    first = text.split("\n", 1)[0] + "\n"
    assert '"history": []' in first
    copies = 12_000_000 // len(first.encode("utf-8"))
    (run / "train.jsonl").write_text(first * copies + text, encoding="utf-8")
    loaded = datasets.load_dataset(str(run), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.select(range(copies, len(loaded))).to_list() == lines(run / "train.jsonl")[copies:]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_polars_reads(name: str) -> None:
    polars = pytest.importorskip("polars")
    frames = [polars.read_ndjson(GOLDEN / name / f"{split}.jsonl") for split in SPLITS]
    assert tuple(len(frame) for frame in frames) == ROWS[name]
    assert frames[0].schema == frames[1].schema == frames[2].schema
    assert frames[0].schema["instruction"] == polars.String
    assert frames[0]["meta"].struct.field("labelled").dtype == polars.Boolean
    if name == "dialogue":
        assert frames[0].schema["history"] == polars.List(polars.List(polars.String))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_pandas_reads(name: str) -> None:
    pandas = pytest.importorskip("pandas")
    for split in SPLITS:
        frame = pandas.read_json(GOLDEN / name / f"{split}.jsonl", lines=True)
        assert frame.to_dict("records") == lines(GOLDEN / name / f"{split}.jsonl")
