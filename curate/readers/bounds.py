"""How much of a file is worked on at once: rows too large for any use are rejects, blocks of large rows are cut.

The steps take up to forty times the bytes of what they work on (a word is an object), so one text of 200 MB would cost
gigabytes. And a small file in one block would keep one core at work while the others look on. Where a block is cut
never shows in a run's bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from curate.lazy import pl
from curate.readers.options import ReadOptions, cut_reject
from curate.text.decode import FileInfo
from curate.types import File, ReadReject, Records

#: Bytes (UTF-8) of a row's texts: some five million characters, several times the longest of novels.
ROW_BYTES = 16 << 20
#: Bytes of the rows that are worked on together, but for the last of them.
BLOCK_BYTES = 16 << 20
#: Files up to this size come in one block mostly, which is cut into parts for several cores: four at most, since each
#: has a cost of its own, and none much below this many bytes of rows.
SMALL_FILE = 8 << 20
PARTS, PART_BYTES = 4, 1 << 20

_Read = Callable[[File, FileInfo, ReadOptions, int], Iterator[Records]]


def bounded(read: _Read) -> _Read:
    """The same reader, whose rows and blocks are within the bounds."""

    @wraps(read)
    def reading(file: File, info: FileInfo, options: ReadOptions, block_rows: int) -> Iterator[Records]:
        for records in read(file, info, options, block_rows):
            size = int(records.frame.estimated_size())
            parts = min(PARTS, size // PART_BYTES) if info.bytes <= SMALL_FILE else 1
            yield from _within(records, size, min(BLOCK_BYTES, size // max(1, parts) + 1))

    return reading


def _within(records: Records, size: int, most: int) -> Iterator[Records]:
    """One block of `size` bytes, or several of `most` without the rows that are too long."""
    frame = records.frame
    if size <= min(ROW_BYTES, most):
        yield records
        return
    sizes = frame.select(pl.sum_horizontal(_bytes(name, dtype) for name, dtype in frame.schema.items())).to_series()
    long = sizes > ROW_BYTES
    rejects = sorted([*records.rejects, *_too_long(frame.filter(long))], key=lambda reject: reject.rid)
    parts = frame.filter(~long).with_columns(part=sizes.filter(~long).cum_sum() // most)
    pieces = [piece.drop("part") for piece in parts.partition_by("part", maintain_order=True)] or [frame.clear()]
    counts = records.counts
    for piece, after in zip(pieces, [*pieces[1:], None], strict=True):
        end = None if after is None else after["rid"][0]
        mine = [reject for reject in rejects if end is None or reject.rid < end]
        rejects = rejects[len(mine) :]
        yield Records(piece, mine, counts, len(piece) + len(mine))
        counts = {}


def _bytes(name: str, dtype: Any) -> pl.Expr:
    """The bytes of the texts in a column, row by row."""
    column, length = pl.col(name), pl.element()
    if dtype == pl.String:
        size = column.str.len_bytes()
    elif isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct):
        fields = [length.struct.field(field.name).str.len_bytes() for field in dtype.inner.fields]
        size = column.list.eval(pl.sum_horizontal(fields)).list.sum()
    elif isinstance(dtype, pl.List) and dtype.inner == pl.String:
        size = column.list.eval(length.str.len_bytes()).list.sum()
    else:
        size = pl.lit(0)
    return size.cast(pl.Int64).fill_null(0)


def _too_long(rows: pl.DataFrame) -> list[ReadReject]:
    """Rejects that show the beginning of the rows' longest text."""
    rejects = []
    for row in rows.iter_rows(named=True):
        texts = [value for value in row.values() if isinstance(value, str)]
        texts += [item for value in row.values() if isinstance(value, list) for item in value if isinstance(item, str)]
        rejects.append(cut_reject(row["rid"], "too_long", max(texts, key=len, default=""), 0))
    return rejects
