"""The end of a run: manifest, card, and what the command line says about it."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.card import draw_card, write_drawn
from curate.card.croissant import FILE as CROISSANT
from curate.card.croissant import croissant
from curate.card.files import MANY_FILES, are_many, told
from curate.clusters import FILE
from curate.formatting.features import run_features
from curate.formatting.render import REASONS, RENDER_REASONS
from curate.formatting.templates import TemplateSet
from curate.judge import State
from curate.local import LocalPass
from curate.recipefile import Recipe
from curate.run import RunFolder, dataset_info
from curate.sidecar import write_table
from curate.sources import Source
from curate.tally import RENDERING, Tally
from curate.types import SPLITS
from curate.writing import Written


@dataclass
class RunResult:
    """What a run came to: its folder, whether it was written or up to date, its manifest, and remarks."""

    path: Path
    status: str
    fingerprint: str
    manifest: dict[str, Any]
    notes: list[str]


def finish(
    recipe: Recipe,
    templates: TemplateSet,
    source: Source,
    local: LocalPass,
    state: State,
    written: Written,
    tally: Tally,
    run: RunFolder,
    place: Path,
    fingerprint: str,
    options: dict[str, Any],
) -> RunResult:
    """Write everything of a run but its samples. `options`: what was asked for, and the versions that decided it."""
    outputs = run.close()
    if state.clusters:
        run.files.append(write_table(run.folder / FILE, state.clusters.table(local.prefixes)))
    present = [split for split in SPLITS if written.written[split]]
    manifest = {
        "recipe": {
            "name": recipe.name,
            "version": recipe.version,
            "sha256": recipe.sha256,
            "overrides": recipe.told_overrides,
        },
        "seed": options["seed"],
        "limit": options["limit"],
        "fingerprint": fingerprint,
        "versions": options["versions"],
        "task": recipe.task,
        "metrics": list(recipe.metrics),
        "labels": dict(recipe.labels),
        "templates": {"sha256": templates.sha256, "used": dict(sorted(written.measure.templates.items()))},
        "tune": dict(recipe.tune),
        "sources": _sources(source, local),
        "ignored_files": source.ignored,
        "splits": _splits(local, state, written),
        "steps": tally.manifest(_step_reasons(recipe)),
        "outputs": outputs,
        "files": run.files,
    }
    card = card_data(recipe, manifest, local, state, written, options)
    run.write_json("manifest.json", manifest)
    run.write_json("card.json", card)
    run.write_json("dataset_info.json", dataset_info(recipe.name, present, recipe.task == "dialogue"))
    features = run_features(run.folder)
    write_drawn(run.folder, draw_card(card, features, options["lang"]))
    run.write_json(CROISSANT, croissant(manifest, card, features))
    run.write_json("local.json", _local(recipe, source, manifest, options))
    return RunResult(place, "written", fingerprint, manifest, _notes(source))


def _notes(source: Source) -> list[str]:
    """What the user should know of besides: the files that no pattern took."""
    if not source.ignored:
        return []
    more = len(source.ignored) - MANY_FILES
    shown = ", ".join(source.ignored[:MANY_FILES])
    return [f"left aside: {shown}" + (f" and {more} more (manifest.json names all)" if more > 0 else "")]


def _step_reasons(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """The steps in the order in which they run, with the reasons each may give.

    Reading comes first, and the check of form before any judgement: no row is rejected in favour of one that can't be
    written.
    """
    names = [use.name for use in recipe.steps]
    names.insert(len(recipe.leading), "format")
    known = {use.name: use.step.reasons for use in recipe.steps}
    known |= {"format": REASONS, RENDERING: RENDER_REASONS}
    return {name: known.get(name, ()) for name in ["read", *names, RENDERING]}


def _sources(source: Source, local: LocalPass) -> list[dict[str, Any]]:
    entries = []
    for file in sorted(source.files, key=lambda f: (SPLITS.index(f.split), f.number)):
        info, seen = source.infos[file.path], local.files.get(file.number)
        entry: dict[str, Any] = {
            "split": file.split,
            "file": file.name,
            "bytes": info.bytes,
            "sha256": info.sha256,
            "encoding": info.encoding,
            "rows": seen.rows if seen else 0,
            "reader": seen.reader if seen else "",
            "repaired": dict(sorted(seen.repaired.items())) if seen else {},
        }
        if file.path in source.origins:
            entry["hub"] = source.origins[file.path]
        if file.member:
            entry["member"] = file.member
        if file.partner:
            partner = source.infos[file.partner]
            entry["target"] = {"bytes": partner.bytes, "sha256": partner.sha256, "encoding": partner.encoding}
        entries.append(entry)
    return entries


def _splits(local: LocalPass, state: State, written: Written) -> dict[str, dict[str, int]]:
    splits = {}
    for split in SPLITS:
        read = local.rows_read(split)
        if not read and not written.written[split]:
            continue
        splits[split] = {
            "read": read,
            "written": written.written[split],
            "rejected": written.rejected[split],
            "flagged": written.flagged[split],
            "derived": state.moved[split] + written.derived[split],
        }
        check_conserved(split, splits[split])
    return splits


def check_conserved(split: str, counts: dict[str, int]) -> None:
    """The first promise, of one split of a manifest: no row disappears. Broken, it is a bug, never the user's."""
    if counts["read"] + counts["derived"] != counts["written"] + counts["rejected"]:
        raise AssertionError(f"{split}: rows were lost: {counts}")


