"""The samples of a run, block by block: so that a diff takes as much memory for a long file as for a short one."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from curate.formatting.features import polars_schema, run_features
from curate.lazy import pl
from curate.text.hashing import hash_series

#: Bytes of JSONL read at a time.
_BLOCK = 8 << 20
#: The column of a message's length beside the hashes of its parts: another order of the same options keeps it.
SIZE = "|size"


def blocks(path: Path) -> Iterator[list[bytes]]:
    """The lines of a file without their ends, some megabytes at a time; none of a file that isn't there."""
    if path.is_file():
        with path.open("rb") as lines:
            while block := lines.read(_BLOCK):
                yield (block + lines.readline()).removesuffix(b"\n").split(b"\n")


def line_hashes(path: Path) -> pl.Series:
    """xxh3-64 of each line."""
    found = [
        hash_series(pl.Series("line", lines, dtype=pl.Binary).cast(pl.String)).rename("line") for lines in blocks(path)
    ]
    return pl.concat(found) if found else pl.Series("line", [], dtype=pl.UInt64)


def samples(run: Path, split: str, rows: pl.Series) -> Iterator[tuple[pl.Series, pl.DataFrame]]:
    """The samples of some rows of a split (sorted numbers), with those numbers; read no further than the last one."""
    schema = polars_schema(run_features(run))
    start = 0
    for lines in blocks(run / f"{split}.jsonl"):
        here = rows.filter((rows >= start) & (rows < start + len(lines)))
        if len(here):
            wanted = b"\n".join([lines[row - start] for row in here])
            yield here, pl.read_ndjson(BytesIO(wanted), schema=schema)
        start += len(lines)
        if not len(rows) or start > rows[-1]:
            return


def part_hashes(frame: pl.DataFrame) -> pl.DataFrame:
    """xxh3-64 of each part of a sample: its columns, and the keys of its `meta` as `meta.KEY`; `SIZE` in bytes."""
    size = pl.sum_horizontal(pl.col("instruction", "input", "output").str.len_bytes()).alias(SIZE)
    flat = frame.drop("meta").hstack([one.alias(f"meta.{one.name}") for one in frame["meta"].struct.unnest()])
    return pl.DataFrame([hash_series(_text(column)) for column in flat]).with_columns(frame.select(size))


def _text(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        return column
    if column.dtype.is_nested():
        return column.to_frame().select(pl.struct(column.name).struct.json_encode().alias(column.name)).to_series()
    return column.cast(pl.String)
