"""`import curate`: the runs of the command line, and what a run says of itself, against its files read as JSON."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import SPLITS, card, differing, manifest, rejects, samples
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate.cli import main
from curate.resources import sample_path

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("lcqmc", "cmrc2018", "lccc", "lcsts", "ecdt")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, curate.Run]:
    folder = tmp_path_factory.mktemp("api")
    return {name: curate.recipe(name, out=folder / name) for name in NAMES}


# ---- importing


def test_importing_is_light() -> None:
    script = "import sys, curate; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    heavy = {"polars", "numpy", "pydantic", "ruamel.yaml", "jinja2", "rich", "typer", "pandas", "datasets", "torch"}
    assert not {*done.stdout.split()} & heavy


def test_no_module_takes_a_functions_name() -> None:
    names = ", ".join(curate.__all__)
    script = f"import curate.cli, curate.pipeline, curate.mixture.mix\nfrom curate import {names}\n"
    script += f"print(all(callable(one) for one in ({names})))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "True\n"


# ---- the same as the command line

OVERRIDES = ("segment.as=off", "exact_dedup.by=key", "source.encoding=utf-8")


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(["lcqmc", "drcd", "lcsts", "nlpcc-kbqa"]),
    st.sampled_from([None, 1, 20]),
    st.integers(0, 9),
    st.lists(st.sampled_from(OVERRIDES), unique=True),
    st.lists(st.sampled_from(["sharegpt", "messages", "parquet"]), unique=True),
    st.sampled_from(["zh", "en"]),
    st.booleans(),
)
def test_runs_are_those_of_the_command_line(
    name: str, limit: int | None, seed: int, overrides: list[str], formats: list[str], lang: str, given_source: bool
) -> None:
    source = [str(sample_path(name))] if given_source else []
    with tempfile.TemporaryDirectory() as folder:
        words = ["recipe", name, "--out", f"{folder}/command", "--seed", str(seed), "--lang", lang, "--workers", "1"]
        words += [word for path in source for word in ("--source", path)]
        words += [word for text in overrides for word in ("--set", text)]
        words += [word for text in formats for word in ("--format", text)]
        words += ["--limit", str(limit)] if limit else []
        assert main(words) == 0
        out = Path(folder, "python")
        run = curate.recipe(
            name, source, out=out, limit=limit, seed=seed, overrides=overrides, formats=formats, lang=lang
        )
        assert differing(Path(folder, "command"), out) == []
        assert run.path == out and run.status == "written"
        assert curate.recipe(name, source, out=out, limit=limit, seed=seed, overrides=overrides, lang=lang).status == (
            "up to date"
        )


def test_a_source_is_a_path_a_text_or_several(tmp_path: Path) -> None:
    folder = sample_path("lcqmc")
    assert folder is not None
    files = {path.name: path for path in folder.iterdir()}
    whole = curate.recipe("lcqmc", folder, out=str(tmp_path / "whole"))
    text = curate.recipe("lcqmc", str(folder), out=tmp_path / "text")
    assert differing(whole.path, text.path) == []
    one = curate.recipe("lcqmc", files["train.tsv"], out=tmp_path / "one")
    assert one.splits == ("train",)
    two = curate.recipe("lcqmc", [files["train.tsv"], f"test={files['dev.txt']}"], out=tmp_path / "two")
    assert two.splits == ("train", "test")


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    """Whatever runs beside it is no copy of the user's script."""
    script = tmp_path / "mine.py"
    script.write_text(
        "import curate\nprint('once')\nprint(curate.recipe('cmrc2018', workers=4).rows)\n", encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, encoding="utf-8", check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    said, rows = done.stdout.split("\n")[:-1]
    assert said == "once" and rows.startswith("{'train': ")
    assert done.stderr == ""
    assert (tmp_path / "runs" / "cmrc2018-sample" / "manifest.json").is_file()


# ---- what a run says


@pytest.mark.parametrize("name", NAMES)
def test_a_run_describes_itself(name: str, runs: dict[str, curate.Run]) -> None:
    run = runs[name]
    assert run.manifest == manifest(run.path)
    assert run.card == card(run.path)
    assert run.fingerprint == run.manifest["fingerprint"]
    assert run.task == run.manifest["task"]
    assert run.splits == tuple(split for split in SPLITS if samples(run.path, split))
    assert run.rows == {split: len(samples(run.path, split)) for split in run.splits}
    again = curate.read_run(str(run.path))
    assert dataclasses.replace(again, status="written", notes=run.notes) == run
    assert again.status == "read"
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.status = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", NAMES)
def test_polars(name: str, runs: dict[str, curate.Run]) -> None:
    run = runs[name]
    frames = {split: run.to_polars(split) for split in run.splits}
    assert {split: frame.to_dicts() for split, frame in frames.items()} == {
        split: samples(run.path, split) for split in run.splits
    }
    assert all(frame.schema == frames["train"].schema for frame in frames.values())
    assert run.to_polars().equals(frames["train"])


@pytest.mark.parametrize("name", NAMES)
def test_rejected(name: str, runs: dict[str, curate.Run]) -> None:
    found = runs[name].rejected().to_dicts()
    for row in found:
        row["fields"] = None if row["fields"] is None else json.loads(row["fields"])
    assert found == rejects(runs[name].path) and found
    assert runs[name].rejected().schema["score"] == pl.Float64


@pytest.mark.parametrize("name", NAMES)
def test_pandas(name: str, runs: dict[str, curate.Run]) -> None:
    pytest.importorskip("pandas")
    for split in runs[name].splits:
        frame = runs[name].to_pandas(split)
        assert frame.to_dict("records") == samples(runs[name].path, split)
        assert list(frame.columns) == list(samples(runs[name].path, split)[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_datasets(name: str, runs: dict[str, curate.Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    loaded = runs[name].to_datasets()
    assert isinstance(loaded, datasets.DatasetDict)
    assert {split: part.to_list() for split, part in loaded.items()} == {
        split: samples(runs[name].path, split) for split in runs[name].splits
    }
    assert len({str(part.features) for part in loaded.values()}) == 1


def single_turns(folder: Path) -> curate.Run:
    """Dialogues of one exchange each: `history` is empty in every row of every split."""
    for split in SPLITS:
        rows = [[f"{split}第{number}句你好吗", f"{split}第{number}句我很好"] for number in range(3)]
        (folder / f"{split}.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    source = [f"{split}={folder / split}.json" for split in SPLITS]
    return curate.recipe("lccc", source, out=folder / "run", formats=["parquet"])


def test_a_list_that_is_empty_everywhere_has_its_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = single_turns(tmp_path)
    assert run.splits == SPLITS
    pairs = pl.List(pl.List(pl.String))
    assert [run.to_polars(split).schema["history"] for split in SPLITS] == [pairs] * 3
    assert [pl.read_parquet(run.path / f"formats/{split}.parquet").schema["history"] for split in SPLITS] == [
        pairs
    ] * 3
    assert run.to_pandas()["history"].to_list() == [[], [], []]
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    wanted = datasets.List(datasets.List(datasets.Value("string")))
    assert [part.features["history"] for part in run.to_datasets().values()] == [wanted] * 3


def test_a_run_without_rejects(tmp_path: Path) -> None:
    frame = single_turns(tmp_path).rejected()
    assert len(frame) == 0
    assert frame.columns == ["id", "split", "step", "reason", "kept_id", "score", "fields"]


# ---- wrong input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "lcqcm"}, r"unknown recipe 'lcqcm'; did you mean 'lcqmc'\?"),
        ({"lang": "fr"}, r"lang='fr': write 'zh' or 'en'"),
        ({"limit": 0}, r"limit=0: must be 1 or more"),
        ({"workers": -1}, r"workers=-1: must be 1 or more"),
        ({"formats": "parqet"}, r"--format parqet: unknown; did you mean 'parquet'\?"),
        ({"overrides": ["segmnt.as=off"]}, r"the recipe has no step 'segmnt'; did you mean 'segment'\?"),
        ({"source": "nowhere"}, r"nowhere"),
    ],
)
def test_wrong_input_leaves_nothing(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(curate.UserError, match=message):
        curate.recipe(**{"name": "lcqmc", "out": tmp_path / "run", **arguments})
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_split(runs: dict[str, curate.Run]) -> None:
    for read in (runs["lcqmc"].to_polars, runs["lcqmc"].to_pandas):
        with pytest.raises(curate.UserError, match=r"has no split 'dev'; it has train, validation, test$"):
            read("dev")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(curate.UserError, match="not a run folder"):
        curate.read_run(tmp_path)
    with pytest.raises(curate.UserError, match="no such run"):
        curate.read_run(tmp_path / "none")


def test_a_run_whose_files_were_changed(tmp_path: Path) -> None:
    path = curate.recipe("lcqmc", out=tmp_path / "run").path
    (path / "test.jsonl").unlink()
    (path / "train.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(curate.UserError) as caught:
        curate.read_run(path)
    assert caught.value.messages == [
        f"{path / name}: is missing or was changed; curate again" for name in ("train.jsonl", "test.jsonl")
    ]


@pytest.mark.parametrize("package", ["pandas", "datasets"])
def test_a_package_that_is_not_there(
    package: str, runs: dict[str, curate.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(curate.UserError) as caught:
        getattr(runs["lcqmc"], f"to_{package}")()
    assert caught.value.messages == [
        f'to_{package}: needs {package}, which is not installed: pip install "jingtiao[{package}]"'
    ]
