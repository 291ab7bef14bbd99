"""LCQMC train and dev (247,568 rows): the whole recipe against a bare polars script, taking turns.

python benchmarks/lcqmc.py TRAIN.tsv DEV.txt [TIMES]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from measure import alternate, table


def main(train: str, dev: str, times: str = "7") -> None:
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        curate = [sys.executable, "-m", "curate", "recipe", "lcqmc"]
        curate += ["--source", f"train={train}", "--source", f"validation={dev}"]
        commands = {
            "bare polars script": [sys.executable, str(here / "bare_polars.py"), f"{folder}/bare", train, dev],
            "recipe, segment.as=off": [*fresh(curate, f"{folder}/off"), "--set", "segment.as=off"],
            "recipe, segment.as=meta": fresh(curate, f"{folder}/meta"),
        }
        print(table(alternate(commands, int(times)), "bare polars script"))


def fresh(command: list[str], out: str) -> list[str]:
    """The command in a shell that first removes its folder: a run that is up to date would do nothing."""
    return ["sh", "-c", f"rm -rf '{out}'; exec \"$@\"", "sh", *command, "--out", out]


if __name__ == "__main__":
    main(*sys.argv[1:])
