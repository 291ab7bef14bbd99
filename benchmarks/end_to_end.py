"""The real train files together, near dedup and segmentation on: characters of the files a second, wall time, memory.

    python benchmarks/end_to_end.py CORPORA [TIMES]

CORPORA holds a folder for each corpus (lcqmc, cmrc2018, …). Every shipped recipe whose train files are named below is
carried out as it is, LCQMC's with its `near_dedup` switched on: all of them one after the other in one process, and in
processes of their own, two at a time, the largest first; what each costs by itself is shown too. Characters are those
of the source files as they stand there, decoded.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from lcqmc import fresh
from measure import alternate, once, table

import curate

#: The train files of each recipe, as far as they are published in full or in part.
TRAIN = {
    "lcqmc": ["lcqmc/train.tsv"],
    "cmrc2018": ["cmrc2018/train.json"],
    "fudan": ["fudan"],
    "chnsenticorp": ["chnsenticorp/train.tsv"],
    "lccc": ["lccc/toy_train.txt"],
    "ecdt": ["ecdt/smp2017_task1/train"],
    "nlpcc-summary": ["nlpcc/summ2017_articles.train.sample.txt"],
}
#: Of pairs near-duplicates are looked for only where it is asked for.
OPTIONS = {"lcqmc": ["near_dedup.threshold=0.9"]}


def characters(run: Path, sources: list[Path]) -> int:
    """Characters of the source files, decoded as the run's manifest says."""
    files = {path.name: path for source in sources for path in [source, *source.rglob("*")] if path.is_file()}
    entries = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["sources"]
    named = [(files[Path(entry["file"]).name], entry["encoding"]) for entry in entries]
    return sum(len(path.read_text(encoding=encoding, errors="replace")) for path, encoding in named)


def together(folder: Path, corpora: Path) -> None:
    """All recipes in this process."""
    for name, files in TRAIN.items():
        sources = [f"train={corpora / file}" for file in files]
        curate.recipe(name, sources, overrides=OPTIONS.get(name, ()), out=folder / "all" / name, force=True)


def two_at_a_time(commands: list[list[str]]) -> None:
    """Each command in a process of its own, the next one as soon as one of two ends."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(partial(subprocess.run, stdout=subprocess.DEVNULL, check=True), commands))


def main(corpora: str, times: str = "3") -> None:
    here = Path(corpora).resolve()
    with tempfile.TemporaryDirectory() as out:
        folder, commands, read = Path(out), {}, 0
        for name, files in TRAIN.items():
            command = [sys.executable, "-m", "curate", "recipe", name]
            command += [word for file in files for word in ("--source", f"train={here / file}")]
            command += [word for option in OPTIONS.get(name, ()) for word in ("--set", option)]
            commands[name] = fresh(command, str(folder / name))
            once(commands[name])
            read += characters(folder / name, [here / file for file in files])
        command = [sys.executable, __file__, "together", out, str(here)]
        commands["together"] = ["sh", "-c", f"rm -rf '{out}/all'; exec \"$@\"", "sh", *command]
        each = sorted((commands[name] for name in TRAIN), key=lambda command: -once(command).wall)
        commands["two at a time"] = [sys.executable, __file__, "two", json.dumps(each)]
        costs = alternate(commands, int(times))
        print(table(costs))
        for name in ("together", "two at a time"):
            print(f"{read:,} characters {name}: {read / costs[name].wall / 1e6:.2f} million a second")
        for name in TRAIN:  # in one process or in many: the same files
            ours = [folder / "all" / name, folder / name]
            subprocess.run(["diff", "-rq", "-x", "local.json", *map(str, ours)], check=True)


if __name__ == "__main__":
    if sys.argv[1] == "together":
        together(Path(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1] == "two":
        two_at_a_time(json.loads(sys.argv[2]))
    else:
        main(*sys.argv[1:])
