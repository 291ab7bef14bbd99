"""The end of a mixture: its manifest, its card, and what other programs read."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from curate.card import draw_card, read_card, write_drawn
from curate.card.croissant import FILE as CROISSANT
from curate.card.croissant import croissant
from curate.card.measure import percentiles
from curate.formatting.features import hf_features
from curate.lazy import pl
from curate.mixture.across import STEPS
from curate.mixture.choose import Chosen
from curate.mixture.file import Mixture
from curate.mixture.parts import Part
from curate.mixture.write import Written
from curate.resources import mixture_path
from curate.result import RunResult, check_conserved, costs
from curate.run import RunFolder, dataset_info, fingerprint
from curate.tally import Tally
from curate.types import SPLITS
from curate.versions import own_version


def versions() -> dict[str, str]:
    """The versions that a mixture's bytes depend on."""
    return {"jingtiao": own_version(), **{name: version(name) for name in ("polars", "polars-hash", "jinja2")}}


def finish(
    mixture: Mixture,
    parts: list[Part],
    plan: pl.DataFrame,
    chosen: Chosen,
    across: dict[str, Any],
    written: Written,
    tally: Tally,
    run: RunFolder,
    place: Path,
    sha: str,
    options: dict[str, Any],
) -> RunResult:
    """Write everything of a mixture but its samples."""
    outputs = run.close()
    templates = {part.name: part.manifest["templates"]["sha256"] for part in parts}
    manifest = {
        "recipe": {"name": mixture.name, "version": mixture.fields.version, "sha256": mixture.sha256, "overrides": {}},
        "seed": options["seed"],
        "limit": None,
        "fingerprint": sha,
        "versions": versions(),
        "task": "mixture",
        "metrics": list(dict.fromkeys(metric for part in parts for metric in part.manifest["metrics"])),
        "labels": {},
        "templates": {"sha256": fingerprint(templates), "used": dict(sorted(written.templates.items()))},
        "tune": tune_of(mixture, parts),
        "sources": [_source(part, split) for split in SPLITS for part in parts if part.rows(split)],
        "ignored_files": [],
        "splits": _splits(parts, plan, chosen, written),
        "steps": tally.manifest(STEPS),
        "outputs": outputs,
        "files": run.files,
        "mixture": _mixture(mixture, parts, chosen),
    }
    card = card_data(mixture, parts, manifest, plan, across, written, options["samples"])
    present = [split for split in SPLITS if (run.folder / f"{split}.jsonl").is_file()]
    run.write_json("manifest.json", manifest)
    run.write_json("card.json", card)
    run.write_json("dataset_info.json", dataset_info(mixture.name, present, "history" in written.features))
    features = hf_features(written.features) if written.features else []
    write_drawn(run.folder, draw_card(card, features, options["lang"]))
    run.write_json(CROISSANT, croissant(manifest, card, features))
    run.write_json(
        "local.json",
        {
            "command": sys.argv,
            "lang": options["lang"],
            "mixture": str(mixture.path.resolve()),
            "runs": {part.name: str(part.path.resolve()) for part in parts},
            **costs(options["started"], manifest),
        },
    )
    return RunResult(place, "written", sha, manifest, [])


def tune_of(mixture: Mixture, parts: list[Part]) -> dict[str, Any]:
    """What the mixture says of tuning, and where it says nothing, what all parts say alike.

    Of their `max_length`s it is the largest: longer samples are dropped or cut, so with any other the mixture would
    lose rows that its recipes have room for.
    """
    said: list[dict[str, Any]] = [part.manifest["tune"] for part in parts]
    alike = {key: value for key, value in said[0].items() if all(one.get(key) == value for one in said)}
    lengths = [one["max_length"] for one in said if isinstance(one.get("max_length"), int)]
    return {**({"max_length": max(lengths)} if lengths else {}), **alike, **mixture.fields.tune}


def _source(part: Part, split: str) -> dict[str, Any]:
    entry = part.entry(f"{split}.jsonl") or {}
    return {
        "split": split,
        "file": f"{part.name}/{split}.jsonl",
        "bytes": entry["bytes"],
        "sha256": entry["sha256"],
        "encoding": "utf-8",
        "rows": entry["rows"],
        "reader": "run",
        "repaired": {},
    }


