"""The shapes in which a run's samples can stand beside its own JSONL, for trainers that read another: `formats/`.

An export is made from the split's JSONL line by line and is no part of the run: the manifest does not name it, its
entry in dataset_info.json does. What LLaMA-Factory asks of such a file (its data/README.md and data/converter.py):

- A conversation begins with the user and ends with the assistant, the two in turn. A first message of the system's
  counts apart; sharegpt has a column for it instead, and an empty one there is none.
- `tags` names every role of the file: where there is one tag, what is left out has no default.
- `columns` likewise. With `formatting: alpaca`, history and system are read where named only.
- An answer is required. An empty one would pass, and be learnt or scored as if silence were right; so a row without
  an answer (of a public test set) is no conversation and left out of one, and the user is told how many.

`messages` is also what TRL and ms-swift read; all three pay no heed to the columns `id` and `meta`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.formatting.features import polars_schema, run_features
from curate.formatting.prompt import user_message
from curate.lazy import pl
from curate.run import Told, leftovers, read_manifest
from curate.types import SPLITS, UserError
from curate.yamlmarks import did_you_mean

FOLDER = "formats"

#: Bytes of JSONL read at a time, and rows of a row group: what a Parquet file costs in memory, however long it gets.
_BLOCK = 1 << 20
_GROUP_ROWS = 8192

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

Row = dict[str, Any]


@dataclass(frozen=True)
class Chat:
    """How a format writes a conversation down. `system`: the role of a first message, or None for a column."""

    column: str
    role: str
    content: str
    user: str
    assistant: str
    system: str | None

    def row(self, sample: Row) -> Row:
        """A sample as a conversation: the earlier turns, the user's message, the answer."""
        turns = [(self.system, sample["system"])] if self.system and sample.get("system") else []
        for said, answered in sample.get("history", ()):
            turns += [(self.user, said), (self.assistant, answered)]
        turns.append((self.user, user_message(sample["instruction"], sample["input"])))
        turns.append((self.assistant, sample["output"]))
        told = [{self.role: role, self.content: text} for role, text in turns]
        system = {"system": sample["system"]} if not self.system and "system" in sample else {}
        return {"id": sample["meta"]["id"], self.column: told, **system, "meta": sample["meta"]}

    def write(self, source: Path, target: Path, features: list[Row]) -> tuple[int, int]:
        """Write every sample that has an answer; returns the rows written and those left out."""
        written = left_out = 0
        with source.open(encoding="utf-8") as lines, target.open("w", encoding="utf-8", newline="\n") as out:
            for line in lines:
                sample = json.loads(line)
                if sample["output"]:
                    out.write(_encode(self.row(sample)) + "\n")
                    written += 1
                else:
                    left_out += 1
        return written, left_out

    def entry(self, alpaca: Row) -> Row:
        """What dataset_info.json says of the file, beside its name; `alpaca` is what it says of the split's JSONL."""
        named = {"messages": self.column}
        if not self.system:
            system = {"system": "system"} if "system" in alpaca["columns"] else {}
            return {"formatting": "sharegpt", "columns": named | system}
        tags = {"role_tag": self.role, "content_tag": self.content, "user_tag": self.user}
        tags |= {"assistant_tag": self.assistant, "system_tag": self.system}
        return {"formatting": "sharegpt", "columns": named, "tags": tags}


@dataclass(frozen=True)
class Table:
    """The whole samples with their types, in columns."""

    def write(self, source: Path, target: Path, features: list[Row]) -> tuple[int, int]:
        """Write every sample; returns the rows written, and none left out."""
        from polars.io.plugins import register_io_source

        schema = polars_schema(features)
        rows = 0

        def blocks(*_: Any) -> Iterator[pl.DataFrame]:
            nonlocal rows
            with source.open("rb") as lines:
                while block := lines.read(_BLOCK):
                    frame = pl.read_ndjson(block + lines.readline(), schema=schema)
                    rows += len(frame)
                    yield frame

        # Not scan_ndjson: it maps the whole file into memory.
        with Told(target) as out:
            register_io_source(blocks, schema=schema).sink_parquet(out, row_group_size=_GROUP_ROWS)
        return rows, 0

    def entry(self, alpaca: Row) -> Row:
        """What dataset_info.json says of the file, beside its name: the same as of the split's JSONL."""
        return {key: value for key, value in alpaca.items() if key != "file_name"}


