"""Doing work once for each distinct text: a context stands in four rows of a reading corpus, a question in many pairs.

What is counted on the way is counted for every occurrence, so the counts don't depend on which rows came together.
"""

from __future__ import annotations

from collections.abc import Callable

from curate.lazy import pl

#: Work on distinct values is worth its bookkeeping when at most this share of the values is distinct.
WORTH = 0.5


#: Repeats come close together where they come at all: the first values tell.
SAMPLE = 1024


def put(series: pl.Series, where: pl.Series, values: pl.Series) -> pl.Series:
    """A copy of the series with other values at these indexes (polars' `scatter` changes the caller's series)."""
    return series.clone().scatter(where, values)


def change_texts(texts: list[str], change: Callable[[str, dict[str, int]], str], counts: dict[str, int]) -> list[str]:
    """`change(text, counts)` of every text, carried out once a distinct text and counted once an occurrence."""
    done: dict[str, tuple[str, dict[str, int]]] = {}
    changed = []
    for text in texts:
        if text not in done:
            found: dict[str, int] = {}
            done[text] = (change(text, found), found)
        result, found = done[text]
        changed.append(result)
        for kind, n in found.items():
            counts[kind] = counts.get(kind, 0) + n
    return changed


def map_distinct(values: pl.Series, change: Callable[[pl.Series], pl.Series], worth: float = WORTH) -> pl.Series:
    """`change(values)` for a change that looks at single values, given each distinct value once if that helps.

    It does when at most the share `worth` of them is distinct; with 1 no value is ever given twice.
    """
    first = values.head(SAMPLE)
    if first.n_unique() > worth * len(first):
        return change(values)
    distinct = values.unique(maintain_order=True)
    if len(distinct) == len(values):
        return change(values)
    table = pl.DataFrame({"from": distinct, "to": change(distinct)})
    rows = pl.DataFrame({"from": values})
    joined = rows.join(table, on="from", how="left", nulls_equal=True, maintain_order="left")
    return joined["to"]