def _splits(parts: list[Part], plan: pl.DataFrame, chosen: Chosen, written: Written) -> dict[str, dict[str, int]]:
    splits = {}
    for split in SPLITS:
        read = sum(part.rows(split) for part in parts)
        if not read:
            continue
        splits[split] = {
            "read": read,
            "written": sum(rows[split] for rows in written.rows.values()),
            "rejected": int(plan.filter(pl.col("split") == split)["step"].is_not_null().sum()),
            "flagged": written.flagged[split],
            "derived": sum(map(chosen.repeats, chosen.rows)) if split == "train" else 0,
        }
        check_conserved(split, splits[split])
    return splits


def _mixture(mixture: Mixture, parts: list[Part], chosen: Chosen) -> dict[str, Any]:
    temperature = mixture.fields.temperature
    return {
        "total": chosen.total,
        **({"temperature": temperature} if temperature is not None else {}),
        "corpora": {
            part.name: {
                "task": part.task,
                "metrics": part.manifest["metrics"],
                "labels": part.manifest["labels"],
                "run": part.path.resolve().name,
                "recipe": {key: part.manifest["recipe"][key] for key in ("name", "version", "sha256")},
                "fingerprint": part.manifest["fingerprint"],
                "asked": float(chosen.asked[part.name]),
                "realised": chosen.rows[part.name] / chosen.total if chosen.total else 0.0,
                "available": chosen.available[part.name],
                "written": chosen.rows[part.name],
                "repeats": chosen.repeats(part.name),
            }
            for part in parts
        },
    }


def card_data(
    mixture: Mixture,
    parts: list[Part],
    manifest: dict[str, Any],
    plan: pl.DataFrame,
    across: dict[str, Any],
    written: Written,
    samples: bool,
) -> dict[str, Any]:
    """card.json of a mixture: as a recipe's, its figures by corpus. Only `examples` holds texts."""
    labels = _labels(parts, plan)
    corpora = {}
    for part in parts:
        about = read_card(part.path)["recipe"]
        corpora[part.name] = {
            **{key: about[key] for key in ("title", "license", "homepage", "citation")},
            **{key: value for key, value in manifest["mixture"]["corpora"][part.name].items() if key != "fingerprint"},
            **part.options.model_dump(include={"weight", "cap"}, exclude_none=True),
            "rows": {split: written.rows.get(part.name, {}).get(split, 0) for split in SPLITS if part.rows(split)},
            "label_rows": labels.get(part.name, {}),
            "lengths": {name: percentiles(n) for name, n in written.lengths.get(part.name, {}).items()},
        }
    head = {"name": mixture.name, "version": mixture.fields.version, "title": mixture.fields.title, "task": "mixture"}
    return {
        "recipe": {**head, "license": "see each corpus", "homepage": "", "citation": ""},
        "reproduce": _reproduce(mixture, manifest["seed"], samples),
        **{key: manifest[key] for key in ("seed", "fingerprint", "versions", "metrics")},
        "splits": manifest["splits"],
        "steps": manifest["steps"],
        "mixture": {**manifest["mixture"], "corpora": corpora},
        "across": across,
        "templates": manifest["templates"]["used"],
        "sources": manifest["sources"],
        "ignored_files": [],
        "examples": {
            "templates": {name: _example(row) for name, row in written.examples.items()},
            "rejects": [
                {"step": step, "reason": reason, "rows": rows}
                for (step, reason), rows in sorted(written.rejects.items())
            ],
        },
    }


def _labels(parts: list[Part], plan: pl.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """Rows written of each label, by part and split; "" for those without one."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    counted = plan.group_by("part", "split", "label").agg(pl.col("copies").sum())
    told = {(part, split, label or ""): n for part, split, label, n in counted.iter_rows() if n}
    for part in parts:
        for split in SPLITS if part.manifest["labels"] else ():
            rows = {label: told.get((part.number, split, label), 0) for label in (*part.manifest["labels"], "")}
            if any(rows.values()):
                found.setdefault(part.name, {})[split] = {key: n for key, n in rows.items() if key or n}
    return found


def _example(row: dict[str, Any]) -> dict[str, Any]:
    sample = {key: value for key, value in row.items() if key != "meta"}
    return {**sample, "id": row["meta"]["id"]}


def _reproduce(mixture: Mixture, seed: int, samples: bool) -> str:
    shipped = mixture.path == mixture_path(mixture.name)
    words = ["python -m curate mix", mixture.name if shipped else mixture.path.name]
    return " ".join([*words, *(["--samples"] if samples else []), *([f"--seed {seed}"] if seed else [])])
