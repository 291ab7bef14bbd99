"""`tune score RUN PREDICTIONS`: predictions made elsewhere, scored against the run's own answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune.errors import UserError
from tune.metrics import FROM_LOSS, accuracy, majority, score
from tune.metrics.bleu import bleu_signature
from tune.runs import Run
from tune.tables import show_figure, text_table

#: Where an unnamed split is looked for.
_ORDER = ("test", "validation", "train")
_SHAPES = 'JSON lines like {"id": "…", "prediction": "…"}, or plain text with one prediction a line'

Samples = list[dict[str, Any]]


class Scores(dict[str, Any]):
    """What `score_file` found, ready for JSON; as text, a table.

    run, task, split; n: rows scored; unlabelled: rows without an answer, which aren't; metrics: {name: {"value",
    "low", "high"}} in 0..1, in label tasks with `majority`, what the most frequent label alone would score;
    signatures: sacrebleu's, by metric; notes: what was not scored and what to know of it.
    """

    def __str__(self) -> str:
        rows = [[name, show_figure(name, figure)] for name, figure in self["metrics"].items()]
        lines = [text_table([f"{self['split']}, {self['n']:,} rows", "% [95 %]"], rows)]
        lines += [f"{name}: {text}" for name, text in self["signatures"].items()]
        return "\n".join([*lines, *(f"note: {note}" for note in self["notes"])])


@dataclass(frozen=True)
class _Said:
    """One prediction: the row it is for (None: the row of its own number) and the line it stands in."""

    id: str | None
    text: str
    line: int


def score_file(run: Run, predictions: Path, split: str | None = None) -> Scores:
    """Score the predictions of a file against a split of a run, by the recipe's metrics and exact match.

    The file holds JSON lines {"id", "prediction"} in any order, other keys ignored, or plain text: a prediction a
    line for each row of the split, in its order. Without `split` it is the one the first id belongs to; for plain
    text test if that has labels, else validation. Rows without a label may be predicted but aren't scored.
    Raises UserError for a file in neither shape, missing, unknown or repeated ids, and a split without labels.
    """
    said = list(_read(predictions))
    split = split or _split_of(run, said)
    samples = list(run.rows(split))
    notes: list[str] = []
    text_of = _by_id(run, split, samples, said, predictions, notes)
    labelled = _scorable(run, samples, notes)
    if not labelled:
        raise UserError(f"{run.file(split)}: no row has a label, so there is nothing to compare predictions with")
    if missing := [sample["meta"]["id"] for sample in labelled if sample["meta"]["id"] not in text_of]:
        raise UserError(
            f"{predictions}: {_some(missing, 'row')} of {split} without a prediction; predict all {len(labelled):,}"
        )
    return Scores(
        {"run": run.name, "task": run.task, "split": split, "n": len(labelled)}
        | {"unlabelled": sum(not _is_labelled(sample) for sample in samples)}
        | _figures(run, labelled, [text_of[sample["meta"]["id"]] for sample in labelled], notes)
        | {"notes": notes}
    )


def _figures(run: Run, samples: Samples, predictions: list[str], notes: list[str]) -> dict[str, Any]:
    names = ["exact_match", *(name for name in run.metrics if name != "exact_match")]
    references = [sample["meta"].get("references") or [sample["output"]] for sample in samples]
    labels = [sample["meta"]["label"] for sample in samples] if run.labels else None
    metrics = score(run.task, names, predictions, references, labels, run.labels)
    if labels is not None:
        metrics["majority"] = majority(labels)
        read = accuracy.label_reader(run.labels)
        if mute := sum(read(text) is None for text in predictions):
            notes.append(f"texts that name no label, or several, counted as wrong: {mute:,} of {len(predictions):,}")
    notes += [
        f"{name} is not scored: it follows from a model's loss, not from texts" for name in names if name in FROM_LOSS
    ]
    orders = {name: int(name[-1]) for name in names if name in ("bleu2", "bleu4")}
    most = max(map(len, references))
    return {"metrics": metrics, "signatures": {name: bleu_signature(order, most) for name, order in orders.items()}}


def _scorable(run: Run, samples: Samples, notes: list[str]) -> Samples:
    """The rows with an answer to compare with; in label tasks, with one that is their label."""
    labelled = [sample for sample in samples if _is_labelled(sample)]
    if len(labelled) < len(samples):
        notes.append(f"rows without a label, not scored: {len(samples) - len(labelled):,}")
    if not run.labels:
        return labelled
    read = accuracy.label_reader(run.labels)
    asked = [sample for sample in labelled if read(sample["output"]) == sample["meta"].get("label")]
    if len(asked) < len(labelled):
        notes.append(f"rows that ask for a text and not for a label, not scored: {len(labelled) - len(asked):,}")
    return asked


def _is_labelled(sample: dict[str, Any]) -> bool:
    return bool(sample["meta"].get("labelled", True)) and bool(sample["output"])


# ---- the file of predictions


def _read(path: Path) -> Iterator[_Said]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file; give {_SHAPES}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; give a file of {_SHAPES}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save the predictions as UTF-8") from None
    lines = text.removesuffix("\n").split("\n")
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: holds no prediction; give {_SHAPES}")
    first = next(line for line in lines if line.strip())
    if path.suffix.lower() == ".jsonl" or isinstance(_object(first), dict):
        yield from (_said(path, number, line) for number, line in enumerate(lines, 1) if line.strip())
    else:
        yield from (_Said(None, line, number) for number, line in enumerate(lines, 1))


def _said(path: Path, number: int, line: str) -> _Said:
    found = _object(line)
    if not isinstance(found, dict):
        raise UserError(f'{path}:{number}: not an object of JSON; a line is {{"id": "…", "prediction": "…"}}')
    for key in ("id", "prediction"):
        if not isinstance(found.get(key), str):
            raise UserError(f'{path}:{number}: {key!r} must be text; a line is {{"id": "…", "prediction": "…"}}')
    return _Said(found["id"], found["prediction"], number)


def _object(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _split_of(run: Run, said: list[_Said]) -> str:
    """The split that the first id is of; for plain text, or an id of no split, the first that has labels."""
    here = [split for split in _ORDER if split in run.splits]
    for split in here:
        if any(sample["meta"]["id"] == said[0].id for sample in run.rows(split)):
            return split
    for split in here:
        if any(map(_is_labelled, run.rows(split))):
            return split
    raise UserError(f"{run.path}: no row of the run has a label, so there is nothing to compare predictions with")


def _by_id(run: Run, split: str, samples: Samples, said: list[_Said], path: Path, notes: list[str]) -> dict[str, str]:
    """The prediction of each row; those of the run's other splits are left aside and noted."""
    ids = [sample["meta"]["id"] for sample in samples]
    if said[0].id is None:
        if len(said) != len(ids):
            raise UserError(
                f"{path}: has {len(said):,} lines, but {split} has {len(ids):,} rows; plain text needs one prediction "
                "a line for each row (for texts of several lines use JSON lines)"
            )
        return dict(zip(ids, (one.text for one in said), strict=True))
    _check_repeats(path, said)
    if strange := {one.id for one in said}.difference(ids):
        others = {sample["meta"]["id"] for name in run.splits if name != split for sample in run.rows(name)}
        if unknown := [one for one in said if one.id in strange - others]:
            names = _some([str(one.id) for one in unknown], "id")
            raise UserError(f"{path}:{unknown[0].line}: {names} that the run doesn't have; ids stand in meta.id")
        notes.append(f"predictions of other splits, left aside: {len(strange):,} (--split names another)")
    return {str(one.id): one.text for one in said}


def _check_repeats(path: Path, said: list[_Said]) -> None:
    seen: dict[str | None, int] = {}
    for one in said:
        if (first := seen.setdefault(one.id, one.line)) != one.line:
            raise UserError(f"{path}:{one.line}: a second prediction for {one.id}, the first is in line {first}")


def _some(names: list[str], what: str) -> str:
    """1 row (x) · 12 rows (the first: x)"""
    return f"1 {what} ({names[0]})" if len(names) == 1 else f"{len(names):,} {what}s (the first: {names[0]})"
