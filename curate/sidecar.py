"""keys.parquet, beside a run's samples: by what each written row is compared, without its text.

One row a sample, in the order of train.jsonl, validation.jsonl and test.jsonl: `split`, `id`, `key` and `leak` (u64 hashes
of the task's key and leak key, both `by: key` whatever the recipe says, null where all of their fields are empty) and,
where the task has labels, `label` (null for none). Rows are compared as the judgements saw them, before trailing steps
cut them: all parts of a document carry the document's key.
"""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

from curate.lazy import pl
from curate.rejects import printed_id
from curate.steps.chunk import PART, part_id
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
    wanted = {KEY: task.key, LEAK: task.leak_key}
    columns = {key_column(field, "key") for fields in wanted.values() for field in fields}
    filled = keys.select(pl.col(name).fill_null(EMPTY) for name in sorted(columns))
    found = []
    for name, fields in wanted.items():
        filled_in = pl.any_horizontal(pl.col(key_column(field, "key")) != EMPTY for field in fields)
        found.append(pl.when(filled_in).then(group_hash(fields, "key", task.symmetric)).alias(name))
    return filled.select(found)


def sidecar_rows(rows: pl.DataFrame, task: Task) -> pl.DataFrame:
    """What the sidecar needs of rows that are about to be written; ids are printed at the end, from `rid` and part."""
    names = ["rid", *([PART] if PART in rows.columns else []), KEY, LEAK, *(["label"] if task.has_labels else [])]
    return rows.select(names)


def write_sidecar(path: Path, parts: dict[str, list[pl.DataFrame]], prefixes: dict[int, str]) -> dict[str, Any]:
    """Write the rows of each split; returns the entry of the manifest's `files`."""
    name = printed_id(pl.col("rid"), prefixes)
    frames = []
    for split in SPLITS:
        if parts.get(split):
            rows = pl.concat(parts[split])
            head = [pl.lit(split).alias("split"), (part_id(name) if PART in rows.columns else name).alias("id")]
            label = [pl.col("label")] if "label" in rows.columns else []
            frames.append(rows.select(*head, pl.col(KEY).alias("key"), pl.col(LEAK).alias("leak"), *label))
    table = pl.concat(frames) if frames else pl.DataFrame(schema=_schema(False))
    return write_table(path, table)


def write_table(path: Path, table: pl.DataFrame) -> dict[str, Any]:
    """Write a sidecar's table as it is; returns the entry of the manifest's `files`."""
    buffer = BytesIO()
    table.rechunk().write_parquet(
        buffer, compression="zstd", compression_level=1, statistics=False, row_group_size=_GROUP
    )
    data = buffer.getbuffer()
    path.write_bytes(data)  # polars' own errors of a full disk have no errno
    return {"file": path.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _schema(labels: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"split": pl.String, "id": pl.String, "key": pl.UInt64, "leak": pl.UInt64}
    return schema | ({"label": pl.String} if labels else {})
