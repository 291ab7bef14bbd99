"""A million pair rows, TSV → JSONL, the whole contract without segmentation: wall time and peak memory.

    python benchmarks/million.py [ROWS] [TIMES]

The rows are made up from a seed: questions of 6 to 20 characters, 5 % exact repeats, 2 % swapped, 0.1 % conflicts.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from lcqmc import fresh
from measure import alternate, table

_CHARS = "的一是不了在有人这上大来到时地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学"


def generate(path: Path, rows: int, seed: int = 0) -> None:
    """Write a TSV with the header `text_a text_b label`."""
    draw = random.Random(seed)

    def question() -> str:
        return "".join(draw.choices(_CHARS, k=draw.randint(6, 20))) + draw.choice(("", "？", "?"))

    kept: list[tuple[str, str, str]] = []
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.write("text_a\ttext_b\tlabel\n")
        for _ in range(rows):
            luck = draw.random()
            if kept and luck < 0.071:
                a, b, label = draw.choice(kept)
                if luck < 0.02:
                    a, b = b, a
                elif luck > 0.07:
                    label = "1" if label == "0" else "0"
            else:
                a, b, label = question(), question(), draw.choice("01")
                if len(kept) < 100_000:
                    kept.append((a, b, label))
            out.write(f"{a}\t{b}\t{label}\n")


def main(rows: str = "1000000", times: str = "3") -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "train.tsv"
        generate(source, int(rows))
        print(f"{int(rows):,} rows, {source.stat().st_size / 1e6:.1f} MB")
        command = [sys.executable, "-m", "curate", "recipe", "lcqmc", "--source", f"train={source}"]
        command += ["--set", "segment.as=off"]
        print(table(alternate({"recipe, segment.as=off": fresh(command, f"{folder}/run")}, int(times))))


if __name__ == "__main__":
    main(*sys.argv[1:])