def card_data(
    recipe: Recipe,
    manifest: dict[str, Any],
    local: LocalPass,
    state: State,
    written: Written,
    options: dict[str, Any],
) -> dict[str, Any]:
    """card.json: every figure of the card. Only `examples` holds texts of the corpus."""
    measure = written.measure
    return {
        "recipe": {
            key: getattr(recipe, key) or ""
            for key in ("name", "version", "title", "task", "license", "homepage", "citation")
        },
        "reproduce": _reproduce(recipe, manifest, options),
        "seed": manifest["seed"],
        "fingerprint": manifest["fingerprint"],
        "versions": manifest["versions"],
        "metrics": manifest["metrics"],
        "label_words": manifest["labels"],
        "splits": manifest["splits"],
        "steps": manifest["steps"],
        "labels": measure.labels(),
        "duplicates": {
            split: {key: value for key, value in table.items() if key != "largest"}
            for split, table in state.duplicates.items()
        },
        **(state.clusters.figures if state.clusters else {}),
        "leaks": state.leaks,
        "lengths": measure.lengths(),
        "segmentation": measure.segmentation(),
        "templates": manifest["templates"]["used"],
        "sources": told(manifest["sources"]),
        "ignored_files": manifest["ignored_files"][:MANY_FILES],
        "ignored": len(manifest["ignored_files"]),
        "examples": {
            "templates": dict(sorted(measure.template_examples.items())),
            **measure.shown.examples(local.name),
        },
    }


def _reproduce(recipe: Recipe, manifest: dict[str, Any], options: dict[str, Any]) -> str:
    """The command that makes this run again, with the files' names but no local path."""
    words = ["python -m curate recipe", recipe.path.name if options["own_recipe"] else recipe.name]
    entries = [entry for entry in manifest["sources"] if "hub" not in entry] if options["sources"] else []
    words += sorted({f"--source {entry['hub']['source']}" for entry in manifest["sources"] if "hub" in entry})
    if are_many(entries):
        words += ["--source PATH"]  # the folder that they all lie in
    else:
        words += [f"--source {entry['split']}={entry['file']}" for entry in entries if "member" not in entry]
        words += sorted({f"--source {entry['file']}" for entry in entries if "member" in entry})
    words += [f"--set {key}={_shown(value)}" for key, value in recipe.told_overrides.items()]
    words += [f"--limit {options['limit']}"] if options["limit"] is not None else []
    words += [f"--seed {options['seed']}"] if options["seed"] else []
    return " ".join(words)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return json.dumps(value) if isinstance(value, bool | dict) else str(value)


def _local(recipe: Recipe, source: Source, manifest: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """All that may differ from one run to the next: paths, time, memory. `explain` reads the sources again from it."""
    return {
        "command": sys.argv,
        "lang": options["lang"],
        "recipe": str(recipe.path.resolve()),
        "overrides": recipe.overrides,
        "sources": source.given,
        **costs(options["started"], manifest),
    }


def costs(started: float, manifest: dict[str, Any]) -> dict[str, Any]:
    """What a run took: seconds since `started`, rows read a second, and the peak of memory."""
    seconds = time.perf_counter() - started
    rows = sum(counts["read"] for counts in manifest["splits"].values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": round(seconds, 3),
        "rows_per_second": round(rows / seconds) if seconds else 0,
        "peak_mb": round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)),
    }
