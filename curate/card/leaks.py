"""The card's part about texts that are known without being the same: near leaks, and benchmarks outside."""

from __future__ import annotations

from typing import Any

from curate.types import SPLITS
from jingtiao.markdown import cell, table
from jingtiao.numbers import count, with_share

#: The figures of a cell, with the names of their columns.
_FIGURES = ("near", "covered", "covered_tenth")


def near_leaks_part(card: dict[str, Any], w: dict[str, str]) -> dict[str, str]:
    """What leak_check and decontaminate found by likeness; empty where neither looked."""
    return {**_near_table(card, w), **_benchmark_table(card, w)}


def _near_table(card: dict[str, Any], w: dict[str, str]) -> dict[str, str]:
    leaks = card["leaks"]
    before, after = leaks["before"], leaks["after"]
    pairs = [(a, b) for a in SPLITS for b in SPLITS if b in before.get(a, {}) or b in after.get(a, {})]
    if "near" not in leaks or not pairs:
        return {"near_leaks": "", "near_leaks_note": ""}
    head = [w["overlap"], w["of"], *(w[f"leak_{name}_{side}"] for name in _FIGURES for side in ("before", "after"))]
    rows = []
    for split, other in pairs:
        sides = [side.get(split, {}).get(other) for side in (before, after)]
        shown = [with_share(side[name], side["of"]) if side else "–" for name in _FIGURES for side in sides]
        total = count((sides[0] or sides[1] or {})["of"])
        rows.append([w["overlap_pair"].format(split=split, other=other), total, *shown])
    said = [w[f"leak_rule_{name}"].format(least=leaks[name]) for name in ("near", "coverage") if leaks[name] != "off"]
    return {"near_leaks": table(head, rows), "near_leaks_note": "".join([w["leak_rule"], *said])}


def _benchmark_table(card: dict[str, Any], w: dict[str, str]) -> dict[str, str]:
    """How many rows each benchmark was met in."""
    lines = [entry for entry in card["steps"] if entry["step"] == "decontaminate"]
    names = sorted({name for entry in lines for name in entry["notes"]})
    if not lines:
        return {"benchmarks": "", "benchmarks_note": ""}
    files = sorted(name.removeprefix("benchmark ") for name in card["versions"] if name.startswith("benchmark "))
    splits = [entry["split"] for entry in lines]
    rows = [
        [cell(name), *(count(entry["notes"].get(name, 0)) for entry in lines)] for name in sorted({*files, *names})
    ]
    return {"benchmarks": table([w["benchmark"], *splits], rows), "benchmarks_note": w["benchmarks_note"]}


def found_near(card: dict[str, Any], w: dict[str, str]) -> list[str]:
    """What a reader should know first: evaluation rows that train gave away without holding them."""
    found = []
    for split, cells in card["leaks"]["before"].items():
        before = cells.get("train", {})
        if n := before.get("near", 0) + before.get("covered", 0):
            found.append(w["found_near_leak"].format(split=w[split], rows=count(n), other=w["train"]))
    return found
