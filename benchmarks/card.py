"""The data card of a run of many rows: what it costs within the run, and to draw it again.

    python benchmarks/card.py [ROWS] [TIMES]

The rows are those of `near.py`, 2 % of them each in validation and test. The run is one process with one thread, and
what it does for its card's sake alone is timed where it is called; nothing of that runs beside anything else.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from measure import alternate, table
from near import generate

_RECIPE = """
name: lines
version: 1.0.0
title: 一百万行
task: classification
license: none
labels: {"0": 负面, "1": 正面}
source: {reader: table, columns: [text, label], files: {train: ["train.*"], validation: ["dev.*"], test: ["test.*"]}}
steps: [normalise, require, {label_conflict: {by: key}}, {exact_dedup: {by: key}},
        near_dedup, {leak_check: {by: key}}, {segment: {as: meta}}]
templates: sentiment
metrics: [accuracy]
"""
#: What is done for the card alone: a name, the module in which it is called, and the function or method.
_PARTS = (
    ("rows as read and cleaned", "curate.local", "glimpse"),
    ("overlap before and after", "curate.judge", "_leaks"),
    ("overlap by likeness", "curate.judge", "near_leaks"),
    ("duplicates", "curate.judge", "_duplicates"),
    ("rows to be shown, chosen", "curate.card.shown", "Shown.__init__"),
    ("lengths, labels", "curate.card.measure", "Measure.records"),
    ("templates", "curate.card.measure", "Measure.rendered"),
    ("words counted", "curate.steps.segment", "count_words"),
    ("words of all slices", "curate.card.measure", "Measure.words"),
    ("rejects to be shown", "curate.card.shown", "Shown.rejects"),
    ("card.json", "curate.result", "card_data"),
    ("card.html, README.md, figures", "curate.result", "draw_card"),
)


def main(rows: str = "1000000", times: str = "3") -> None:
    with tempfile.TemporaryDirectory() as folder:
        # The lines are made elsewhere: a child's peak begins at what its parent holds.
        _elsewhere("write", rows, folder)
        run = f"{folder}/run"
        for threshold in ("off", "0.8"):
            told = json.loads(_elsewhere("timed", threshold, folder, run))
            seconds, raised = ({name: cost[k] for name, cost in told["card"].items()} for k in (0, 1))
            head = (
                f"{int(rows):,} rows, near_dedup {threshold}: {told['run']:.1f} s of CPU, peak {told['peak']:.0f} MB"
            )
            print(f"\n{head}")
            print(f"for the card: {sum(seconds.values()):.1f} s, and {sum(raised.values()):.0f} MB of the peak\n")
            print("| part | CPU s | raised the peak by MB |\n|---|---:|---:|")
            print("\n".join(f"| {name} | {seconds[name]:.2f} | {raised[name]:.0f} |" for name in seconds))
        print()
        print(table(alternate({"curate card": [sys.executable, "-m", "curate", "card", run]}, int(times))))


def _elsewhere(*words: str) -> str:
    env = {**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__, *words], stdout=subprocess.PIPE, encoding="utf-8", env=env)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


def write(rows: str, folder: str) -> None:
    """The source and the recipe."""
    (Path(folder) / "source").mkdir()
    lines = generate(int(rows))
    few = len(lines) // 50
    for name, texts in {"dev": lines[:few], "test": lines[few : 2 * few], "train": lines[2 * few :]}.items():
        body = "".join(f"{text}\t{k % 2}\n" for k, text in enumerate(texts))
        (Path(folder) / "source" / f"{name}.tsv").write_text(f"text\tlabel\n{body}", encoding="utf-8")
    (Path(folder) / "lines.yaml").write_text(_RECIPE, encoding="utf-8")


def timed(threshold: str, folder: str, out: str) -> None:
    """Make the run here, and print as JSON what it cost and what each part of its card cost."""
    import curate.judge
    from curate.pipeline import curate_recipe
    from curate.recipefile import load_recipe

    spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    curate.judge.ThreadPoolExecutor = _InTurn  # type: ignore[misc, assignment]
    for name, module, attribute in _PARTS:
        holder: Any = import_module(module)
        *parents, last = attribute.split(".")
        for parent in parents:
            holder = getattr(holder, parent)
        setattr(holder, last, _clocked(getattr(holder, last), spent[name]))
    recipe = load_recipe(f"{folder}/lines.yaml", [f"near_dedup.threshold={threshold}"])
    start = time.process_time()
    curate_recipe(recipe, [f"{folder}/source"], out=Path(out), workers=1, force=True)
    print(json.dumps({"run": time.process_time() - start, "peak": _peak(), "card": spent}))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _clocked(work: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """`work`, which adds the CPU seconds it takes and the MB by which it raises the peak to `spent`."""

    def clocked(*given: Any, **named: Any) -> Any:
        start, peak = time.process_time(), _peak()
        try:
            return work(*given, **named)
        finally:
            spent[0] += time.process_time() - start
            spent[1] += _peak() - peak

    return clocked


class _InTurn:
    """An executor that does everything at once and in turn, so that CPU time belongs to who asked for it."""

    def __init__(self, _: int) -> None:
        self.made: Any = None

    def __enter__(self) -> _InTurn:
        return self

    def __exit__(self, *error: object) -> None: ...

    def submit(self, work: Callable[..., Any], *given: Any) -> _InTurn:
        done = _InTurn(1)
        done.made = work(*given)
        return done

    def result(self) -> Any:
        return self.made


if __name__ == "__main__":
    work = {"write": write, "timed": timed}.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if work:
        work(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
