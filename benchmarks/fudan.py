"""Fudan's documents, a file each (1,436 files of 13.7 MB): the whole recipe, and what of it is segmentation.

python benchmarks/fudan.py FOLDER [TIMES]
"""

from __future__ import annotations

import sys
import tempfile

from lcqmc import fresh
from measure import alternate, table


def main(folder: str, times: str = "7") -> None:
    with tempfile.TemporaryDirectory() as out:
        curate = [sys.executable, "-m", "curate", "recipe", "fudan", "--source", folder]
        commands = {
            "recipe": fresh(curate, f"{out}/meta"),
            "recipe, segment.as=off": [*fresh(curate, f"{out}/off"), "--set", "segment.as=off"],
        }
        print(table(alternate(commands, int(times))))


if __name__ == "__main__":
    main(*sys.argv[1:])
