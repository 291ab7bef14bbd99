"""What differs in the figures of two runs: those of their cards, and how many rows each step rejected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from curate.types import SPLITS

Card = dict[str, Any]
#: The part of the card, the split ("" for all of them), and the figure's name.
Key = tuple[str, str, str]
#: A number, and what it is a part of where it is one.
Told = tuple[int, int | None]

_LEAKS = ("rows", "near", "covered", "other_label", "sentences", "contexts")


def differing_figures(first: Card, second: Card) -> list[dict[str, Any]]:
    """Each figure that differs as {"part", "split", "name", "first", "second"}; None for what a card doesn't have.

    A figure that is a part of something has `first_of` and `second_of` too. `part` is rows, labels, lengths,
    duplicates or leaks; `name` a label, a field with its percentile, or for leaks "before|after SPLIT FIGURE".
    """
    facts = [dict(_facts(card)) for card in (first, second)]
    found = []
    for key in dict.fromkeys([*facts[0], *facts[1]]):
        sides = [side.get(key) for side in facts]
        if sides[0] == sides[1]:
            continue
        told: dict[str, Any] = dict(zip(("part", "split", "name"), key, strict=True))
        for run, side in zip(("first", "second"), sides, strict=True):
            told[run] = side[0] if side else None
        if any(side and side[1] is not None for side in sides):
            told |= {
                f"{run}_of": side[1] if side else None for run, side in zip(("first", "second"), sides, strict=True)
            }
        found.append(told)
    parts = list(dict.fromkeys(one["part"] for one in found))
    return sorted(found, key=lambda one: (parts.index(one["part"]), _place(one["split"])))


def _place(split: str) -> int:
    return SPLITS.index(split) if split in SPLITS else len(SPLITS)


def _facts(card: Card) -> Iterator[tuple[Key, Told]]:
    for split, numbers in card["splits"].items():
        yield from ((("rows", split, name), (n, None)) for name, n in numbers.items())
    for split, numbers in card.get("labels", {}).items():
        yield from ((("labels", split, label), (n, None)) for label, n in numbers.items())
    for name, corpus in card.get("mixture", {}).get("corpora", {}).items():
        for split, numbers in corpus["label_rows"].items():
            yield from ((("labels", split, f"{name} {label}".strip()), (n, None)) for label, n in numbers.items())
        for field, chars in corpus["lengths"].items():
            yield from ((("lengths", "", f"{name} {field} {p}"), (n, None)) for p, n in chars.items())
    for split, fields in card.get("lengths", {}).items():
        for field, measured in fields.items():
            yield from ((("lengths", split, f"{field} {p}"), (n, None)) for p, n in measured["chars"].items())
    for split, told in card.get("duplicates", {}).items():
        yield ("duplicates", split, "rows"), (told["rows"], told["of"])
    for side in ("before", "after"):
        for split, cells in card.get("leaks", {}).get(side, {}).items():
            for other, cell in cells.items():
                for name in _LEAKS:
                    if name in cell:
                        whole = cell.get(f"{name}_of", cell["of"])
                        yield ("leaks", split, f"{side} {other} {name}"), (cell[name], whole)


def rejects_by_step(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    """From the manifests: how many rows of each split each step rejected for each reason, in either run.

    {"split", "step", "reason", "first", "second"}; what neither run rejected is left out.
    """
    counts = [
        {
            (entry["split"], entry["step"], reason): n
            for entry in manifest["steps"]
            for reason, n in entry["reasons"].items()
        }
        for manifest in (first, second)
    ]
    found = []
    for key in dict.fromkeys([*counts[0], *counts[1]]):
        mine, theirs = (side.get(key, 0) for side in counts)
        if mine or theirs:
            split, step, reason = key
            found.append({"split": split, "step": step, "reason": reason, "first": mine, "second": theirs})
    return sorted(found, key=lambda one: SPLITS.index(one["split"]))
