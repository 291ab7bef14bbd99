"""What a reader is told, and what every row-by-row reader does with its rows: collect them into blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from curate.lazy import pl
from curate.tasks import TASKS
from curate.types import RID_BITS, File, ReadReject, Records

#: A reject keeps no more of its raw text than this.
RAW_LIMIT = 2000


@dataclass(frozen=True)
class ReadOptions:
    """The task whose fields are wanted, the recipe's labels (key -> word), the user's column names, rows at most.

    `columns` are the names in file order, or those of some fields (field -> column).
    `extra` are the fields that the recipe names beside the task's own.
    """

    task: str
    labels: dict[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] | dict[str, str] | None = None
    limit: int | None = None
    extra: tuple[str, ...] = ()

    def schema(self) -> dict[str, Any]:
        """The polars dtype of every field of a record."""
        return TASKS[self.task].extended(self.extra).schema()


@dataclass(frozen=True)
class Problem:
    """A row a reader could not make a record of; `collect` gives it its rid. `line` is 0 where it isn't known."""

    reason: str
    raw: str
    line: int = 0


def rid(file: File, row: int) -> int:
    """The id of a row: file number in the high bits, row in the low ones."""
    return file.number << RID_BITS | row


def reject(file: File, row: int, reason: str, raw: str, line: int) -> ReadReject:
    """A reject whose raw text is cut and can be written as UTF-8."""
    return cut_reject(rid(file, row), reason, raw, line)


def cut_reject(rid: int, reason: str, raw: str, line: int) -> ReadReject:
    """The same of a row whose rid is known."""
    return ReadReject(rid, reason, mend(raw[:RAW_LIMIT]), line)


def mend(text: str) -> str:
    """Lone surrogates (half an emoji written as a JSON escape) replaced by U+FFFD, all else as it was."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def collect(
    file: File,
    options: ReadOptions,
    block_rows: int,
    rows: Iterable[tuple[Any, ...] | Problem],
    counts: Counter[str],
) -> Iterator[Records]:
    """Blocks of `block_rows` rows from a stream of field tuples (in the task's order) and problems.

    `counts` is what the stream counts as it goes: every block takes along what has come up since the last one.
    At least one block is yielded, so that the counts of a file without rows are not lost.
    """
    stream = iter(rows) if options.limit is None else islice(rows, options.limit)
    first = 0
    while True:
        block = list(islice(stream, block_rows))
        if not block and first:
            if counts:  # blank lines after the last row, say
                yield _records(file, options, [], first, counts)
            return
        yield _records(file, options, block, first, counts)
        first += len(block)
        if len(block) < block_rows:
            return


def _records(file: File, options: ReadOptions, block: list[Any], first: int, counts: Counter[str]) -> Records:
    rejects = [
        reject(file, first + i, row.reason, row.raw, row.line)
        for i, row in enumerate(block)
        if isinstance(row, Problem)
    ]
    good = [(rid(file, first + i), *row) for i, row in enumerate(block) if not isinstance(row, Problem)]
    schema = {"rid": pl.UInt64, **options.schema()}
    columns = list(zip(*good, strict=True)) or [()] * len(schema)
    data = []
    for (name, dtype), values in zip(schema.items(), columns, strict=True):
        try:
            data.append(_series(name, values, dtype))
        except UnicodeEncodeError:
            # Checked only when it happens: half an emoji can't be stored, and looking at every string would cost.
            mended = [_mend_value(value, counts) for value in values]
            data.append(_series(name, mended, dtype))
    taken = dict(counts)
    counts.clear()
    return Records(pl.DataFrame(data), rejects, taken, len(block))


def _series(name: str, values: Any, dtype: Any) -> pl.Series:
    if isinstance(dtype, pl.List) and values:
        # One flat column cut into lists: several times faster than handing over Python lists of lists.
        flat = pl.Series(name, [item for value in values for item in value], dtype=dtype.inner, strict=True)
        lengths = pl.Series("length", [len(value) for value in values], dtype=pl.UInt32)
        return _cut(flat, lengths)
    return pl.Series(name, values, dtype=dtype, strict=True)


def _cut(flat: pl.Series, lengths: pl.Series) -> pl.Series:
    row = pl.int_range(len(lengths), dtype=pl.UInt32, eager=True).rename("row")
    owner = row.repeat_by(lengths).explode().drop_nulls()
    lists = pl.DataFrame({"row": owner, "flat": flat}).group_by("row", maintain_order=True).agg("flat")
    joined = pl.DataFrame({"row": row}).join(lists, on="row", how="left", maintain_order="left")
    return joined["flat"].fill_null([]).rename(flat.name)


def _mend_value(value: Any, counts: Counter[str]) -> Any:
    if isinstance(value, list):
        return [_mend_value(item, counts) for item in value]
    if isinstance(value, dict):
        return {name: _mend_value(item, counts) for name, item in value.items()}
    if isinstance(value, str) and (mended := mend(value)) != value:
        counts["lone_surrogates"] += 1
        return mended
    return value
