"""croissant.json says what stands in the files: as mlcroissant sees it, and as plain Python does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from helpers import RECIPES, SPLITS, curate, lines, manifest
from mixed import mix, mixture_file

from curate.card.croissant import FILE, croissant


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each family, of several lists and objects, and a mixture of some."""
    folder = tmp_path_factory.mktemp("runs")
    made = {name: curate(name, folder / name).path for name in ("lcqmc", "ecdt", "cmrc2018", "lcsts", "lccc")}
    parts = {name: {"run": str(made[name]), "cap": 20} for name in ("lcqmc", "cmrc2018", "lccc")}
    made["mixture"] = mix(mixture_file(folder, parts), folder / "own-mix").path
    return made


def read(run: Path) -> dict[str, Any]:
    return json.loads((run / FILE).read_text(encoding="utf-8"))


def record_set(data: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in data["recordSet"] if one["@id"] == name)


def shape(fields: list[dict[str, Any]]) -> dict[str, Any]:
    """Name → what is under it: a type's name or a shape, in as many lists as there are."""
    found = {}
    for field in fields:
        inner: Any = shape(field["subField"]) if "subField" in field else field["dataType"]
        for _ in range(field.get("arrayShape", "").count("-1")):
            inner = [inner]
        found[field["name"]] = inner
    return found


def fits(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return list(value) == list(wanted) and all(fits(value[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list) and wanted != ["sc:Text", "cr:Label"]:
        return isinstance(value, list) and all(fits(one, wanted[0]) for one in value)
    kinds = {"sc:Text": str, "sc:Boolean": bool, "cr:Int64": int, "cr:Float64": float}
    return type(value) is kinds[wanted if isinstance(wanted, str) else wanted[0]]


@pytest.mark.parametrize("name", ["lcqmc", "ecdt", "cmrc2018", "lcsts", "lccc", "mixture"])
def test_fields_are_those_of_every_row(runs: dict[str, Path], name: str) -> None:
    data = read(runs[name])
    for split in SPLITS:
        rows = lines(runs[name] / f"{split}.jsonl")
        wanted = shape(record_set(data, split)["field"])
        assert rows and all(fits(row, wanted) for row in rows)


@pytest.mark.parametrize("name", ["lcqmc", "ecdt", "cmrc2018", "lcsts", "lccc", "mixture"])
def test_files_are_the_runs(runs: dict[str, Path], name: str) -> None:
    data = read(runs[name])
    assert [one["@id"] for one in data["distribution"]] == [f"{split}.jsonl" for split in SPLITS]
    for one in data["distribution"]:
        content = (runs[name] / one["contentUrl"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
        assert one["contentSize"] == f"{len(content)} B"
    text = (runs[name] / FILE).read_text(encoding="utf-8")
    assert str(runs[name].parent) not in text
    ids = [field["@id"] for one in data["recordSet"] for field in one["field"]]
    assert len(set(ids)) == len(ids)


def test_labels_and_splits_are_told(runs: dict[str, Path]) -> None:
    data = read(runs["lcqmc"])
    assert record_set(data, "labels")["data"] == [
        {"labels/name": label, "labels/answer": word} for label, word in manifest(runs["lcqmc"])["labels"].items()
    ]
    assert [row["splits/url"] for row in record_set(data, "splits")["data"]] == [
        "cr:TrainingSplit", "cr:ValidationSplit", "cr:TestSplit"
    ]  # fmt: skip
    assert "labels" not in [one["@id"] for one in read(runs["lccc"])["recordSet"]]


def test_a_licence_is_an_address_or_the_corpuss_words(runs: dict[str, Path]) -> None:
    assert read(runs["cmrc2018"])["license"] == ["https://spdx.org/licenses/CC-BY-SA-4.0.html"]
    assert read(runs["lccc"])["license"] == ["https://spdx.org/licenses/MIT.html"]
    said = {"@type": "sc:CreativeWork", "name": "none stated (released for research by its authors)"}
    assert read(runs["lcqmc"])["license"] == [said]
    assert len(read(runs["mixture"])["license"]) == 3


def test_a_run_without_samples_has_a_croissant_too() -> None:
    card = {"recipe": {"name": "a", "title": "甲", "version": "1.0.0", "task": "pair", "license": "", "homepage": "",
                       "citation": ""}, "reproduce": "python -m curate recipe a"}  # fmt: skip
    data = croissant({"outputs": [], "labels": {}}, card, [])
    assert [one["@id"] for one in data["recordSet"]] == ["splits"]
    assert not {"url", "citeAs", "distribution"} & set(data)


# ---- mlcroissant


def plain(value: Any) -> Any:
    """What mlcroissant gives, as JSON would: its texts are bytes, its numbers numpy's, and its keys whole ids."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value.item() if hasattr(value, "item") else value


def flat(sample: dict[str, Any], fields: list[dict[str, Any]]) -> dict[str, Any]:
    """A sample as mlcroissant lays it out: objects in objects stand beside the ones that they are in."""
    found: dict[str, Any] = {}

    def put(value: Any, field: dict[str, Any]) -> None:
        if "subField" not in field:
            return
        inner = {one["name"]: one for one in field["subField"]}
        leaves = {name: one for name, one in inner.items() if "subField" not in one}
        if field.get("isArray"):
            found[field["@id"]] = [{one["@id"]: item[name] for name, one in leaves.items()} for item in value]
        else:
            found[field["@id"]] = {one["@id"]: value[name] for name, one in leaves.items()}
            for name in inner.keys() - leaves.keys():
                put(value[name], inner[name])

    for field in fields:
        if "subField" in field:
            put(sample[field["name"]], field)
        else:
            found[field["@id"]] = sample[field["name"]]
    return found


@pytest.mark.parametrize("name", ["lcqmc", "ecdt", "cmrc2018", "lcsts", "lccc", "mixture"])
def test_mlcroissant_reads_every_record(runs: dict[str, Path], name: str) -> None:
    mlc = pytest.importorskip("mlcroissant", reason="needs jingtiao[croissant]")
    dataset = mlc.Dataset(str(runs[name] / FILE))
    assert dataset.metadata.ctx.issues.errors == set()
    # A run knows no date; everything else that is recommended is there.
    assert all("datePublished" in warning for warning in dataset.metadata.ctx.issues.warnings)
    data = read(runs[name])
    for split in SPLITS:
        fields = record_set(data, split)["field"]
        rows = lines(runs[name] / f"{split}.jsonl")
        assert [plain(record) for record in dataset.records(split)] == [flat(row, fields) for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_mlcroissant_accepts_every_recipes_run(name: str, tmp_path: Path) -> None:
    mlc = pytest.importorskip("mlcroissant", reason="needs jingtiao[croissant]")
    run = curate(name, tmp_path / name).path
    dataset = mlc.Dataset(str(run / FILE))
    assert dataset.metadata.ctx.issues.errors == set()
    for split in SPLITS:
        if rows := lines(run / f"{split}.jsonl"):
            assert len(list(dataset.records(split))) == len(rows)
