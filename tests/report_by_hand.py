"""A finished tuning's folder made of files alone: no model is loaded, and what both models said is chosen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tune.config import resolve
from tune.folder import write_local
from tune.lock import write_lock
from tune.metrics import majority, measure
from tune.metrics.bootstrap import interval, ratio
from tune.questions import accepted, is_labelled
from tune.results import Evaluation, json_line, write_evaluation, write_json, write_text
from tune.runs import Run, open_run

#: What base and tuned say to a sample, the number of its row given.
Say = Callable[[int, dict[str, Any]], tuple[str, str]]

PLAN = {
    "samples": 1_234,
    "tokens": 98_765,
    "answer_tokens": 4_321,
    "dropped": 7,
    "truncated": 0,
    "batch": 16,
    "epochs": 2.0,
    "steps": 40,
    "device": "CPU",
    "parameters": {"trainable": 1_500_000, "total": 600_000_000},
    "memory": {"peak": 3 << 30, "allocated": 2 << 30},
}
TRAINING = {"steps": 40, "seconds": 61.0, "tokens_per_second": 2345.6, "best_step": 30, "peak_memory": 1 << 30}


def make_folder(run_folder: Path, out: Path, say: Say, models: tuple[str, ...] = ("base", "tuned")) -> Path:
    """Write the files of a tuning on a run: eval.json by the project's metrics, predictions.jsonl as `say` has it."""
    run = open_run(run_folder)
    out.mkdir(parents=True)
    config = resolve(run, method="lora", model="acme/small-1B", seed=3, sets=["batch=16", "r=8"])
    hashes = {
        key: 16 * letter for key, letter in zip(("recipe", "tokenizer", "template", "model"), "abcd", strict=True)
    }
    write_lock(config, out, hashes | {"run": run.fingerprint})
    write_json(out / "plan.json", {"run": run.name, **PLAN})
    steps = [{"step": i, "loss": 6 / i + i % 3 / 10, "lr": 1e-3 * (41 - i) / 40} for i in range(1, 41)]
    evals = [{"kind": "eval", "step": step, "answer_loss": 8 / step + 0.5} for step in (10, 20, 30, 40)]
    write_text(out / "metrics.jsonl", "".join(map(json_line, [*steps, *evals])))
    for side, model in enumerate(("base", "tuned")):
        if model in models:
            write_evaluation(out, **{model: _evaluation(run, side, say)})
    write_local(out, run, finished=True, training=TRAINING, seconds=90.0)
    return out


def _evaluation(run: Run, side: int, say: Say) -> Evaluation:
    sections: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for split in ("validation", "test"):
        if split not in run.splits:
            continue
        lines: list[tuple[int, dict[str, Any]]] = []
        for part in run.parts:
            samples = [(at, sample) for at, sample in part.numbered(split) if is_labelled(sample)]
            if not samples:
                continue
            said = [say(at, sample)[side] for at, sample in samples]
            labels = [str(sample["meta"]["label"]) for _, sample in samples] if part.labels else None
            names = ["exact_match", *(name for name in part.metrics if name != "exact_match")]
            references = [accepted(sample) for _, sample in samples]
            measured = measure(part.task, names, said, references, labels, part.labels)
            nll = np.array([[(3.0 - 2 * side) * (1 + at % 4), 1 + at % 3] for at, _ in samples])
            section = {"n": len(samples), "answer_loss": interval(nll, ratio), **measured.figures()}
            sections[part.section(split)] = section | ({"majority": majority(labels)} if labels else {})
            for (at, sample), prediction, scores, (loss, tokens) in zip(
                samples, said, measured.by_row(), nll, strict=True
            ):
                asked = "\n".join(filter(None, (sample["instruction"], sample["input"])))
                told = {"nll": float(loss), "answer_tokens": int(tokens), **scores}
                row = {"id": sample["meta"]["id"], "split": split, "prompt": asked, "prediction": prediction}
                lines.append((at, row | {"references": accepted(sample), "scores": told}))
        if len(run.parts) > 1:
            exact = [[row["scores"]["exact_match"]] for _, row in sorted(lines, key=lambda line: line[0])]
            whole = interval(np.array(exact), lambda sums, n: sums[:, 0] / n)
            sections[split] = {"n": len(lines), "exact_match": whole}
        rows += [row for _, row in sorted(lines, key=lambda line: line[0])]
    return Evaluation(sections, rows)


def predictions_of(folder: Path) -> list[dict[str, Any]]:
    """predictions.jsonl as it is."""
    text = (folder / "predictions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def grown(run: Path, out: Path, split: str, n: int) -> Path:
    """A copy of a run whose split has n rows: its own again and again, each with an id of its own."""
    import shutil

    from mixture_by_hand import rows_of, write_rows

    shutil.copytree(run, out)
    own = rows_of(out, split)
    rows = []
    for at in range(n):
        row = json.loads(json.dumps(own[at % len(own)]))
        row["meta"]["id"] = f"grown/{split}/{at:09}"
        row["input"] = f"{row['input']}（第{at}行）"
        rows.append(row)
    write_rows(out, split, rows)
    return out
