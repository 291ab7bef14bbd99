"""One row's story in a mixture: which part it is of, what the mixture did with it, and where the rest is told."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from curate import explain
from curate.card.draw import sample_text
from curate.run import read_local
from curate.types import SPLITS, UserError
from jingtiao.markdown import visible


def explain_mixed(run: Path, manifest: dict[str, Any], name: str) -> str:
    """The story of the row called `name`, with `~k` or without. UserError for no such row."""
    plain, _, _ = name.partition("~")
    sample, rejected, others = explain._find(run, plain)
    copies = [row for row in _samples(run, f'"{plain}~') if row["meta"]["id"].partition("~")[0] == plain]
    if name != plain:
        sample = next((row for row in copies if row["meta"]["id"] == name), None)
    if sample is None and (rejected is None or name != plain):
        raise UserError(_unknown(run, manifest, name))
    parts = [("", visible(name))]
    if rejected is not None:
        parts.append(("left out", f"by {rejected['step']}: {explain._reason(rejected['reason'])}"))
    if sample is not None:
        parts.append(("kept", f"written to {sample['split']}.jsonl"))
        parts += [("flagged", _flag(flag)) for flag in filter(None, sample["meta"]["flags"].split(","))]
        if copies:
            names = ", ".join(row["meta"]["id"].removeprefix(plain) for row in copies)
            parts.append(("repeated", f"its corpus has fewer rows than were asked for: {names}"))
    parts += _part(run, manifest, plain, sample)
    if rejected is not None and rejected["kept_id"] is not None and rejected["step"] != "same_id":
        parts += _because(run, rejected["kept_id"])
    if others := [line for line in others if not line.startswith(f"{plain},")]:
        parts.append(("stands for", "\n".join(others[: explain._SHOWN])))
    told = sample or (rejected or {}).get("fields")
    if told:
        parts.append(("sample", sample_text(told)))
    return "\n".join(explain._lines(parts))


def _samples(run: Path, needle: str) -> list[dict[str, Any]]:
    return [row | {"split": split} for split in SPLITS for row in explain._rows(run / f"{split}.jsonl", needle)]


def _because(run: Path, name: str | None) -> list[tuple[str, str]]:
    """The rows that this one was left out for, down to the one that was written."""
    parts = []
    while name is not None:
        sample, other, _ = explain._find(run, name)
        if sample is not None:
            parts.append(("because of", f"{name}, written to {sample['split']}.jsonl\n{sample_text(sample)}"))
        elif other is not None:
            parts.append(("because of", f"{name}, itself rejected by {other['step']}: {other['reason']}"))
        name = other["kept_id"] if sample is None and other is not None else None
    return parts


def _flag(flag: str) -> str:
    step, _, reason = flag.partition(":")
    return f"by {step}: {explain._reason(reason)}"


def _part(run: Path, manifest: dict[str, Any], name: str, sample: dict[str, Any] | None) -> list[tuple[str, str]]:
    """The part, and the command that tells what happened before; of several runs of one recipe the first that fits."""
    corpora = manifest["mixture"]["corpora"]
    recipe = name.split("/")[0]
    fitting = [part for part, corpus in corpora.items() if corpus["recipe"]["name"] == recipe]
    part = sample["meta"]["corpus"] if sample is not None else fitting[0]
    corpus = corpora[part]
    place = read_local(run).get("runs", {}).get(part, corpus["run"])
    before = f"python -m curate explain {place} {name}"
    about = f"{part} (recipe {recipe} {corpus['recipe']['version']}, task {corpus['task']})"
    return [("part", about), ("before", before)]


def _unknown(run: Path, manifest: dict[str, Any], name: str) -> str:
    """No such row: what the mixture has, and that what a part's own recipe rejected is told by that part."""
    recipes = sorted({corpus["recipe"]["name"] for corpus in manifest["mixture"]["corpora"].values()})
    head = name.split("/")[0]
    if head in recipes:
        part = next(p for p, corpus in manifest["mixture"]["corpora"].items() if corpus["recipe"]["name"] == head)
        place = read_local(run).get("runs", {}).get(part, manifest["mixture"]["corpora"][part]["run"])
        return f"{run}: has no row {name!r}; ask the part it would be of: python -m curate explain {place} {name}"
    near = difflib.get_close_matches(head, recipes, n=1)
    hint = f"; did you mean {near[0]}{name[len(head) :]}?" if near else ""
    return f"{run}: has no row {name!r}{hint} (ids begin with {', '.join(recipes)})"
