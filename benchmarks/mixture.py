"""The mixture of all ten corpora, from runs made once: wall time, CPU and peak memory of the one pass over them.

    python benchmarks/mixture.py CORPORA [TIMES]

CORPORA holds a folder for each corpus (cmrc2018, …; one `nlpcc` for the four recipes of that name).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lcqmc import fresh
from measure import alternate, table

from curate.mixture.file import load_mixture

CURATE = [sys.executable, "-m", "curate"]


def main(corpora: str, times: str = "5") -> None:
    """Curate every part, then mix them by caps, and as they are."""
    here = Path(corpora).resolve()
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        parts = list(load_mixture("all").parts)
        for name in parts:
            source = here / ("nlpcc" if name.startswith("nlpcc") else name)
            command = [*CURATE, "recipe", name, "--source", str(source)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        every = {"name": "every", "version": "1.0.0", "title": "every row", "parts": dict.fromkeys(parts)}
        Path("every.yaml").write_text(json.dumps(every), encoding="utf-8")
        commands = {
            "mix all (at most 30,000 of each)": fresh([*CURATE, "mix", "all"], "runs/all"),
            "mix every row": fresh([*CURATE, "mix", "every.yaml"], "runs/every"),
        }
        print(table(alternate(commands, int(times))))
        for run in ("all", "every"):
            said = json.loads(Path(f"runs/{run}/manifest.json").read_text(encoding="utf-8"))
            read, written = (sum(split[key] for split in said["splits"].values()) for key in ("read", "written"))
            size = sum(output["bytes"] for output in said["outputs"])
            print(f"{run}: {read:,} rows read, {written:,} written, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
