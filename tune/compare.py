"""Several tunings side by side: the settings that differ, their scores, and whether a difference is more than chance.

Two intervals that overlap say little when both models answered the same rows: what is hard for one is hard for the
other. So rows are drawn for both at once, and the interval is that of the difference (a paired bootstrap).

Mixtures are compared corpus by corpus, and as a whole where they are of the same rows. A tuning on one corpus stands
beside those on mixtures that hold it: so a mixture shows what it does for each of its corpora.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune.errors import UserError
from tune.folder import Tuning, open_tuning
from tune.paired import by_section, differences, part_of
from tune.results import read_eval, read_predictions
from tune.runs import MANIFEST, MIXTURE, Run
from tune.tables import metric_names, show_difference, show_figure, text_table


class Comparison(dict[str, Any]):
    """What `compare` found, ready for JSON; as text, tables.

    tunings: their names. settings: {key: [value of each]}, those that differ. splits: {section of eval.json: {"n",
    "metrics": {name: [figure of each]}, "differences": {name: [figure of each, less the first one's]}}}; a figure is
    {"value", "low", "high"} or None. notes: what was not compared, and why.
    """

    def __str__(self) -> str:
        names = self["tunings"]
        parts = []
        if self["settings"]:
            rows = [[key, *map(str, values)] for key, values in self["settings"].items()]
            parts.append(text_table(["settings that differ", *names], rows))
        columns = [*names, *(f"{name} − {names[0]}" for name in names[1:])]
        for split, found in self["splits"].items():
            rows = []
            for metric, figures in found["metrics"].items():
                differences = found["differences"].get(metric, [None] * len(names))[1:]
                shown = [show_figure(metric, figure) for figure in figures]
                rows.append([metric, *shown, *(show_difference(metric, figure) for figure in differences)])
            parts.append(text_table([f"{split}, {found['n']:,} rows", *columns], rows))
        if any(found["differences"] for found in self["splits"].values()):
            parts.append("* the interval of the difference (95 %, rows drawn for both at once) leaves out 0")
        return "\n\n".join([*parts, *(f"note: {note}" for note in self["notes"])])


def check_call(paths: Sequence[Path], options: Sequence[str]) -> None:
    """Raise UserError for a call that only makes sense with --methods: a run instead of tunings, or settings."""
    example = "compare RUN --methods lora,full"
    if options:
        raise UserError(f"{', '.join(options)}: for tuning by several methods; add --methods, as in {example}")
    if len(paths) == 1 and (paths[0] / MANIFEST).is_file():
        raise UserError(f"{paths[0]}: is a run; {example} tunes on it by several methods and compares them")


def compare(folders: Sequence[Path]) -> Comparison:
    """Compare two or more finished tunings with the first of them, on the splits that all of them were evaluated on.

    Raises UserError for fewer than two, a tuning that was never evaluated, and tunings that answered different rows.
    """
    if len(folders) < 2:
        raise UserError("compare needs two tunings or more: python -m tune compare TUNING TUNING")
    tunings = [open_tuning(folder) for folder in folders]
    names = _mixed_names([tuning.run for tuning in tunings])
    sides = [_side(tuning, names) for tuning in tunings]
    every = list(dict.fromkeys(name for side in sides for name in side.figures))
    shared = [name for name in every if all(name in side.figures for side in sides)]
    if not shared:
        raise UserError(f"{folders[0]} and {folders[1]}: no split was evaluated for all of them")
    notes = []
    if left_out := ", ".join(name for name in every if name not in shared):
        notes.append(f"{left_out}: not evaluated for all of them; left out")
    same_tokens = len({tuning.hashes.get("tokenizer") for tuning in tunings}) == 1
    if not same_tokens:
        notes.append("answer_loss is a mean over tokens, and the tokenizers differ: no difference is given")
    found = {}
    for name in shared:
        rows = [side.rows.get(name, []) for side in sides]
        part = part_of(tunings[0].run, name)
        if part.task == MIXTURE and _different(rows):
            notes.append(f"{name}: the mixtures are of different rows; only what they share is compared")
            continue
        _check_same_rows(folders, name, rows)
        here = [side.figures[name] for side in sides]
        found[name] = {
            "n": here[0]["n"],
            "metrics": {metric: [figures.get(metric) for figures in here] for metric in metric_names(*here)},
            "differences": differences(part, rows, here, same_tokens),
        }
    if not found:
        raise UserError(f"{folders[0]} and {folders[1]}: mixtures that share no corpus")
    return Comparison(tunings=_names(folders), settings=_settings(tunings), splits=found, notes=notes)


@dataclass(frozen=True)
class _Side:
    """A tuning's evaluation: the figures of each section of eval.json, and the rows that they are of."""

    figures: dict[str, dict[str, Any]]
    rows: dict[str, list[dict[str, Any]]]


def _side(tuning: Tuning, names: dict[str, str] | None) -> _Side:
    """What a tuning's folder says. Beside mixtures, which call their corpora by `names`, the sections of a tuning on
    one corpus are called as theirs are."""
    run, figures = tuning.run, _tuned_section(tuning.path)
    rows = by_section(run, read_predictions(tuning.path))
    if run.task == MIXTURE:
        return _Side(figures, rows)
    recipe = run.manifest["recipe"].get("name")
    suffix = f"/{names.get(recipe, recipe)}" if names is not None else ""
    return _Side(
        {f"{split}{suffix}": section for split, section in figures.items()},
        {f"{split}{suffix}": here for split, here in rows.items()},
    )


def _mixed_names(runs: Sequence[Run]) -> dict[str, str] | None:
    """What the mixtures among some runs call the corpora of each recipe; None where there is no mixture."""
    mixtures = [run.manifest["mixture"]["corpora"] for run in runs if run.task == MIXTURE]
    entries = [(name, entry.get("recipe") or {}) for corpora in mixtures for name, entry in corpora.items()]
    return {str(recipe.get("name")): name for name, recipe in entries} if mixtures else None


def _tuned_section(folder: Path) -> dict[str, Any]:
    section = read_eval(folder).get("tuned")
    if not section:
        raise UserError(f"{folder}: its tuned model was never evaluated; `python -m tune eval {folder}` does that")
    return section


def _different(rows: Sequence[list[dict[str, Any]]]) -> bool:
    asked = [{row["id"]: row["references"] for row in rows_of} for rows_of in rows]
    return any(theirs != asked[0] for theirs in asked[1:])


def _check_same_rows(folders: Sequence[Path], split: str, rows: Sequence[list[dict[str, Any]]]) -> None:
    asked = [{row["id"]: row["references"] for row in rows_of} for rows_of in rows]
    for folder, theirs in zip(folders[1:], asked[1:], strict=True):
        different = {id for id in asked[0].keys() | theirs.keys() if asked[0].get(id) != theirs.get(id)}
        if different:
            raise UserError(
                f"{folders[0]} and {folder}: answered different rows of {split} ({len(different):,} differ, like "
                f"{min(different)}); evaluate both on the same run, with the same eval_limit"
            )


def _settings(tunings: Sequence[Tuning]) -> dict[str, list[Any]]:
    configs = [tuning.config.model_dump(mode="json") for tuning in tunings]
    return {key: [c[key] for c in configs] for key in configs[0] if any(c[key] != configs[0][key] for c in configs)}


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, or their paths where names are the same."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
