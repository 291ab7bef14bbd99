"""Near-duplicates: exact and near dedup and segmentation → JSONL, wall time, CPU and memory, recall and precision.

    python benchmarks/near.py LINES.txt|ROWS [TIMES] [truth]

LINES.txt has one text a line; with a number, so many lines are made up from a seed (clauses put together anew, 5 % of
them exact copies, 5 % copies with a character or two changed). With `truth` what the run removed is held against an
exact join of all pairs by the same rule, in plain Python: a minute for 100,000 lines, so not for millions.
"""

from __future__ import annotations

import json
import math
import random
import re
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from lcqmc import fresh
from measure import alternate, table

_CHARS = "的一是不了在有人这上大来到时地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学"
_RECIPE = """
name: near
version: 1.0.0
title: lines
task: classification
license: none
labels: {"0": 负面, "1": 正面}
source: {reader: table, columns: [text, label], files: {train: ["*.tsv"]}}
steps: [normalise, require, {exact_dedup: {by: key}}, near_dedup, {segment: {as: meta}}]
templates: sentiment
metrics: [accuracy]
"""


def generate(rows: int, seed: int = 0) -> list[str]:
    """Lines of 12 to 40 characters."""
    draw = random.Random(seed)
    clauses = ["".join(draw.choices(_CHARS, k=draw.randint(4, 16))) for _ in range(max(100, rows // 5))]
    lines: list[str] = []
    while len(lines) < rows:
        luck = draw.random()
        if luck < 0.1 and lines:
            text = draw.choice(lines)
            for _ in range(draw.randint(1, 2) if luck < 0.05 else 0):
                k = draw.randrange(len(text))
                text = text[:k] + draw.choice(_CHARS) + text[k + draw.randint(0, 1) :]
        else:
            parts = [draw.choice(clauses) for _ in range(draw.randint(2, 4))]
            text = draw.choice("，、；").join(parts)[:40] + draw.choice(("", "。", "！"))
        lines.append(text)
    return lines


def removed(run: Path) -> set[int]:
    """The numbers of the rows that the two steps took out."""
    with (run / "rejected.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return {int(row["id"][-9:]) for row in rows if row["step"] in ("exact_dedup", "near_dedup")}


def truth(lines: list[str], threshold: float = 0.8) -> set[int]:
    """The rows that are not the first of their cluster, by comparing all pairs that share a rare enough bigram.

    Two sets that are alike share one of the rarest n-grams of each (Chaudhuri et al., prefix filter, 2006): exact.
    """
    import polars as pl

    from curate.text.keys import key_series

    keys = key_series(pl.Series("text", lines)).to_list()
    if max(map(len, keys)) > 60:
        raise SystemExit("truth is worked out for texts of up to 60 characters")
    first: dict[str, int] = {}
    cluster = [first.setdefault(key, i) for i, key in enumerate(keys)]

    def root(i: int) -> int:
        while cluster[i] != i:
            cluster[i] = cluster[cluster[i]]
            i = cluster[i]
        return i

    sets = {i: {key[k : k + 2] for k in range(len(key) - 1)} for key, i in first.items() if len(key) > 15}
    numbers = {i: re.findall(r"[0-9]+(?:[.,][0-9]+)*", keys[i]) for i in sets}
    often = Counter(gram for grams in sets.values() for gram in grams)
    known: dict[str, list[int]] = defaultdict(list)
    for i in sorted(sets, key=lambda i: len(sets[i])):
        grams = sorted(sets[i], key=lambda gram: (often[gram], gram))
        prefix = grams[: len(grams) - math.ceil(threshold * len(grams) - 1e-9) + 1]
        for j in {j for gram in prefix for j in known[gram]}:
            common = len(sets[i] & sets[j])
            if common / (len(sets[i]) + len(sets[j]) - common) >= threshold and numbers[i] == numbers[j]:
                low, high = sorted((root(i), root(j)))
                cluster[high] = low
        for gram in prefix:
            known[gram].append(i)
    return {i for i in range(len(keys)) if root(i) != i}


def main(lines: str, times: str = "3", compare: str = "") -> None:
    texts = generate(int(lines)) if lines.isdigit() else Path(lines).read_text("utf-8").rstrip("\n").split("\n")
    with tempfile.TemporaryDirectory() as folder:
        source, recipe, run = (Path(folder) / name for name in ("train.tsv", "near.yaml", "run"))
        recipe.write_text(_RECIPE, encoding="utf-8")
        rows = (f"{text}\t{k % 2}\n" for k, text in enumerate(texts))
        source.write_text("text\tlabel\n" + "".join(rows), encoding="utf-8")
        print(f"{len(texts):,} lines, {sum(map(len, texts)):,} characters")
        command = [sys.executable, "-m", "curate", "recipe", str(recipe), "--source", f"train={source}"]
        print(table(alternate({"exact and near dedup, segmentation": fresh(command, str(run))}, int(times))))
        if compare:
            found, true = removed(run), truth(texts)
            both = len(found & true)
            print(f"removed {len(found):,}: recall {both / len(true):.5f}, precision {both / len(found):.5f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
