"""The order of a mixture's rows, in which the parts are read too: each corpus stands evenly over the whole file.

Row k of the n that a part gives to a split stands at k/n of it; at one place the parts stand by name. So any stretch
of a file holds each corpus at its share, to within a row at its ends: a trainer that does not shuffle sees all of them
all the time. And a file begins with a row of each, which readers that tell types by the beginning of a file depend on
(`datasets` by its first 10 MB): a list that one corpus alone fills would else be empty there.

Within a part the order of its run stays. Copies stand apart: all of a part's rows come before the first comes again.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from curate.lazy import pl
from curate.mixture.parts import Part, changed
from curate.types import SPLITS

#: Bytes read at a time. Of each part a block may wait for its places, so this is memory too.
BLOCK = 2 << 20
#: After the last row of a split.
END = 1.0


@dataclass
class Block:
    """Whole lines of one split of one part, and the plan's rows for them.

    They are written once for each of the `turns` that their copies have: turn 0 is the row itself, turn k its copy ~k.
    `start` of the part's `of` rows in the split are written before.
    """

    part: Part
    split: str
    turns: range
    lines: list[bytes]
    plan: pl.DataFrame
    start: int = 0
    of: int = 0

    @property
    def rows(self) -> int:
        """How many rows this block comes to."""
        return int((self.plan["copies"].clip(self.turns.start, self.turns.stop) - self.turns.start).sum())

    @property
    def first(self) -> float:
        """The place of the first row that is written of this block or of a later one of the part."""
        return _place(self.start, self.of)

    def places(self) -> pl.Series:
        """The places of this block's rows; divided here, since polars would multiply by a rounded 1/n."""
        return pl.Series("place", [row / self.of for row in range(self.start, self.start + self.rows)], pl.Float64)


def _place(row: int, of: int) -> float:
    return row / of if row < of else END


def blocks(split: str, plans: list[tuple[Part, pl.DataFrame]]) -> Iterator[Block]:
    """The blocks of the parts in the order of their `first`; each plan has a row for every line of its part's split.

    All rows with places before a block's `first` are in the blocks before it. Each file is read once, and again
    for each turn of its copies; a file that was changed is a UserError.
    """
    heap = []
    for part, plan in plans:
        of, most = plan.select(pl.col("copies").sum(), most=pl.col("copies").max()).row(0)
        heap.append((_place(0, of), part.number, 0, of, _turns(part, split, plan, max(1, most))))
    heapq.heapify(heap)
    while heap:
        _, number, start, of, stream = heapq.heappop(heap)
        if (block := next(stream, None)) is not None:
            block.start, block.of = start, of
            start += block.rows
            yield block
            heapq.heappush(heap, (_place(start, of), number, start, of, stream))


def _turns(part: Part, split: str, plan: pl.DataFrame, turns: int) -> Iterator[Block]:
    entry = part.entry(f"{split}.jsonl") or {}
    at_once = max(1, BLOCK // max(1, entry["bytes"]))  # of a small file, as many turns as a block has room for
    for first in range(0, turns, at_once):
        yield from read(part, split, plan, range(first, min(turns, first + at_once)))


def read(part: Part, split: str, plan: pl.DataFrame, turns: range = range(1)) -> Iterator[Block]:
    """The lines of a file in blocks, each with its rows of the plan. UserError where the file was changed."""
    name = f"{split}.jsonl"
    entry = part.entry(name)
    sha = hashlib.sha256()
    at, rest = 0, b""
    with (part.path / name).open("rb") as file:
        while data := file.read(BLOCK):
            sha.update(data)
            *lines, rest = (rest + data).split(b"\n")
            if lines:
                yield Block(part, split, turns, lines, plan.slice(at, len(lines)))
                at += len(lines)
    if entry is None or sha.hexdigest() != entry["sha256"]:
        raise changed(part, name)


def check_files(parts: list[Part]) -> None:
    """UserError for the first file that isn't what its manifest says: what a broken line comes from, if not a bug."""
    for part in parts:
        for split in SPLITS:
            if part.rows(split):
                for _ in read(part, split, pl.DataFrame()):
                    pass


def take(waiting: list[pl.DataFrame], before: float) -> pl.DataFrame:
    """Take the rows with places before `before` out of what is waiting, in their order.

    Each of `waiting` has the columns `place` (ascending) and `part`.
    """
    ready = [rows.head(int((rows["place"] < before).sum())) for rows in waiting]
    left = [rows.tail(-len(taken)) if len(taken) else rows for rows, taken in zip(waiting, ready, strict=True)]
    waiting[:] = [rows for rows in left if len(rows)]
    return pl.concat(ready).sort("place", "part")
