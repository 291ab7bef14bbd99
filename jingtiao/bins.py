"""Lengths put into columns of equal width, few enough to be drawn."""

from __future__ import annotations

from collections import Counter
from typing import Any

#: Columns that a histogram has at most, the open one at its end aside.
COLUMNS = 24


def histogram(lengths: Counter[int]) -> dict[str, Any]:
    """`width` w, `rows` with the number of values in [0, w), [w, 2w), …, and `over`, those beyond the last.

    The columns reach the 99th percentile, so that one long text doesn't squeeze all others into the first; w is the
    smallest of 1, 2, 5, 10, 20, … that covers it in `COLUMNS`.
    """
    values = sorted(lengths)
    rank, seen, reach = -(-99 * lengths.total() // 100), 0, 0
    for value in values:
        seen += lengths[value]
        reach = value
        if seen >= rank:
            break
    width = next(step for step in _widths() if reach < step * COLUMNS)
    rows = [0] * (reach // width + 1)
    over = 0
    for value in values:
        if value // width < len(rows):
            rows[value // width] += lengths[value]
        else:
            over += lengths[value]
    return {"width": width, "rows": rows, "over": over}


def _widths() -> Any:
    scale = 1
    while True:
        yield from (scale, 2 * scale, 5 * scale)
        scale *= 10