#: Each format with the end of its files' names.
FORMATS: dict[str, tuple[str, Chat | Table]] = {
    "sharegpt": ("sharegpt.jsonl", Chat("conversations", "from", "value", "human", "gpt", None)),
    "messages": ("messages.jsonl", Chat("messages", "role", "content", "user", "assistant", "system")),
    "parquet": ("parquet", Table()),
}


def known_formats(names: Iterable[str]) -> list[str]:
    """The formats that are named, each once; a name may be several with commas. An unknown one is a UserError."""
    asked = [part.strip() for name in names for part in name.split(",")]
    for name in asked:
        if name not in FORMATS:
            raise UserError(f"--format {name}: unknown{did_you_mean(name, FORMATS, 'known are')}")
    return [name for name in FORMATS if name in asked]


def export(run: Path, formats: Iterable[str], report: Callable[[str], None] = lambda message: None) -> list[str]:
    """Write the formats that a whole run lacks; returns a remark on each. A file appears when it is complete.

    The bytes follow from the run's JSONL alone, in whatever order and number the formats were asked for.
    Raises UserError for an unknown format, and for a run that can't be read.
    """
    asked = known_formats(formats)
    if not asked:
        return []
    info = _read_info(run)
    features = run_features(run)
    splits = {split: key for split in SPLITS for key in info if info[key]["file_name"] == f"{split}.jsonl"}
    remarks = []
    for which in asked:
        suffix, shape = FORMATS[which]
        # All files of a format are there before its entries are.
        made = [info[key]["file_name"] for split in splits if (key := f"{splits[split]}_{which}") in info]
        if made and all((run / file).is_file() for file in made):
            remarks.append(f"{which}: already in {FOLDER}/")
            continue
        written, left_out = {}, {}
        for split, key in splits.items():
            file = f"{FOLDER}/{split}.{suffix}"
            report(f"writing {file}")
            rows, left_out[split] = _write(shape, run / f"{split}.jsonl", run / file, features)
            if rows:
                written[split] = rows
                info[f"{key}_{which}"] = {"file_name": file, **shape.entry(info[key])}
        last = [f"{key}_{name}" for name in FORMATS for key in splits.values()]
        _write_info(run, {key: info[key] for key in [*(k for k in info if k not in last), *last] if key in info})
        remarks.append(_remark(which, written, left_out))
    return remarks


def _write(shape: Chat | Table, source: Path, target: Path, features: list[Row]) -> tuple[int, int]:
    """Write one file; without a row there is none. Returns the rows written and those left out."""
    target.parent.mkdir(exist_ok=True)
    try:
        with _replacing(target) as aside:
            rows, left_out = shape.write(source, aside, features)
            if not rows:
                aside.unlink()
        return rows, left_out
    finally:
        with suppress(OSError):  # other formats are in it
            target.parent.rmdir()


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A file beside `target` that takes its place when it is whole; what killed processes left there goes too."""
    for left in leftovers(target):
        left.unlink(missing_ok=True)
    aside = target.parent / f".{target.name}.partial-{os.getpid()}"
    try:
        yield aside
        if aside.exists():
            aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _remark(which: str, written: dict[str, int], left_out: dict[str, int]) -> str:
    counts = ", ".join(f"{split} {rows:,}" for split, rows in written.items())
    without = ", ".join(f"{split} {rows:,}" for split, rows in left_out.items() if rows)
    return f"{which}: {counts or 'no'} rows" + (f"; left out, having no answer: {without}" if without else "")


def _read_info(run: Path) -> dict[str, Row]:
    """The run's dataset_info.json, which must name each of its split files."""
    manifest = read_manifest(run)
    path = run / "dataset_info.json"
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        named = {entry["file_name"] for entry in info.values()}
        if not {entry["file"] for entry in manifest["outputs"]} <= {*named, "rejected.jsonl"}:
            raise ValueError("a split is missing")
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        raise UserError(f"{path}: does not name the files of the run; remove {run} and curate again") from None
    return info


def _write_info(run: Path, info: dict[str, Row]) -> None:
    with _replacing(run / "dataset_info.json") as aside:
        aside.write_text(json.dumps(info, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n")
