"""A few rows of each group of a diff: which ones, and what is shown of them.

They are drawn by a hash of their ids under the first run's seed, cut to a few hundred characters around the first
difference, and masked where either run masks personal details.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from curate.card.excerpts import excerpts
from curate.diff.lines import samples
from curate.formatting.prompt import turns
from curate.lazy import pl
from curate.text.hashing import hash_series, lot
from curate.types import SPLITS

if TYPE_CHECKING:
    from curate.diff.rows import Side

#: Rows of each group that are named and shown.
EXAMPLES = 8

Sample = dict[str, Any]
#: Texts with what they are: `user`, `assistant`, `system`, or a key of meta.
Parts = list[list[str]]


def groups(rows: pl.DataFrame, seed: int, *by: str) -> list[dict[str, Any]]:
    """Groups of rows with what they have in common, their number, and a few of each as numbers of both runs."""
    drawn = pl.struct("row", "row_right").sort_by(lot(pl.col("id"), "diff", seed)).head(EXAMPLES)
    found = rows.sort("row", "row_right").group_by(by, maintain_order=True).agg(rows=pl.len(), examples=drawn)
    told = found.sort(["rows", *by], descending=[True, *(False for _ in by)]).to_dicts()
    for group in told:
        group["examples"].sort(key=lambda one: tuple(-1 if n is None else n for n in (one["row"], one["row_right"])))
    return told


def show(listed: dict[str, list[dict[str, Any]]], first: Side, second: Side) -> None:
    """Put ids and texts in the place of the examples' row numbers."""
    from curate.text.pii import mask_all

    veil = mask_all if first.veiled or second.veiled else str
    every = [example for groups in listed.values() for group in groups for example in group["examples"]]
    mine = _samples(first, {example["row"] for example in every} - {None})
    theirs = _samples(second, {example["row_right"] for example in every} - {None})
    for groups in listed.values():
        for group in groups:
            pairs = [(mine.get(example["row"]), theirs.get(example["row_right"])) for example in group["examples"]]
            group["examples"] = [_example(one, other, veil) for one, other in pairs]
    for name, other in (("lost", second), ("added", first)):
        rejected = [group for group in listed[name] if ":" in group["why"]]
        _because([example for group in rejected for example in group["examples"]], other, veil)


def _samples(side: Side, rows: Iterable[int]) -> dict[int, Sample]:
    """Some samples by their numbers."""
    found: dict[int, Sample] = {}
    numbers = pl.Series("row", sorted(rows), dtype=pl.UInt32)
    for split in SPLITS:
        for here, frame in samples(side.run, split, side.split_rows(split, numbers)):
            found |= {row + side.starts[split]: sample for row, sample in zip(here, frame.to_dicts(), strict=True)}
    return found


def _example(one: Sample | None, other: Sample | None, veil: Callable[[str], str]) -> dict[str, Any]:
    """A row in both runs: `first` and `second` are what differs, `both` what it says in either.

    A text that is the same is said once, and beside it what of its meta is not; of a row that one run doesn't have,
    that run's side is None.
    """
    told = {"id": (one or other or {})["meta"]["id"], "both": [], "first": None, "second": None}
    if one is None or other is None:
        return told | {"first": one and _parts(one, veil), "second": other and _parts(other, veil)}
    mine, theirs = turns(one), turns(other)
    if mine == theirs:
        told["both"] = _parts(one, veil)
        names = [name for name in {**one["meta"], **other["meta"]} if one["meta"].get(name) != other["meta"].get(name)]
        mine, theirs = (
            [(name, _said(side["meta"][name])) for name in names if name in side["meta"]] for side in (one, other)
        )
    return told | dict(zip(("first", "second"), _cut(mine, theirs, veil), strict=True))


def _said(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _parts(sample: Sample, veil: Callable[[str], str]) -> Parts:
    parts = turns(sample)
    return _cut(parts, parts, veil)[0]


def _cut(one: list[tuple[str, str]], other: list[tuple[str, str]], veil: Callable[[str], str]) -> tuple[Parts, Parts]:
    """Both with long texts cut, each pair of one name alike: from shortly before the first difference."""
    sides = [{f"{i} {name}": veil(text) for i, (name, text) in enumerate(side)} for side in (one, other)]
    common = [key for key in sides[0] if key in sides[1]]
    pairs = excerpts({key: sides[0][key] for key in common}, {key: sides[1][key] for key in common})
    alone = [excerpts(side, side)[0] for side in sides]
    mine, theirs = (
        [[key.split(" ", 1)[1], {**cut, **pair}[key]] for key in cut] for cut, pair in zip(alone, pairs, strict=True)
    )
    return mine, theirs


def _because(examples: list[dict[str, Any]], side: Side, veil: Callable[[str], str]) -> None:
    """Say of rows that a run rejected for the sake of another which one that is: `because`, {"id", "score", "parts"}.

    `parts` is None where that row is not written either: its own story is told by `explain`.
    """
    from curate.diff.rows import plain_name

    wanted = {name for example in examples for name in (example["id"], plain_name(example["id"]))}
    rejects = side.rejects(wanted) if wanted else {}
    told = {
        example["id"]: rejects.get(example["id"]) or rejects.get(plain_name(example["id"])) for example in examples
    }
    kept = pl.Series(
        "id", sorted({one["kept_id"] for one in told.values() if one and one["kept_id"]}), dtype=pl.String
    )
    places = kept.to_frame("name").with_columns(hash_series(kept)).join(side.written, on="id")
    numbers = dict(places.select("name", "row").iter_rows())
    texts = _samples(side, numbers.values())
    for example in examples:
        one = told[example["id"]]
        if one and one["kept_id"]:
            sample = texts.get(numbers.get(one["kept_id"], -1))
            parts = None if sample is None else _parts(sample, veil)
            example["because"] = {"id": one["kept_id"], "score": one["score"], "parts": parts}
