"""Run folders: what is read from one, and every way of not being one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tune.errors import UserError
from tune.runs import MANIFEST, Run, open_run


def error(work: Callable[[], object]) -> str:
    """The one message that `work` ends with."""
    with pytest.raises(UserError) as raised:
        work()
    (message,) = raised.value.messages
    return message


def change(run: Path, **values: object) -> None:
    """Set keys of a run's manifest; a value of None removes the key."""
    manifest = json.loads((run / MANIFEST).read_text(encoding="utf-8")) | values
    kept = {key: value for key, value in manifest.items() if value is not None}
    (run / MANIFEST).write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")


def replace_line(run: Path, number: int, line: bytes) -> Run:
    """Line `number` of the train split becomes `line`, and the manifest agrees; the run, opened."""
    file = run / "train.jsonl"
    lines = file.read_bytes().split(b"\n")
    lines[number - 1] = line
    file.write_bytes(b"\n".join(lines))
    outputs = json.loads((run / MANIFEST).read_text(encoding="utf-8"))["outputs"]
    sizes = [entry | ({"bytes": file.stat().st_size} if entry["file"] == file.name else {}) for entry in outputs]
    change(run, outputs=sizes)
    return open_run(run)


@pytest.mark.parametrize("name", ["pair", "mrc", "dialogue"])
def test_a_run_gives_what_its_files_hold(golden: Path, name: str) -> None:
    run = open_run(golden / name)
    assert (run.name, run.task) == (name, name)
    assert set(run.splits) == {"train", "validation", "test"}
    for split, n in run.splits.items():
        text = (golden / name / f"{split}.jsonl").read_text(encoding="utf-8")
        assert list(run.rows(split)) == [json.loads(line) for line in text.split("\n")[:-1]]
        assert n == text.count("\n")


def test_what_the_manifest_says(golden: Path) -> None:
    run = open_run(golden / "pair")
    assert run.labels == {"0": "不同", "1": "相同"}
    assert run.metrics == ("accuracy", "f1")
    assert run.tune == {}
    assert run.fingerprint == run.manifest["fingerprint"]


def test_the_name_is_the_folder_s_even_from_inside(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(golden / "mrc")
    assert open_run(Path()).name == "mrc"


def test_a_run_may_have_any_subset_of_the_splits(pair: Path) -> None:
    outputs = json.loads((pair / MANIFEST).read_text(encoding="utf-8"))["outputs"]
    change(pair, outputs=[entry for entry in outputs if entry["file"] != "test.jsonl"], labels=None, tune=None)
    (pair / "test.jsonl").unlink()
    run = open_run(pair)
    assert list(run.splits) == ["train", "validation"]
    assert (run.labels, run.tune) == ({}, {})
    assert "has no test split (it has train, validation)" in error(lambda: list(run.rows("test")))


def test_no_run(tmp_path: Path) -> None:
    gone, empty, file = tmp_path / "gone", tmp_path / "empty", tmp_path / "file"
    empty.mkdir()
    file.write_text("x", encoding="utf-8")
    assert error(lambda: open_run(gone)).startswith(f"{gone}: no such run folder; `python -m curate recipe")
    assert error(lambda: open_run(empty)).startswith(f"{empty}: not a run folder (it has no manifest.json)")
    assert error(lambda: open_run(file)).startswith(f"{file}: is a file")


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", '"x"'])
def test_unreadable_manifest(pair: Path, text: str) -> None:
    (pair / MANIFEST).write_text(text, encoding="utf-8")
    assert error(lambda: open_run(pair)).startswith(f"{pair / MANIFEST}: ")


@pytest.mark.parametrize("key", ["recipe", "fingerprint", "task", "metrics", "outputs"])
def test_manifest_of_something_else(pair: Path, key: str) -> None:
    change(pair, **{key: None})
    assert f"not the manifest of a run (without {key})" in error(lambda: open_run(pair))
    change(pair, **{key: 3})
    assert f"not the manifest of a run (without {key})" in error(lambda: open_run(pair))


@pytest.mark.parametrize(("key", "value"), [("labels", ["0"]), ("tune", "lr"), ("metrics", [1])])
def test_manifest_of_other_types(pair: Path, key: str, value: object) -> None:
    change(pair, **{key: value})
    assert f"not the manifest of a run (without {key})" in error(lambda: open_run(pair))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_missing_or_changed_file(pair: Path, split: str) -> None:
    file = pair / f"{split}.jsonl"
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-1])
    assert f"{file}: has {size - 1} bytes, the manifest says {size}" in error(lambda: open_run(pair))
    file.unlink()
    assert error(lambda: open_run(pair)).startswith(f"{file}: the manifest names it, but it is missing")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"{", "not a line of JSON"),
        (b"", "not a line of JSON"),
        ('{"instruction": "你好'.encode()[:-1] + b'"}', "not a line of JSON (not UTF-8)"),
        (b"[1]", "not a sample: it is no object"),
        (b'{"instruction": "a", "input": "b", "output": 1, "meta": {"id": "x"}}', "'output' must be text"),
        (b'{"instruction": "a", "output": "c", "meta": {"id": "x"}}', "'input' must be text"),
        (b'{"instruction": "a", "input": "", "output": "c", "meta": {}}', "'meta' must hold the row's 'id'"),
        (
            b'{"instruction": "a", "input": "", "output": "c", "meta": {"id": "x"}, "history": [["a"]]}',
            "'history' must hold pairs of texts",
        ),
    ],
)
def test_a_broken_line_is_named(pair: Path, line: bytes, what: str) -> None:
    run = replace_line(pair, 3, line)
    message = error(lambda: list(run.rows("train")))
    assert message.startswith(f"{pair / 'train.jsonl'}:3: ")
    assert what in message
    rows = run.rows("train")
    assert next(rows) and next(rows)  # the lines before it are read


def test_a_line_ends_at_a_newline_and_nowhere_else(pair: Path) -> None:
    sample = {"instruction": "甲\u2028乙\x85丙\x0c丁", "input": "", "output": "戊", "meta": {"id": "x"}}
    run = replace_line(pair, 1, json.dumps(sample, ensure_ascii=False).encode())
    assert next(run.rows("train")) == sample
    assert len(list(run.rows("train"))) == run.splits["train"]
