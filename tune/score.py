"""`tune score RUN PREDICTIONS`: predictions made elsewhere, scored against the run's own answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tune.errors import UserError
from tune.metrics import FROM_LOSS, accuracy, majority, score
from tune.metrics.bleu import bleu_signature
from tune.questions import accepted, is_labelled
from tune.runs import MIXTURE, Run
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

    Of a mixture, metrics has the exact_match of all rows, and corpora {name: {task, n, metrics, signatures}}.
    """

    def __str__(self) -> str:
        lines = _lines(self["split"], self)
        for name, part in self.get("corpora", {}).items():
            lines += ["", *_lines(f"{self['split']}/{name}", part)]
        return "\n".join([*lines, *(f"note: {note}" for note in self["notes"])])


def _lines(head: str, scores: dict[str, Any]) -> list[str]:
    rows = [[name, show_figure(name, figure)] for name, figure in scores["metrics"].items()]
    table = text_table([f"{head}, {scores['n']:,} rows", "% [95 %]"], rows)
    return [table, *(f"{name}: {text}" for name, text in scores["signatures"].items())]


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
    text test if that has labels, else validation. Rows without a label may be predicted but aren't scored. A mixture's
    rows are scored corpus by corpus; a corpus none of whose rows is predicted is left out, and noted.
    Raises UserError for a file in neither shape, missing, unknown or repeated ids, and a split without labels.
    """
    said = list(_read(predictions))
    split = split or _split_of(run, said)
    samples = list(run.rows(split))
    notes: list[str] = []
    text_of = _by_id(run, split, samples, said, predictions, notes)
    scored: list[tuple[Run, Samples]] = []
    for part in run.parts:
        own = [sample for sample in samples if run.corpus_of(sample) == part.corpus]
        if part.corpus and not any(sample["meta"]["id"] in text_of for sample in own):
            notes += [f"{part.corpus}: no row of it is predicted; not scored"] if own else []
        elif labelled := _scorable(part, own, notes):
            scored.append((part, labelled))
    if not scored:
        raise UserError(f"{run.file(split)}: no row has a label, so there is nothing to compare predictions with")
    ids = [sample["meta"]["id"] for _, labelled in scored for sample in labelled]
    if missing := [id for id in ids if id not in text_of]:
        raise UserError(
            f"{predictions}: {_some(missing, 'row')} of {split} without a prediction; predict all {len(ids):,}"
        )
    scores: dict[str, Any] = {"run": run.name, "task": run.task, "split": split, "n": len(ids)}
    scores["unlabelled"] = sum(not is_labelled(sample) for sample in samples)
    by_corpus = {
        part.corpus: {"task": part.task, "n": len(labelled)} | _figures(part, labelled, text_of, notes)
        for part, labelled in scored
    }
    if run.task != MIXTURE:
        return Scores(scores | by_corpus[""] | {"notes": notes})
    # What means the same for every task, over the rows in the order of the file.
    chosen = set(ids)
    whole = [sample for sample in samples if sample["meta"]["id"] in chosen]
    scores |= _figures(replace(run, metrics=()), whole, text_of, [])
    return Scores(scores | {"corpora": by_corpus, "notes": notes})


def _figures(run: Run, samples: Samples, text_of: dict[str, str], notes: list[str]) -> dict[str, Any]:
    """Metrics and signatures of rows of a run or of a part."""
    names = ["exact_match", *(name for name in run.metrics if name != "exact_match")]
    predictions = [text_of[sample["meta"]["id"]] for sample in samples]
    references = [accepted(sample) for sample in samples]
    labels = [sample["meta"]["label"] for sample in samples] if run.labels else None
    metrics = score(run.task, names, predictions, references, labels, run.labels)
    if labels is not None:
        metrics["majority"] = majority(labels)
        read = accuracy.label_reader(run.labels)
        if mute := sum(read(text) is None for text in predictions):
            counted = f"{mute:,} of {len(predictions):,}"
            _note(notes, run, f"texts that name no label, or several, counted as wrong: {counted}")
    for name in names:
        if name in FROM_LOSS:
            _note(notes, run, f"{name} is not scored: it follows from a model's loss, not from texts")
    orders = {name: int(name[-1]) for name in names if name in ("bleu2", "bleu4")}
    most = max(map(len, references))
    return {"metrics": metrics, "signatures": {name: bleu_signature(order, most) for name, order in orders.items()}}


def _note(notes: list[str], run: Run, text: str) -> None:
    notes.append(f"{run.corpus}: {text}" if run.corpus else text)


def _scorable(run: Run, samples: Samples, notes: list[str]) -> Samples:
    """The rows with an answer to compare with; in label tasks, with one that is their label."""
    labelled = [sample for sample in samples if is_labelled(sample)]
    if len(labelled) < len(samples):
        _note(notes, run, f"rows without a label, not scored: {len(samples) - len(labelled):,}")
    if not run.labels:
        return labelled
    read = accuracy.label_reader(run.labels)
    asked = [sample for sample in labelled if read(sample["output"]) == sample["meta"].get("label")]
    if len(asked) < len(labelled):
        _note(notes, run, f"rows that ask for a text and not for a label, not scored: {len(labelled) - len(asked):,}")
    return asked


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
        if any(map(is_labelled, run.rows(split))):
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
