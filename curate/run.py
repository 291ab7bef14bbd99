"""The run folder: written aside, moved in when it is whole, left alone when it is up to date."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from curate.types import UserError
from curate.work import MANIFEST, Work


@dataclass
class Output:
    """A file of the run while it is written: bytes and hash are counted on the way."""

    path: Path
    stream: IO[bytes]
    rows: int = 0
    size: int = 0
    _sha: Any = field(default_factory=hashlib.sha256)

    def write(self, data: bytes | memoryview) -> int:
        self.stream.write(data)
        self._sha.update(data)
        self.size += len(data)
        return len(data)

    def entry(self) -> dict[str, Any]:
        return {"file": self.path.name, "rows": self.rows, "bytes": self.size, "sha256": self._sha.hexdigest()}


class Told(io.FileIO):
    """A file to write to that says why it couldn't be written: polars would call a full disk a broken file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w")
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        try:
            while rest:  # a disk that is nearly full takes a part
                rest = rest[super().write(rest) :]
        except OSError as error:
            self._error = error
            raise
        return len(data)

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        if self._error is not None:
            raise self._error from None


class RunFolder:
    """The files of a run in the making, in a folder beside its place.

    `files`: the manifest's entries of files that are no output, whose lines are not rows.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[dict[str, Any]] = []
        self._outputs: dict[str, Output] = {}

    def output(self, name: str) -> Output:
        """The output called `name`, opened when first asked for."""
        if name not in self._outputs:
            path = self.folder / name
            self._outputs[name] = Output(path, path.open("wb"))
        return self._outputs[name]

    def again(self, name: str) -> Output:
        """The output called `name`, begun once more; its row count stays."""
        rows = self._outputs[name].rows
        path = self.folder / name
        self._outputs[name] = Output(path, path.open("wb"), rows)
        return self._outputs[name]

    def close(self) -> list[dict[str, Any]]:
        """Close all outputs; their manifest entries in the order of the splits."""
        order = ["train.jsonl", "validation.jsonl", "test.jsonl", "rejected.jsonl"]
        for output in self._outputs.values():
            output.stream.close()
        return [self._outputs[name].entry() for name in order if name in self._outputs]

    def write_json(self, name: str, data: Any) -> None:
        text = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
        (self.folder / name).write_text(text, encoding="utf-8")

    def write_text(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def run_folder(work: Work) -> Iterator[RunFolder]:
    """A folder to write a run in; moved to its place on success."""
    if work.refused:
        raise work.refused
    work.run.mkdir()
    run = RunFolder(work.run)
    try:
        yield run
        run.close()
        work.move_in()
    except BaseException:
        with suppress(OSError):  # a full disk fails here once more
            run.close()
        raise


def leftovers(place: Path) -> list[Path]:
    """What killed processes left beside a file that they were writing."""
    start = f".{place.name}.partial-"
    found = [path for path in place.parent.iterdir() if path.name.startswith(start)]
    pids = [(path, path.name[len(start) :]) for path in found]
    # A process of our own number is gone too, or we would not have it: in a container every run may be process 7.
    return [path for path, pid in pids if pid.isdigit() and (int(pid) == os.getpid() or not _alive(int(pid)))]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def read_manifest(run: Path) -> dict[str, Any]:
    """The manifest of a run. Raises UserError if the folder is no run."""
    path = run / MANIFEST
    if not run.is_dir():
        raise UserError(f"{run}: no such run; `python -m curate recipe NAME` makes one")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or "fingerprint" not in manifest:
            raise ValueError("no fingerprint")
    except (OSError, ValueError):
        raise UserError(f"{run}: not a run folder (no readable {MANIFEST}); name a folder that curate wrote") from None
    return manifest


def read_local(run: Path) -> dict[str, Any]:
    """The local.json of a run: where its files were and how it was called; empty where it is gone."""
    try:
        local = json.loads((run / "local.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return local if isinstance(local, dict) else {}


def check_place(place: Path, fingerprint: str, force: bool) -> dict[str, Any] | None:
    """The manifest of a finished run with this fingerprint, or None if the place is free to be written.

    Raises UserError for a folder that is no run (never touched) and for another run without `force`.
    """
    if not place.exists() and not place.is_symlink():
        return None
    if not place.is_dir():
        raise UserError(f"{place}: is a file; name a folder with --out")
    if not any(place.iterdir()):
        return None
    try:
        manifest = read_manifest(place)
    except UserError:
        raise UserError(f"{place}: is not empty and not a run; it is left as it is: choose another --out") from None
    if manifest["fingerprint"] == fingerprint and not broken_outputs(place, manifest):
        return manifest
    if not force:
        raise UserError(
            f"{place}: holds another run (recipe, source or options differ); --force replaces it, --out keeps both"
        )
    return None


def broken_outputs(run: Path, manifest: dict[str, Any]) -> list[str]:
    """The outputs that are missing or have another size than the manifest says."""
    broken = []
    for entry in [*manifest["outputs"], *manifest.get("files", [])]:
        path = run / entry["file"]
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            broken.append(entry["file"])
    return broken


def check_run(run: Path) -> list[str]:
    """What is wrong with a run folder: outputs against the manifest's hashes and row counts. Empty if nothing is."""
    manifest = read_manifest(run)
    wrong = []
    for entry in [*manifest["outputs"], *manifest.get("files", [])]:
        path = run / entry["file"]
        if not path.is_file():
            wrong.append(f"{path}: is missing")
            continue
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            wrong.append(f"{path}: was changed after it was written (sha256 differs)")
        if "rows" in entry and (rows := data.count(b"\n")) != entry["rows"]:
            wrong.append(f"{path}: has {rows} rows, the manifest says {entry['rows']}")
    for split, n in manifest["splits"].items():
        if n["read"] + n["derived"] != n["written"] + n["rejected"]:
            wrong.append(f"{run / MANIFEST}: {split}: read and written + rejected don't add up")
    return wrong


def fingerprint(parts: dict[str, Any]) -> str:
    """sha256 of everything that decides a run's bytes."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def dataset_info(name: str, splits: list[str], dialogue: bool) -> dict[str, Any]:
    """LLaMA-Factory's entries for the files of a run."""
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    if dialogue:
        columns |= {"history": "history", "system": "system"}
    return {
        f"{name}_{split}": {"file_name": f"{split}.jsonl", "formatting": "alpaca", "columns": columns}
        for split in splits
    }
