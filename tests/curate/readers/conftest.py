"""Reading a file, or a text written into one, with one reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate.binary import binary_info, binary_kind
from curate.readers import READERS, ReadOptions
from curate.tasks import TASKS
from curate.text.decode import read_blocks, sniff
from curate.types import RID_BITS, File, ReadReject

TASK = {
    "squad": "mrc",
    "cmrc": "mrc",
    "lcsts": "summarization",
    "parallel": "summarization",
    "blocks": "mrc",
    "dialogue": "dialogue",
    "table": "pair",
    "nlu": "classification",
    "file_label": "classification",
    "rows": "classification",
}
NUMBER = 3


@dataclass
class Read:
    """All blocks of a file together."""

    frame: pl.DataFrame
    rejects: list[ReadReject]
    counts: dict[str, int]
    blocks: list[int]

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        return [row[1:] for row in self.frame.rows()]

    @property
    def numbers(self) -> list[int]:
        """The rows in file of the records."""
        return [rid - (NUMBER << RID_BITS) for rid in self.frame["rid"]]

    @property
    def reasons(self) -> list[tuple[int, str, int]]:
        return [(r.rid - (NUMBER << RID_BITS), r.reason, r.line) for r in self.rejects]


def read_path(
    reader: str,
    path: Path,
    task: str = "",
    labels: dict[str, str] | None = None,
    columns: tuple[str, ...] | dict[str, str] | None = None,
    block_rows: int = 1000,
    limit: int | None = None,
    partner: Path | None = None,
    member: str | None = None,
    extra: tuple[str, ...] = (),
    name: str | None = None,
) -> Read:
    """Reads a file and checks what must hold for every one of them."""
    task = task or TASK[reader]
    kind = binary_kind(path)
    info = binary_info(path, path.name, kind) if kind else sniff(path)
    options = ReadOptions(task, {"0": "不同", "1": "相同"} if labels is None else labels, columns, limit, extra)
    file = File(path, name or path.name, "train", NUMBER, partner, member)
    blocks = list(READERS[reader].read(file, info, options, block_rows))
    counts: Counter[str] = Counter()
    for block in blocks:
        assert block.frame.schema == {"rid": pl.UInt64, **TASKS[task].extended(extra).schema()}
        assert block.rows == len(block.frame) + len(block.rejects)
        assert block.rows <= block_rows
        counts.update(block.counts)
    rejects = [one for block in blocks for one in block.rejects]
    read = Read(pl.concat(block.frame for block in blocks), rejects, dict(counts), [block.rows for block in blocks])
    assert sorted(read.numbers + [number for number, *_ in read.reasons]) == list(range(sum(read.blocks)))
    return read


@pytest.fixture(scope="session")
def read() -> Callable[..., Read]:
    return read_path


@pytest.fixture(scope="session")
def read_as(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Read]:
    """read_as(reader, text or bytes, …): the text is written into a file first; `partner` may be text too."""
    folder = tmp_path_factory.mktemp("read")
    names = count()

    def write(content: str | bytes) -> Path:
        path = folder / f"file{next(names)}.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    def run(reader: str, content: str | bytes, **options: Any) -> Read:
        if isinstance(options.get("partner"), str):
            options["partner"] = write(options["partner"])
        path = write(content)
        try:
            return read_path(reader, path, **options)
        finally:
            path.unlink()

    return run


@pytest.fixture(scope="session")
def head() -> Callable[[Path], str]:
    """The head of a file, as `fits` gets it."""
    return lambda path: next(read_blocks(path, sniff(path)))[:65536]
