"""Two runs compared in plain Python, from the files of both folders."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from helpers import SPLITS, curate, lines, recipe_file, rejects

from curate.text.keys import compare_key

TEMPLATES = [
    {"id": f"t/{n:02}", "instruction": word, "input": "{{ text }}", "output": "{{ answer }}"}
    for n, word in enumerate(["判断", "请选出一项：{{ choices }}", "回答"])
]
ORDER = ("exact_dedup", "split", "leak_check", "cap", "chunk", "redact_pii")


#: Texts that mean harm to a page.
HOSTILE = (
    "</script><script>window.broken = 1</script>",
    "<img src=x onerror='window.broken = 1'>",
    "\u202e这句倒着\u202c写",
    "{{ 7*7 }}{% for %}",
    "长" * 1_000_000,
)


def run_of(folder: Path, corpus: dict[str, list[tuple[str, str]]], steps: dict[str, Any], seed: int) -> Path:
    listed = ["normalise", *({name: steps[name]} for name in ORDER if steps.get(name) is not None)]
    recipe = recipe_file(folder / "recipe", "classification", listed, TEMPLATES)
    source = folder / "source"
    source.mkdir()
    for split, rows in corpus.items():
        if rows:
            text = "".join(f"{label}\t{text}\n" for text, label in rows)
            (source / f"{split}.tsv").write_text(f"label\ttext_a\n{text}", encoding="utf-8")
    return curate(recipe, folder / "run", source, seed=seed).path


def two_runs(folder: Path) -> tuple[Path, Path]:
    """Two runs whose rows are lost, added, moved and changed; some of them mean harm."""
    rows = [(f"第{i}条评论，内容各不相同", str(i % 2)) for i in range(30)]
    rows += [(text, str(i % 2)) for i, text in enumerate(HOSTILE)] + [("很好。", "1"), ("很 好！", "1")]
    other = [
        (text.replace("评论", "评语") if i < 2 or i > 29 else text, label) for i, (text, label) in enumerate(rows)
    ]
    other[30:35] = [(f"{text}改", label) for text, label in other[30:35]]
    few = {"exact_dedup": {"by": "text"}, "split": {"validation": 0.3}, "leak_check": {}}
    many = {"exact_dedup": {"by": "key"}, "cap": {"per": "label", "max": 16}, "leak_check": {}}
    made = []
    for name, corpus, steps in (("few", rows, few), ("many", [*other, ("新来的一行", "0")], many)):
        (folder / name).mkdir()
        made.append(run_of(folder / name, {"train": corpus, "test": rows[:3]}, steps, 0))
    return made[0], made[1]


def written(run: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    return {row["meta"]["id"]: (split, row) for split in SPLITS for row in lines(run / f"{split}.jsonl")}


def plain(name: str) -> str:
    return name.partition("~")[0].partition("#")[0]


def why_gone(run: Path) -> dict[str, str]:
    """The first thing that was said of each reject of a run."""
    return {row["id"]: f"{row['step']}:{row['reason']}" for row in reversed(rejects(run))}


def why_absent(name: str, there: dict[str, Any], gone: dict[str, str]) -> str:
    """Why a run, which has written `there`, hasn't written an id that another has."""
    for each in (name, plain(name)):
        if each in gone and each not in there:
            return gone[each]
    if plain(name) in there:
        return "fewer_copies" if "~" in name else "other_parts"
    return "not_read"


def recount(one: Path, other: Path) -> dict[str, Any]:
    a, b = written(one), written(other)
    both = a.keys() & b.keys()
    other_lines = {name for name in both if a[name][1] != b[name][1]}
    resized = {name for name in other_lines if parts_changed(a[name][1], b[name][1]) == {"meta.cluster_size"}}
    changed = other_lines - resized
    gone = [why_gone(run) for run in (one, other)]
    idle = [{name: why for name, why in side.items() if name not in a and name not in b} for side in gone]
    moved = Counter((a[name][0], b[name][0]) for name in both if a[name][0] != b[name][0])
    return {
        "same": len(both) - len(other_lines | {name for name in both if a[name][0] != b[name][0]}),
        "common": len(both),
        "lost": Counter((a[name][0], why_absent(name, b, gone[1])) for name in a.keys() - b.keys()),
        "added": Counter((b[name][0], why_absent(name, a, gone[0])) for name in b.keys() - a.keys()),
        "moved": moved,
        "changed": Counter(b[name][0] for name in changed),
        "resized": Counter(b[name][0] for name in resized),
        "fields": Counter(part for name in changed for part in parts_changed(a[name][1], b[name][1])),
        "rejected": {
            "same": sum(idle[1].get(name) == why for name, why in idle[0].items()),
            "other": Counter((why, idle[1][name]) for name, why in idle[0].items() if idle[1].get(name, why) != why),
            "only_first": len(idle[0].keys() - idle[1].keys()),
            "only_second": len(idle[1].keys() - idle[0].keys()),
        },
        "rows": [Counter(split for split, _ in side.values()) for side in (a, b)],
    }


def parts_changed(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    flat = [{**row, **{f"meta.{key}": value for key, value in row["meta"].items()}} for row in (one, other)]
    return {key for key in {*flat[0], *flat[1]} - {"meta"} if flat[0].get(key) != flat[1].get(key)}


def rejected_by_step(one: Path, other: Path) -> dict[tuple[str, str, str], tuple[int, int]]:
    sides = [Counter((row["split"], row["step"], row["reason"]) for row in rejects(run)) for run in (one, other)]
    return {key: (sides[0][key], sides[1][key]) for key in sides[0].keys() | sides[1].keys()}


def told_to_a_model(row: dict[str, Any]) -> list[list[str]]:
    message = "\n".join(filter(None, (row["instruction"], row["input"])))
    past = [part for user, reply in row.get("history", ()) for part in (["user", user], ["assistant", reply])]
    system = [["system", row["system"]]] if row.get("system") else []
    return [*system, *past, ["user", message], ["assistant", row["output"]]]


def figures_by_hand(run: Path) -> dict[tuple[str, str, str], int]:
    """Those of a card's figures that can be counted in what was written, for a run of sentence pairs."""
    told: dict[tuple[str, str, str], int] = {}
    for split in SPLITS:
        rows = lines(run / f"{split}.jsonl")
        gone = sum(row["split"] == split for row in rejects(run))
        told |= {("rows", split, "written"): len(rows), ("rows", split, "rejected"): gone}
        told[("rows", split, "flagged")] = sum(bool(row["meta"]["flags"]) for row in rows)
        for label, n in Counter(row["meta"]["label"] for row in rows).items():
            told[("labels", split, label)] = n
        for field in "ab":
            sizes = sorted(len(row["meta"]["fields"][field]) for row in rows)
            for name, share in (("p5", 0.05), ("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1)):
                told[("lengths", split, f"{field} {name}")] = sizes[max(0, math.ceil(share * len(sizes)) - 1)]
    keys = {split: {pair_key(row) for row in lines(run / f"{split}.jsonl")} for split in SPLITS}
    for split in ("validation", "test"):
        for other in SPLITS:
            if other != split:
                hits = sum(pair_key(row) in keys[other] for row in lines(run / f"{split}.jsonl"))
                told[("leaks", split, f"after {other} rows")] = hits
    return told


def pair_key(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(compare_key(row["meta"]["fields"][field]) for field in "ab"))
