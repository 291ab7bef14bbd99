"""eval.json and predictions.jsonl of a tuning: base and tuned side by side, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune.errors import UserError

EVAL, PREDICTIONS, METRICS, SAMPLES = "eval.json", "predictions.jsonl", "metrics.jsonl", "samples.jsonl"
#: The two models of a tuning, in the order in which they are shown.
MODELS = ("base", "tuned")


@dataclass(frozen=True)
class Evaluation:
    """What one model made of some splits.

    splits: {section: {"n": rows, metric: {"value", "low", "high"}, …}}; a section is a split, and of a mixture also a
    corpus of it, like `validation/lcqmc`. rows: one a question, {"id", "split", "prompt", "prediction", "references",
    "scores"}, in the order of splits and files. notes: what was not done, and why.
    """

    splits: dict[str, dict[str, Any]]
    rows: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


def write_evaluation(folder: Path, *, base: Evaluation | None = None, tuned: Evaluation | None = None) -> list[str]:
    """Write eval.json and predictions.jsonl of the tuning `folder`; returns notes.

    A model that isn't given keeps what the folder holds about it, if that is about the same rows; so the base can be
    evaluated before training and the tuned model after it. A line of predictions.jsonl has the keys id, split, prompt,
    prediction, references, base_prediction, scores and base_scores; null stands for a model that wasn't evaluated.
    """
    given = {"base": base, "tuned": tuned}
    new = next((evaluation for evaluation in given.values() if evaluation), None)
    if new is None:
        raise ValueError("neither base nor tuned is given")
    ids = [(row["split"], row["id"]) for row in new.rows]
    notes = [note for evaluation in given.values() if evaluation for note in evaluation.notes]
    for name in MODELS:
        if given[name] is None:
            given[name] = kept = read_evaluation(folder, name)
            if kept and [(row["split"], row["id"]) for row in kept.rows] != ids:
                given[name] = None
                notes.append(f"{name}: was evaluated on other rows before; left out of {EVAL}")
    shown = {name: evaluation for name, evaluation in given.items() if evaluation}
    if any([(row["split"], row["id"]) for row in evaluation.rows] != ids for evaluation in shown.values()):
        raise ValueError("base and tuned were evaluated on different rows")
    write_text(folder / PREDICTIONS, "".join(json_line(row) for row in _side_by_side(shown)))
    write_json(folder / EVAL, {name: evaluation.splits for name, evaluation in shown.items()})
    return list(dict.fromkeys(notes))


def _side_by_side(shown: dict[str, Evaluation]) -> Iterator[dict[str, Any]]:
    for index, row in enumerate(next(iter(shown.values())).rows):
        of = {name: evaluation.rows[index] for name, evaluation in shown.items()}
        answers = {name: of[name]["prediction"] if name in of else None for name in MODELS}
        scores = {name: of[name]["scores"] if name in of else None for name in MODELS}
        yield {
            **{key: row[key] for key in ("id", "split", "prompt")},
            "prediction": answers["tuned"],
            "references": row["references"],
            "base_prediction": answers["base"],
            "scores": scores["tuned"],
            "base_scores": scores["base"],
        }


def read_evaluation(folder: Path, name: str) -> Evaluation | None:
    """What the folder holds about a model ("base" or "tuned"), or None where it was never evaluated."""
    if not (folder / EVAL).is_file() or name not in (splits := read_eval(folder)):
        return None
    prefix = "base_" if name == "base" else ""
    rows = []
    for row in read_lines(folder / PREDICTIONS):
        if row.get(f"{prefix}scores") is None:
            return None
        answer = {"prediction": row[f"{prefix}prediction"], "scores": row[f"{prefix}scores"]}
        rows.append({key: row[key] for key in ("id", "split", "prompt", "references")} | answer)
    return Evaluation(splits[name], rows)


def read_eval(folder: Path) -> dict[str, Any]:
    """The eval.json of a tuning. Raises UserError where there is none or it is damaged."""
    path = folder / EVAL
    if not folder.is_dir():
        raise UserError(f"{folder}: no such tuning; `python -m tune train RUN` makes one")
    if not path.is_file():
        raise UserError(f"{folder}: was never evaluated (it has no {EVAL}); `python -m tune eval {folder}` does that")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(found.get(name, {}), dict) for name in MODELS):
        raise UserError(f"{path}: is damaged; `python -m tune eval {folder}` makes it again")
    return found


def read_predictions(folder: Path) -> list[dict[str, Any]]:
    """The predictions of a tuning that were made by its tuned model. Raises UserError where they are missing."""
    path = folder / PREDICTIONS
    rows = read_lines(path)
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("scores"), dict) or not all(key in row for key in ("id", "split", "references")):
            raise UserError(
                f"{path}:{number}: no prediction of the tuned model; `python -m tune eval {folder}` makes it"
            )
    return rows


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file. Raises UserError, with the line, where it is missing or broken."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    rows = []
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                row = json.loads(line.decode("utf-8"))
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise UserError(f"{path}:{number}: not a line of JSON: the file was changed or cut off")
            rows.append(row)
    return rows


def write_text(path: Path, text: str) -> None:
    """Write a file aside and move it in, so that it is never seen half written."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8", newline="\n")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """`write_text` for indented JSON."""
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n")


def json_line(row: dict[str, Any]) -> str:
    """One line of JSON Lines."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


def append_samples(folder: Path, step: int, rows: Iterable[dict[str, Any]]) -> None:
    """Add generations of a training step to samples.jsonl; lines of this step or later ones (a run taken up) go."""
    path = folder / SAMPLES
    before = [row for row in read_lines(path) if row["step"] < step] if path.is_file() else []
    write_text(path, "".join(json_line(row) for row in [*before, *({"step": step, **row} for row in rows)]))
