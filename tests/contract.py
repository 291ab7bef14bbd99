"""The contract of a run folder as code: `check_run(path)` names every way in which a folder breaks it, one line each.

Standard library only, and nothing of `curate` or `tune`: both packages are held against it, so it must not share their
mistakes. ARCHITECTURE, "The run folder", is the text behind it.

What it takes the contract to mean where the text leaves room:

- `manifest.outputs` lists at least every split file and rejected.jsonl; a split has a file just if rows were written.
  `manifest.files`, where there is one, lists deterministic files whose lines are not rows (keys.parquet).
- `steps` holds the entries of each split in the order in which the steps ran (one that ran twice has two). `reasons`
  counts rejects, `flags` flags, `moved` the rows that `split` brought (or took, negative) or `chunk` made of others:
  in − reasons + moved = out. `format` takes all parts of a row along when it rejects the row.
  The last `out` of a split is `written`. A flagged row that is rejected later, or moved, takes its flag along.
- A mixture (`task` "mixture") is a run whose rows name their corpus, its task and its metrics; each is held to what
  its own task demands. Rows come with the flags of their own runs, so `flags` counts at most what is there. `choose`
  repeats rows of train (`moved`, ids with `~k`). `same_id` rejects a row that another run has too, under the same id.
  In a split row k of a corpus's n stands at k/n, ties by name.
- The entries of token_length carry `tokens` too: how long the samples are, and at which lengths answers are cut.
- A `kept_id`, followed through rejected.jsonl, must end at a *written* row; only the reject's own null means "none".
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

from contract_files import ABSOLUTE, SPLITS, Row, check_dataset_info, check_readme, read_json, read_lines

LABEL_TASKS = ("pair", "classification")
#: Keys of meta that every sample has, in order; `label` only where the task has labels.
META = ("id", "task", "template", "label", "labelled", "flags")
#: Keys that may follow, in this order among themselves, and the tasks that must have them.
META_LATER = {
    "cluster_size": (),
    "fields": ("pair",),
    "references": ("mrc", "summarization", "dialogue"),
    "source_id": (),  # where the corpus names its rows
    "target": (),
    "intent": (),
    "slots": (),
    "words": (),
}
MANIFEST = (
    "recipe", "seed", "limit", "fingerprint", "versions", "task", "metrics", "labels", "templates", "tune",
    "sources", "ignored_files", "splits", "steps", "outputs",
)  # fmt: skip
#: Keys that may follow, in this order.
MANIFEST_LATER = ("files", "mixture")
MIXED = (
    "task", "metrics", "labels", "run", "recipe", "fingerprint",
    "asked", "realised", "available", "written", "repeats",
)  # fmt: skip
STEP = ("step", "split", "in", "out", "reasons", "flags", "notes", "changes")
REJECT = ("id", "split", "step", "reason", "kept_id", "score", "fields")
ID = re.compile(r"[^/\s]+/(?:train|validation|test)(?:/.+)?/(\d{9,})(?:[#~]\d+)*")
FLAGS = re.compile(r"(\w+:\w+(,\w+:\w+)*)?")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\d\d:\d\d:\d\d")
TIME_KEYS = re.compile("times?|date|created(_at)?|timestamp|seconds|elapsed|duration|host|user")


def check_run(path: str | Path) -> list[str]:
    """Every violation of the run-folder contract in `path`, one line each; an empty list is a run that keeps it."""
    run = Path(path)
    found: list[str] = []
    for name in ("manifest.json", "rejected.jsonl", "dataset_info.json", "README.md", "card.json"):
        if not (run / name).is_file():
            found.append(f"{name}: missing")
    manifest = read_json(run / "manifest.json", found)
    rows = {split: read_lines(run / f"{split}.jsonl", found) for split in SPLITS}
    rejected = read_lines(run / "rejected.jsonl", found)
    read_json(run / "card.json", found)
    named = [] if not isinstance(manifest, dict) else list(manifest)
    if named[: len(MANIFEST)] != list(MANIFEST) or named[len(MANIFEST) :] != [k for k in MANIFEST_LATER if k in named]:
        found.append(f"manifest.json: the keys must be {', '.join(MANIFEST)}, in this order")
        return found
    checks = (
        lambda: _check_outputs(run, manifest),
        lambda: _check_still(manifest, "manifest.json", ""),
        lambda: _check_samples(rows, manifest),
        lambda: _check_mixture(rows, manifest),
        lambda: _check_shapes(rows),
        lambda: _check_rejected(rejected, manifest),
        lambda: _check_ids(rows, rejected),
        lambda: _check_funnel(rows, rejected, manifest),
        lambda: _check_steps(rows, rejected, manifest),
        lambda: check_dataset_info(run, rows),
        lambda: check_readme(run, rows),
    )
    for check in checks:
        try:
            found += check()
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            # A folder may be broken in any way: what a check stumbles over is a violation too.
            found.append(f"a part has not the shape of the contract: {type(error).__name__}: {error}")
    return found


# ---- manifest.json


def _check_outputs(run: Path, manifest: Row) -> list[str]:
    found = []
    listed = [output["file"] for output in manifest["outputs"]]
    for name in [f"{split}.jsonl" for split in SPLITS]:
        if (run / name).is_file() and not (run / name).stat().st_size:
            found.append(f"{name}: a split without rows has no file")
    for name in [*(f"{split}.jsonl" for split in SPLITS), "rejected.jsonl"]:
        if (run / name).is_file() and name not in listed:
            found.append(f"manifest.outputs: {name} is not listed")
    found += [f"manifest.outputs: {name} stands twice" for name in sorted({n for n in listed if listed.count(n) > 1})]
    found += _check_files(run, manifest["outputs"], "outputs", ["file", "rows", "bytes", "sha256"])
    return found + _check_files(run, manifest.get("files", []), "files", ["file", "bytes", "sha256"])


def _check_files(run: Path, entries: list[Row], where: str, keys: list[str]) -> list[str]:
    found = []
    for output in entries:
        name = output["file"]
        if list(output) != keys:
            found.append(f"manifest.{where}: {name}: the keys must be {', '.join(keys)}")
        if ABSOLUTE.match(name) or ".." in name.split("/") or not (run / name).is_file():
            found.append(f"manifest.{where}: {name}: no such file in the folder")
            continue
        data = (run / name).read_bytes()
        actual = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        if name.endswith(".jsonl"):
            actual["rows"] = data.count(b"\n")
        for key, value in actual.items():
            if output.get(key) != value:
                found.append(f"manifest.{where}: {name}: {key} is {value}, the manifest says {output.get(key)}")
    return found


def _check_still(value: Any, file: str, where: str) -> list[str]:
    """Nothing that differs between two runs of the same input: absolute paths and times (they go to local.json)."""
    if isinstance(value, dict):
        found = [f"{file}: {where}{key}: times belong into local.json" for key in value if TIME_KEYS.fullmatch(key)]
        return found + [line for key, part in value.items() for line in _check_still(part, file, f"{where}{key}.")]
    if isinstance(value, list):
        return [line for number, part in enumerate(value) for line in _check_still(part, file, f"{where}{number}.")]
    if isinstance(value, str) and len(value) > 1 and ABSOLUTE.match(value):
        return [f"{file}: {where.rstrip('.')}: absolute path {value!r}"]
    if isinstance(value, str) and MOMENT.search(value):
        return [f"{file}: {where.rstrip('.')}: a time {value!r}"]
    return []


# ---- samples


def _check_samples(rows: dict[str, list[Row]], manifest: Row) -> list[str]:
    found = []
    used: dict[str, int] = {}
    for split in SPLITS:
        for number, row in enumerate(rows[split], 1):
            at = f"{split}.jsonl:{number}"
            found += [f"{at}: {line}" for line in _check_sample(row, split, manifest)]
            template = row["meta"]["template"]
            used[template] = used.get(template, 0) + 1
    said = {name: count for name, count in manifest["templates"]["used"].items() if count}
    if said != used:
        found.append(f"manifest.templates.used: {said}, the rows use {used}")
    return found


def _check_sample(row: Row, split: str, manifest: Row) -> list[str]:
    task, meta, found = manifest["task"], row.get("meta"), []
    if not isinstance(meta, dict):
        return ["meta is not an object"]
    mixed, tasks = task == "mixture", {task}
    if mixed:
        task = manifest["mixture"]["corpora"][meta["corpus"]]["task"]
        tasks = {corpus["task"] for corpus in manifest["mixture"]["corpora"].values()}
        if meta["metrics"] != manifest["mixture"]["corpora"][meta["corpus"]]["metrics"]:
            found.append(f"meta.metrics is {meta['metrics']}, not those of {meta['corpus']}")
    # A corpus without a row leaves no keys behind: then a row may lack what its task would need.
    talk = ("history", "system") if "dialogue" in tasks and (not mixed or "history" in row) else ()
    if list(row) != ["instruction", "input", "output", *talk, "meta"]:
        found.append(
            f"keys {', '.join(row)}; they must be instruction, input, output, {''.join(f'{t}, ' for t in talk)}meta"
        )
    first = [key for key in META if key != "label" or task in LABEL_TASKS or (mixed and "label" in meta)]
    first += ["corpus", "metrics"] if mixed else []
    if list(meta)[: len(first)] != first:
        found.append(f"meta begins {', '.join(list(meta)[: len(first)])}; it must begin {', '.join(first)}")
    later = [key for key in meta if key in META_LATER]
    if later != [key for key in META_LATER if key in meta]:
        found.append(f"meta has {', '.join(later)} in another order than {', '.join(META_LATER)}")
    found += [f"meta.{key} is missing" for key, tasks in META_LATER.items() if task in tasks and key not in meta]
    if meta.get("task") != task:
        found.append(f"meta.task is {meta.get('task')!r}, the manifest says {task!r}")
    labels = manifest["mixture"]["corpora"][meta["corpus"]]["labels"] if mixed else manifest["labels"]
    found += _check_label(row, meta, split, labels, task)
    if not FLAGS.fullmatch(meta["flags"]):
        found.append(f"meta.flags {meta['flags']!r} is not step:reason, joined by commas")
    if not (row["instruction"] or row["input"]):
        found.append("instruction and input are both empty")
    if mixed and task != "dialogue" and (row.get("history") or row.get("system")):
        found.append(f"history or system in a row of task {task}")
    if task == "dialogue" and (row["input"] or any(len(turn) != 2 for turn in row["history"])):
        found.append("a dialogue has an empty input and a history of [user, assistant]")
    return found


def _check_label(row: Row, meta: Row, split: str, labels: Row, task: str) -> list[str]:
    """Unlabelled rows: `labelled` false, output (and label) empty, never in train."""
    found = []
    labelled = meta["labelled"]
    if labelled != (row["output"].strip() != ""):
        found.append(f"labelled is {labelled} with the output {row['output']!r}")
    if not labelled and row["output"]:
        found.append("an unlabelled row must have the output ''")
    if not labelled and split == "train":
        found.append("an unlabelled row in train")
    if "label" in meta and (meta["label"] != "") != (labelled and task in LABEL_TASKS):
        found.append(f"labelled is {labelled} with the label {meta['label']!r}")
    if meta.get("label") and meta["label"] not in labels:
        found.append(f"label {meta['label']!r} is not in manifest.labels")
    if "references" in meta and bool(meta["references"]) != (labelled and task not in LABEL_TASKS):
        found.append(f"labelled is {labelled} with {len(meta['references'])} references")
    return found


def _check_mixture(rows: dict[str, list[Row]], manifest: Row) -> list[str]:
    """The shares of a mixture: counted on the rows, and within one row of the asked ones."""
    if manifest["task"] != "mixture":
        return ["manifest.mixture: this run is none"] if "mixture" in manifest else []
    found = []
    told, corpora = manifest["mixture"], manifest["mixture"]["corpora"]
    if list(corpora) != sorted(corpora):
        found.append("manifest.mixture: the corpora must stand in the order of their names")
    metrics = list(dict.fromkeys(metric for corpus in corpora.values() for metric in corpus["metrics"]))
    if manifest["metrics"] != metrics or manifest["labels"]:
        found.append(f"manifest.metrics must be {metrics}, manifest.labels empty")
    if told["total"] != len(rows["train"]):
        found.append(f"manifest.mixture: total is {told['total']}, train has {len(rows['train'])}")
    for name, corpus in corpora.items():
        if list(corpus) != list(MIXED):
            found.append(f"manifest.mixture: {name}: the keys must be {', '.join(MIXED)}")
        mine = [row["meta"]["id"] for row in rows["train"] if row["meta"]["corpus"] == name]
        counts = {"written": len(mine), "repeats": sum("~" in one for one in mine)}
        counts["realised"] = len(mine) / told["total"] if told["total"] else 0.0
        for key, value in counts.items():
            if corpus[key] != value:
                found.append(f"manifest.mixture: {name}: {key} is {corpus[key]}, the rows say {value}")
        if len({one.partition("~")[0] for one in mine}) > corpus["available"]:
            found.append(f"manifest.mixture: {name}: more different rows than the {corpus['available']} available")
        if abs(corpus["asked"] * told["total"] - len(mine)) > 1:
            found.append(f"manifest.mixture: {name}: {len(mine)} rows, asked were {corpus['asked'] * told['total']}")
    for split in SPLITS:
        spread = [row["meta"]["corpus"] for row in rows[split]]
        places = [(Fraction(k, n), name) for name, n in Counter(spread).items() for k in range(n)]
        if spread != [name for _, name in sorted(places)]:
            found.append(f"{split}.jsonl: row k of a corpus's n must stand at k/n of the split, ties by name")
    return found


def _shape(value: Any, where: str) -> dict[str, str]:
    """Every place in a value with its type; the elements of a list share one place, and an empty list has none."""
    if isinstance(value, dict):
        shape = {where: "object " + " ".join(value)}
        for key, part in value.items():
            shape |= _shape(part, f"{where}.{key}" if where else key)
        return shape
    if isinstance(value, list):
        shape = {where: "list"}
        for part in value:
            for place, kind in _shape(part, f"{where}[]").items():
                # Two types in one list: kept apart, so that it differs from every other row's.
                shape[place] = kind if shape.get(place, kind) == kind else f"{shape[place]} and {kind}"
        return shape
    return {where: "null" if value is None else type(value).__name__}


def _check_shapes(rows: dict[str, list[Row]]) -> list[str]:
    """The same keys with the same types on every row of every split, never null."""
    found: list[str] = []
    known: dict[str, tuple[str, str]] = {}
    for split in SPLITS:
        for number, row in enumerate(rows[split], 1):
            at = f"{split}.jsonl:{number}"
            for place, kind in _shape(row, "").items():
                name = place or "the row"
                if kind == "null":
                    found.append(f"{at}: {name} is null")
                    continue
                if " and " in kind:
                    found.append(f"{at}: {name} mixes {kind}")
                    continue
                first, where = known.setdefault(place, (kind, at))
                if first != kind:
                    found.append(f"{at}: {name} is {kind}, but {first} in {where}")
    return found


# ---- rejected.jsonl, ids, counts


def _check_rejected(rejected: list[Row], manifest: Row) -> list[str]:
    found = []
    order: list[int] = []
    for number, row in enumerate(rejected, 1):
        at = f"rejected.jsonl:{number}"
        if list(row) != list(REJECT):
            found.append(f"{at}: the keys must be {', '.join(REJECT)}")
            continue
        if row["split"] not in manifest["splits"]:
            found.append(f"{at}: split {row['split']!r} is not in manifest.splits")
        if not (row["step"] and isinstance(row["step"], str) and row["reason"] and isinstance(row["reason"], str)):
            found.append(f"{at}: step and reason must be words")
        if not (row["kept_id"] is None or isinstance(row["kept_id"], str)):
            found.append(f"{at}: kept_id must be an id or null")
        if isinstance(row["score"], bool) or not (row["score"] is None or isinstance(row["score"], int | float)):
            found.append(f"{at}: score must be a number or null")
        if not (row["fields"] is None or isinstance(row["fields"], dict)):
            found.append(f"{at}: fields must be an object or null")
        fields = row["fields"] or {}
        if row["step"] == "read" and list(fields) != ["raw", "file", "line"]:
            found.append(f"{at}: fields of an unreadable row must be raw, file, line")
        if row["step"] == "read" and ABSOLUTE.match(fields["file"]):
            found.append(f"{at}: absolute path {fields['file']!r}")
        order.append(SPLITS.index(row["split"]) if row["split"] in SPLITS else len(SPLITS))
    if order != sorted(order):
        found.append("rejected.jsonl: lines must stand in the order train, validation, test")
    return found


def _check_ids(rows: dict[str, list[Row]], rejected: list[Row]) -> list[str]:
    found = []
    seen: dict[str, str] = {}
    lines = [(f"{s}.jsonl:{n}", row["meta"]["id"]) for s in SPLITS for n, row in enumerate(rows[s], 1)]
    written = {name for _, name in lines}
    lines += [(f"rejected.jsonl:{n}", row["id"]) for n, row in enumerate(rejected, 1) if row["step"] != "same_id"]
    for at, name in lines:
        if not ID.fullmatch(name):
            found.append(f"{at}: {name!r} is not recipe/split/000000017")
        if name in seen:
            found.append(f"{at}: id {name} stands in {seen[name]} too")
        seen.setdefault(name, at)
    kept = {row["id"]: row["kept_id"] for row in rejected if row["step"] != "same_id"}
    for number, row in enumerate(rejected, 1):
        if row["step"] == "same_id":
            if row["id"] != row["kept_id"] or row["id"] not in seen:
                found.append(f"rejected.jsonl:{number}: {row['id']} is no other row's id")
            continue
        chain, name = {row["id"]}, row["kept_id"]
        while name is not None and name in kept and name not in written and name not in chain:
            chain.add(name)
            name = kept[name]
        if name not in written and row["kept_id"] is not None:
            end = (
                "in a circle"
                if name in chain
                else "at a row that was not kept"
                if name is None
                else f"at unknown {name}"
            )
            found.append(f"rejected.jsonl:{number}: kept_id {row['kept_id']} ends {end}")
    return found


def _check_funnel(rows: dict[str, list[Row]], rejected: list[Row], manifest: Row) -> list[str]:
    found = []
    splits = manifest["splits"]
    for split in [name for name in SPLITS if rows[name] and name not in splits]:
        found.append(f"manifest.splits: {split} is missing")
    for split, counts in splits.items():
        if list(counts) != ["read", "written", "rejected", "flagged", "derived"]:
            found.append(f"manifest.splits.{split}: the keys must be read, written, rejected, flagged, derived")
        if counts["read"] + counts["derived"] != counts["written"] + counts["rejected"]:
            found.append(f"manifest.splits.{split}: read + derived is not written + rejected: {counts}")
        actual = {
            "written": len(rows[split]),
            "rejected": sum(row["split"] == split for row in rejected),
            "flagged": sum(row["meta"]["flags"] != "" for row in rows[split]),
        }
        for key, value in actual.items():
            if counts[key] != value:
                found.append(f"manifest.splits.{split}: {key} is {counts[key]}, the files have {value}")
    return found


def _check_steps(rows: dict[str, list[Row]], rejected: list[Row], manifest: Row) -> list[str]:
    found = []
    for entry in manifest["steps"]:
        if [key for key in entry if key not in ("moved", "tokens")] != list(STEP) or entry["split"] not in manifest[
            "splits"
        ]:
            return [f"manifest.steps: {entry}: the keys must be {', '.join(STEP)}, the split a known one"]
    for split, counts in manifest["splits"].items():
        steps = [entry for entry in manifest["steps"] if entry["split"] == split]
        lost: dict[tuple[str, str], int] = {}
        for row in rejected:
            if row["split"] == split:
                lost[row["step"], row["reason"]] = lost.get((row["step"], row["reason"]), 0) + 1
        found += _check_flow(split, counts, steps)
        found += _check_reasons(split, steps, lost)
        found += _check_flags(split, steps, rows[split], manifest["task"] == "mixture")
    return found


def _check_flow(split: str, counts: Row, steps: list[Row]) -> list[str]:
    """Each `in` is the `out` before it, the ends are read and written, only rejects and moves change the number."""
    found = []
    now = counts["read"]
    for entry in steps:
        if entry["in"] != now:
            found.append(f"manifest.steps: {split}: {entry['step']} takes in {entry['in']}, {now} were there")
        now = entry["out"]
        gone, moved = sum(entry["reasons"].values()), entry.get("moved", 0)
        if entry["in"] - gone + moved != now:
            found.append(f"manifest.steps: {split}: {entry['step']}: {entry['in']} − {gone} + {moved} is not {now}")
        if (
            moved
            and entry["step"] not in ("split", "chunk", "choose")
            and not (entry["step"] == "format" and moved < 0)
        ):
            found.append(f"manifest.steps: {split}: {entry['step']} moves rows")
    if now != counts["written"]:
        found.append(f"manifest.steps: {split}: the last step leaves {now}, written are {counts['written']}")
    if (moved := sum(entry.get("moved", 0) for entry in steps)) != counts["derived"]:
        found.append(f"manifest.steps: {split}: {moved} rows were moved, derived are {counts['derived']}")
    return found


def _check_reasons(split: str, steps: list[Row], lost: dict[tuple[str, str], int]) -> list[str]:
    """`reasons` counts exactly the rows of rejected.jsonl."""
    found = []
    said: dict[tuple[str, str], int] = {}
    for entry in steps:
        for reason, count in entry["reasons"].items():
            said[entry["step"], reason] = said.get((entry["step"], reason), 0) + count
    for key in dict.fromkeys([*said, *lost]):
        step, reason = key
        if key not in said:
            found.append(f"manifest.steps: {split}: {step}: {reason} is not among its reasons")
        elif said[key] != lost.get(key, 0):
            gone = f"{lost.get(key, 0)} rejected"
            found.append(f"manifest.steps: {split}: {step}: {reason} is {said[key]}, the files have {gone}")
    return found


def _check_flags(split: str, steps: list[Row], rows: list[Row], mixed: bool) -> list[str]:
    """`flags` counts the flags on the written rows, and those that later rejects and moves took along."""
    found = []
    flagged: dict[tuple[str, str], int] = {}
    for row in rows:
        for flag in filter(None, row["meta"]["flags"].split(",")):
            step, _, reason = flag.partition(":")
            flagged[step, reason] = flagged.get((step, reason), 0) + 1
    for number, entry in enumerate(steps):
        later = steps[number:]
        away = sum(sum(e["reasons"].values()) + max(0, -e.get("moved", 0)) for e in later)
        brought = sum(max(0, e.get("moved", 0)) for e in later)
        for reason, count in entry["flags"].items():
            there = flagged.pop((entry["step"], reason), 0)
            if not (0 if mixed else there - brought) <= count <= there + away:
                said = f"{entry['step']}: {reason} flags {count}"
                found.append(f"manifest.steps: {split}: {said}, the files have {there} flagged")
    for (step, reason), count in flagged.items() if not mixed else ():
        # A row that `split` brought here was flagged in the split it came from.
        if count > sum(max(0, e.get("moved", 0)) for e in steps):
            found.append(f"manifest.steps: {split}: {step}: {reason} is not among its flags, {count} rows carry it")
    return found
