"""The report of a tuning, its model card and loss curve, and the table at the end: all from the folder's own files."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tune.config import TINIES, Config
from tune.curve import draw_curve
from tune.errors import UserError
from tune.folder import read_local
from tune.lock import LOCK, read_lock
from tune.model_card import Facts, draw_card
from tune.page import PAGE, card_link, draw_report
from tune.results import EVAL, METRICS, MODELS, PREDICTIONS, read_eval, read_lines, write_text
from tune.runs import Run, open_run
from tune.tables import BASELINES, metric_names, print_table, show_figure


def report(folder: Path, lang: str = "zh") -> list[str]:
    """Write report.html (its first language `lang`), README.md (the model card) and curve.svg of a tuning.

    Returns notes about what could not be said. Raises UserError where the folder is no tuning or a file is damaged.
    """
    facts, notes = _gather(folder)
    curve = draw_curve(facts.steps, folder.resolve().name)
    if curve:
        write_text(folder / "curve.svg", curve)
    write_text(folder / PAGE, draw_report(facts, lang))
    write_text(folder / "README.md", draw_card(facts, curve=bool(curve)))
    return notes


def export(folder: Path, out: Path, lang: str = "zh") -> Path:
    """Write a tuning's report into the folder `out`, with figures only; returns the page's path.

    Raises UserError as `report` does, and where `out` is a file or a tuning, whose report keeps its rows.
    """
    facts, _ = _gather(folder)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder with --out")
    if (out / LOCK).exists():
        raise UserError(f"{out}: is a tuning, whose report keeps its examples; name another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / PAGE, draw_report(replace(facts, card=None), lang, rows=False))
    return out / PAGE


def print_summary(folder: Path, file: Any = None) -> None:
    """The scores of base and tuned as a table, and for `tiny` what they are worth."""
    columns, rows = summary(read_eval(folder))
    print_table(columns, rows, texts=2, file=file)
    if read_lock(folder).config.model in TINIES:
        print("tiny shows the machinery, not quality: a small model made on the spot from random weights", file=file)


def summary(evaluation: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """eval.json as a table: a row a split and metric; base beside tuned, and baselines, which are of no model."""
    columns = ["split", "metric", "n", *(name for name in MODELS if name in evaluation), "baseline"]
    sections = {split: None for name in MODELS for split in evaluation.get(name, {})}
    rows = []
    for split in sections:
        of = [evaluation[name].get(split, {}) for name in MODELS if name in evaluation]
        n = str(next((f"{section['n']:,}" for section in of if "n" in section), "–"))
        for metric in metric_names(*of):
            figures = [show_figure(metric, section.get(metric)) for section in of]
            baseline = metric in BASELINES
            shown = ["–"] * len(of) + [figures[-1]] if baseline else [*figures, "–"]
            rows.append([split, metric, n, *shown])
    return columns, rows


# ---- gathering


def _gather(folder: Path) -> tuple[Facts, list[str]]:
    lock, local = read_lock(folder), read_local(folder)
    notes: list[str] = []
    evaluation = read_eval(folder) if (folder / EVAL).is_file() else {}
    if not evaluation:
        notes.append("the tuning was not evaluated: its card has no results")
    steps = read_lines(folder / METRICS) if (folder / METRICS).is_file() else []
    plan = _json(folder / "plan.json")
    run = Path(str(local.get("run") or ""))
    manifest, corpus = (_json(run / "manifest.json"), _corpus(run)) if local.get("run") else ({}, {})
    if manifest.get("fingerprint") != lock.hashes.get("run"):
        notes.append(f"{run}: the run is gone or another by now: the card doesn't say its corpus and licence")
        manifest, corpus = {}, {}
    opened = _run(run) if manifest else None
    return Facts(
        folder=folder,
        config=_without_path(lock.config),
        hashes=lock.hashes,
        evaluation=evaluation,
        steps=steps,
        plan=plan,
        local=local,
        manifest=manifest,
        corpus=corpus,
        tokenizer=_tokenizer(folder),
        run=opened,
        card=card_link(folder, run if manifest else None),
        predictions=_predictions(folder) if evaluation else [],
    ), notes


def _run(path: Path) -> Run | None:
    """The run, where its files are whole."""
    try:
        return open_run(path)
    except UserError:
        return None


def _predictions(folder: Path) -> list[dict[str, Any]]:
    """The lines of predictions.jsonl; none where there is no such file."""
    path = folder / PREDICTIONS
    rows = read_lines(path) if path.is_file() else []
    for number, row in enumerate(rows, 1):
        if not all(isinstance(row.get(key), kind) for key, kind in _ROW.items()):
            raise UserError(f"{path}:{number}: no line of predictions; `python -m tune eval {folder}` makes it again")
    return rows


_ROW = {"id": str, "split": str, "prompt": str, "references": list}


def _without_path(config: Config) -> Config:
    """A model that stands in a folder goes by the folder's name: a card is for other machines too."""
    model = config.model
    in_folder = model not in TINIES and (Path(model).exists() or Path(model).is_absolute() or model.count("/") > 1)
    return config.model_copy(update={"model": Path(model).name}) if in_folder else config


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _corpus(run: Path) -> dict[str, Any]:
    """What the run's data card says of the corpus; its front matter has the licence as the Hub calls it."""
    card = _json(run / "card.json")
    known, mixture = (said if isinstance(said := card.get(key), dict) else {} for key in ("recipe", "mixture"))
    try:
        text = (run / "README.md").read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = ""
    head = text.split("\n---", 1)[0] if text.startswith("---\n") else ""
    fields = re.findall(r"^(license|license_name|pretty_name): *(.+)$", head, flags=re.MULTILINE)
    found = {key: value.strip().strip('"') for key, value in fields}
    return (
        found
        | {key: value for key, value in known.items() if value and key != "license"}
        | {"terms": known.get("license")}
        | {"licenses": {name: entry.get("license") for name, entry in mixture.get("corpora", {}).items()}}
    )


def _tokenizer(folder: Path) -> Any:
    """The tokenizer saved with the result, or None."""
    for place in (folder / "adapter", folder / "model"):
        if (place / "tokenizer_config.json").is_file():
            from transformers import AutoTokenizer

            return AutoTokenizer.from_pretrained(place, local_files_only=True)
    return None
