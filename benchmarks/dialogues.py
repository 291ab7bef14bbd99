"""Dialogues as many as LCCC-large has, in its layout: wall time, CPU time and peak memory, to see both grow.

    python benchmarks/dialogues.py [ROWS,ROWS,…] [TIMES] [MEMORY]

The file is one JSON list of lists of utterances with a space between all characters, made up from a seed: 2 to 6
utterances of 11 characters on average, one in twenty a stock phrase, one dialogue in twenty an earlier one again. Each
number of rows is curated twice: normalised, deduplicated and formatted, and by the lccc recipe without segmentation.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

from lcqmc import fresh
from measure import alternate, table

_CHARS = "的一是不了在有人这上大来到时地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学"
_STOCK = ("哈 哈 哈", "是 的", "不 知 道", "好 的", "真 的 吗", "谢 谢", "我 也 是", "怎 么 了 ？")
_LENGTHS = (2, 3, 4, 5, 6)
_WEIGHTS = (61, 14, 12, 7, 6)
_RECIPE = {
    "name": "dialogues",
    "version": "1.0.0",
    "title": "dialogues",
    "task": "dialogue",
    "license": "none",
    "source": {"reader": "dialogue", "files": {"train": ["*.json"]}},
    "steps": ["normalise", {"exact_dedup": {"by": "key"}}],
    "templates": "dialogue",
    "metrics": ["bleu2"],
}


def generate(path: Path, rows: int, seed: int = 0) -> None:
    """Write one JSON list of `rows` dialogues, on one line."""
    draw = random.Random(seed)
    clauses = [" ".join(draw.choices(_CHARS, k=draw.randint(2, 9))) for _ in range(200_000)]
    clauses += [text for text in _STOCK for _ in range(1000)]
    kept: list[str] = []
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for start in range(0, rows, 10_000):
            some = []
            for turns in draw.choices(_LENGTHS, _WEIGHTS, k=min(10_000, rows - start)):
                if kept and draw.random() < 0.05:
                    some.append(draw.choice(kept))
                    continue
                parts = iter(draw.choices(clauses, k=2 * turns))
                said = [
                    draw.choice(_STOCK) if draw.random() < 0.05 else f"{one} ， {other}"
                    for one, other in zip(parts, parts, strict=True)
                ]
                some.append(json.dumps(said, ensure_ascii=False))
            kept = (kept + some[:1000])[-100_000:]
            out.write(("[" if not start else ", ") + ", ".join(some))
        out.write("]\n")


def main(rows: str = "1000000,3000000,12000000", times: str = "1", memory: str = "") -> None:
    more = ["--memory", memory] if memory else []
    for count in map(int, rows.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            source, recipe = Path(folder) / "LCCC-large.json", Path(folder) / "dialogues.yaml"
            generate(source, count)
            recipe.write_text(json.dumps(_RECIPE), encoding="utf-8")
            print(f"{count:,} dialogues, {source.stat().st_size / 1e6:,.0f} MB", flush=True)
            curate = [sys.executable, "-m", "curate", "recipe"]
            given = ["--source", f"train={source}", *more]
            commands = {
                "exact dedup and format": fresh([*curate, str(recipe), *given], f"{folder}/run"),
                "recipe lccc, segment.as=off": fresh(
                    [*curate, "lccc", *given, "--set", "segment.as=off"], f"{folder}/run"
                ),
            }
            print(table(alternate(commands, int(times))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
