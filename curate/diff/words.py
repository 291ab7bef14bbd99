"""A diff of two runs for people: what was made otherwise, what became of the rows, and a few of them."""

from __future__ import annotations

import json
from typing import Any

from curate.tables import print_table
from jingtiao.markdown import clip, visible
from jingtiao.numbers import count as _n

#: What is told of rows that one run has not written, and didn't reject.
_ABSENT = {
    "not_read": "not in the {other} run's source",
    "other_parts": "cut into other parts in the {other} run",
    "fewer_copies": "not repeated as often in the {other} run",
}
_KINDS = {
    "text": "text: question, answer or label say something else",
    "wording": "wording: another template or order of options, the same text",
    "meta": "meta only: question and answer are the same",
}
_COLUMNS = ("first", "lost", "moved_away", "moved_here", "added", "second", "changed", "resized")
#: Columns that are only there where some split has such rows.
_RARE = ("lost", "moved_away", "moved_here", "added", "resized")
#: Rows of each group that a terminal is shown.
_SHOWN = 3


def print_diff(found: dict[str, Any]) -> None:
    """Print a diff on stdout."""
    for name in ("first", "second"):
        run = found[name]
        print(f"{name + ':':8}{run['path']} ({run['recipe']} {run['version']}, seed {run['seed']})")
    if found["differs"]:
        print()
        differs = [[one["what"], shown_value(one["first"]), shown_value(one["second"])] for one in found["differs"]]
        print_table(["made otherwise", "first", "second"], differs)
    print()
    if found["same"]:
        print("the runs are the same: every sample and every reject, byte for byte")
        return
    rows = found["rows"]
    print_table(*split_table(rows), numbers=True)
    if not rows["common"] and all(any(told[name] for told in rows["splits"].values()) for name in ("first", "second")):
        print("\nthe runs have no sample in common: their ids are those of other recipes, or of other rows")
    print("\n".join(story(rows)))
    print("\na row's whole story: python -m curate explain RUN ID")


def split_table(rows: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and a row a split; its samples in the first run, less and plus what follows, are those in the second."""
    signs = {"lost": "-", "moved_away": "-", "moved_here": "+", "added": "+"}
    columns = [name for name in _COLUMNS if name not in _RARE or any(told[name] for told in rows["splits"].values())]

    def cell(name: str, n: int) -> str:
        return f"{signs[name] if n and name in signs else ''}{_n(n)}"

    table = [[split, *(cell(name, told[name]) for name in columns)] for split, told in rows["splits"].items()]
    return ["split", *(name.replace("_", " ") for name in columns)], table


def story(rows: dict[str, Any]) -> list[str]:
    """The groups of rows that differ, the largest first, with a few rows of each; then what neither run has."""
    lines: list[str] = []
    for name, other in (("lost", "second"), ("added", "first")):
        for group in rows[name]:
            why = _ABSENT.get(group["why"], f"rejected by {_step(group['why'])} in the {{other}} run").format(
                other=other
            )
            place = "from" if name == "lost" else "to"
            lines += ["", f"{_n(group['rows'])} {name} {place} {group['split']}: {why}", *_examples(group)]
    for group in rows["moved"]:
        lines += ["", f"{_n(group['rows'])} moved from {group['from']} to {group['to']}", *_examples(group)]
    for group in rows["changed"]:
        lines += ["", f"{_n(group['rows'])} changed, {_KINDS[group['kind']]}", *_examples(group)]
    if n := sum(group["rows"] for group in rows["resized"]):
        lines += ["", f"{_n(n)} resized: the same sample, that stands for another number of rows (meta.cluster_size)"]
    if rows["fields"]:
        told = ", ".join(f"{name} {_n(n)}" for name, n in rows["fields"].items())
        lines += ["", f"parts that differ, and in how many rows: {told}"]
    return lines + _rejected(rows["rejected"])


def _rejected(told: dict[str, Any]) -> list[str]:
    lines = []
    for group in told["other_reason"]:
        before, after = (_step(group[run]) for run in ("first", "second"))
        like = visible(group["examples"][0])
        lines.append(f"  {_n(group['rows'])} by {before} in the first run, by {after} in the second (like {like})")
    for run in ("first", "second"):
        if n := told[f"only_{run}"]:
            lines.append(f"  {_n(n)} in the {run} run, not in the other's source")
    return ["", "rejected in both runs or unknown to one:", *lines] if lines else []


def _examples(group: dict[str, Any]) -> list[str]:
    lines = []
    for example in group["examples"][:_SHOWN]:
        sides = [example[run] for run in ("first", "second") if example[run] is not None]
        if not any(sides):
            sides = [example["both"]]
        lines.append(f"  {visible(example['id'])}")
        for mark, parts in zip("-+" if len(sides) > 1 else " ", sides, strict=True):
            said = "\n".join(f"[{name}] {clip(text)}" for name, text in parts)
            lines += [
                f"    {mark if i == 0 else ' '} {line}".rstrip() for i, line in enumerate(visible(said).split("\n"))
            ]
        if because := example.get("because"):
            score = "" if because["score"] is None else f", {because['score']:.2f}"
            lines.append(f"      because of {visible(because['id'])}{score}")
    return lines


def _step(why: str) -> str:
    return why.replace(":", ": ", 1)


def shown_value(value: Any) -> str:
    """What a run was made with, in one line."""
    if value is None:
        return "–"
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return clip(visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).replace("\n", " "))
