"""keys.parquet, beside a run's samples: by what each written row is compared, without its text.

One row a sample, in the order of train.jsonl, validation.jsonl and test.jsonl: `split`, `id`, `key` and `leak` (u64
hashes of the task's key and leak key, both `by: key` whatever the recipe says, null where all of their fields are
empty) and, where the task has labels, `label` (null for none). Rows are compared as the judgements saw them, before
trailing steps cut them: all parts of a document carry the document's key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from curate.lazy import pl
from curate.run import Told
from curate.steps import Context
from curate.tasks import Task
from curate.text.keys import group_hash, key_column
from curate.types import SPLITS

FILE = "keys.parquet"
#: The columns of the hashes on their way through the run; no field of a record has a name like these.
KEY, LEAK = "row|key", "row|leak"
#: xxh3-64 of the empty text: no other text has an empty key.
EMPTY = 0x2D06800538D394C2
#: Rows of a row group: fixed, so that slices don't show in the bytes.
_GROUP = 1 << 17


def row_keys(keys: pl.DataFrame, task: Task) -> pl.DataFrame:
    """`KEY` and `LEAK` of a key table, which has the `by: key` columns of both."""
    columns = {key_column(field, "key") for field in (*task.key, *task.leak_key)}
    filled = keys.select(pl.col(name).fill_null(EMPTY) for name in sorted(columns))

    def one(fields: tuple[str, ...]) -> pl.Expr:
        there = pl.any_horizontal(pl.col(key_column(field, "key")) != EMPTY for field in fields)
        return pl.when(there).then(group_hash(fields, "key", task.symmetric))

    found = filled.select(one(task.key).alias(KEY))
    leak = found.to_series() if task.leak_key == task.key else filled.select(one(task.leak_key)).to_series()
    return found.with_columns(leak.alias(LEAK))


def sidecar_rows(rows: pl.DataFrame, split: str, context: Context) -> pl.DataFrame:
    """The sidecar's rows for rows that are about to be written to a split. Enums, since they are written faster."""
    head = [pl.lit(split, pl.Enum(list(SPLITS))).alias("split"), pl.col("id")]
    label = [pl.col("label").cast(pl.Enum(list(context.labels)))] if context.task.has_labels else []
    return rows.select(*head, pl.col(KEY).alias("key"), pl.col(LEAK).alias("leak"), *label)


def write_sidecar(path: Path, parts: Iterable[pl.DataFrame]) -> dict[str, Any]:
    """Write the rows, which come part by part in their order; returns the entry of the manifest's `files`."""
    parts = iter(parts)
    first = next(parts, None)
    if first is None:
        schema = {"split": pl.String, "id": pl.String, "key": pl.UInt64, "leak": pl.UInt64}
        return write_table(path, pl.DataFrame(schema=schema))
    return _write(path, first.schema, lambda: chain([first], parts))


def write_table(path: Path, table: pl.DataFrame) -> dict[str, Any]:
    """Write a sidecar's table as it is; returns the entry of the manifest's `files`."""
    return _write(path, table.schema, lambda: [table])


def _write(path: Path, schema: pl.Schema, parts: Callable[[], Iterable[pl.DataFrame]]) -> dict[str, Any]:
    """Row groups are written as their rows come, so that a table need not be in memory as a whole."""
    from polars.io.plugins import register_io_source

    def blocks(*_: Any) -> Iterator[pl.DataFrame]:
        yield from parts()

    with Told(path) as out:
        register_io_source(blocks, schema=schema).sink_parquet(
            out, compression="zstd", compression_level=1, statistics=False, row_group_size=_GROUP
        )
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256}
