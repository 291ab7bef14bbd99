"""One row's whole story: where it was read, what each step made of it, kept or rejected, why, because of which row.

What became of the row is in the run folder. What it was before is not: the source is read again from where
local.json says it was, if it is still there with the manifest's hash; otherwise one line says that it isn't.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.card.draw import sample_text
from curate.card.meanings import meaning
from curate.history import History
from curate.naming import placed, row_prefixes
from curate.preview import record_text
from curate.run import read_manifest
from curate.types import SPLITS, UserError
from curate.work import passing_folder
from jingtiao.markdown import clip, visible

#: Rows that were rejected in favour of this one: so many are named.
_SHOWN = 5
#: Longer texts are not compared character by character, and of texts less alike than this it would tell nothing.
_COMPARED, _ALIKE = 10_000, 0.6


def explain(run: Path, name: str) -> str:
    """The story of the row called `name` (`lcqmc/train/000000017`; `train/17` will do). UserError for no such row."""
    manifest = read_manifest(run)
    if manifest["task"] == "mixture":
        from curate.mixture.explain import explain_mixed

        return explain_mixed(run, manifest, name.strip())
    name = _full_name(manifest, name)
    sample, rejected, others = _find(run, name)
    if sample is None and rejected is None:
        raise UserError(_unknown(run, manifest, name))
    parts = [("", visible(name)), *_outcome(manifest, name, sample, rejected)]
    with passing_folder() as work:
        history = History(run, manifest, work)
        story = _story(history, manifest, name)
        parts += story
        if rejected is not None:
            if not any(label == "read" for label, _ in story) and rejected["fields"] is not None:
                parts.append(("record", _fields_text(rejected["fields"])))
            parts += _because(run, rejected, history)
    if others:
        parts.append(("stands for", "\n".join(others[:_SHOWN] + [f"… {len(others)} in all"] * (len(others) > _SHOWN))))
    if sample is not None:
        parts.append(("template", sample["meta"]["template"]))
        parts.append(("sample", sample_text(sample)))
    return "\n".join(_lines(parts))


def _lines(parts: list[tuple[str, str]]) -> Iterator[str]:
    width = max(len(label) for label, _ in parts) + 2
    for label, text in parts:
        if not label:
            yield text
            continue
        first, *rest = visible(text).split("\n")
        yield f"  {label:<{width}}{first}".rstrip()
        yield from (f"  {'':<{width}}{line}".rstrip() for line in rest)


# ---- what the run folder says


def _rows(path: Path, needle: str = "") -> Iterator[dict[str, Any]]:
    """The rows of a JSONL file whose line holds `needle`: looked at as text first, which is much faster."""
    if path.is_file():
        with path.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                if needle in line:
                    yield json.loads(line)


def _find(run: Path, name: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None, list[str]]:
    """The row's sample or its reject, and the rows that were rejected in its favour."""
    needle = json.dumps(name, ensure_ascii=False)
    sample = rejected = None
    for split in SPLITS:
        for row in _rows(run / f"{split}.jsonl", needle):
            if row["meta"]["id"] == name:
                sample = row | {"split": split}
    others = []
    for row in _rows(run / "rejected.jsonl", needle):
        if row["id"] == name:
            rejected = row
        if row["kept_id"] == name:
            others.append(f"{row['id']}, rejected by {row['step']}: {row['reason']}")
    return sample, rejected, others


def _outcome(
    manifest: dict[str, Any], name: str, sample: dict[str, Any] | None, rejected: dict[str, Any] | None
) -> list[tuple[str, str]]:
    parts = []
    if rejected is not None:
        how = "coverage" if rejected["reason"].startswith("covers_") else "similarity"
        alike = f", {how} {rejected['score']:.2f}" if rejected["score"] is not None else ""
        parts.append(("rejected", f"by {rejected['step']}: {_reason(rejected['reason'])}{alike}"))
    if sample is not None:
        came = name.removeprefix(f"{manifest['recipe']['name']}/").split("/")[0]
        moved = f" (moved there from {came} by split)" if came != sample["split"] else ""
        parts.append(("kept", f"written to {sample['split']}.jsonl{moved}"))
        for flag in filter(None, sample["meta"]["flags"].split(",")):
            step, _, reason = flag.partition(":")
            parts.append(("flagged", f"by {step}: {_reason(reason)}"))
        if not sample["meta"]["labelled"]:
            parts.append(("unlabelled", "the corpus gives no answer for this row"))
    return parts


def _reason(reason: str) -> str:
    said = meaning(reason, "en")
    return reason if said == reason else f"{reason} ({said})"


def _because(run: Path, rejected: dict[str, Any], history: History) -> list[tuple[str, str]]:
    """The rows that this one was rejected for, down to the one that was written; of the first, where it differs."""
    parts = []
    seen = {rejected["id"]}
    name = rejected["kept_id"]
    while name is not None and name not in seen:
        sample, other, _ = _find(run, name)
        record = _record(history, name, sample, other)
        told = "(its text was not kept)" if record is None else record_text(record)
        if sample is not None:
            parts.append(("because of", f"{name}, written to {sample['split']}.jsonl\n{told}"))
        elif other is not None:
            parts.append(("because of", f"{name}, itself rejected by {other['step']}: {other['reason']}\n{told}"))
        else:
            parts.append(("because of", f"{name}, which is not in this run folder"))
        if len(seen) == 1 and record is not None and rejected["fields"] and rejected["reason"] != "swapped":
            parts += _differences(rejected["fields"], record)
        seen.add(name)
        name = other["kept_id"] if other is not None else None
    if rejected["step"] == "label_conflict":
        parts += [
            ("because of", f"{row['id']}\n{_fields_text(row['fields'])}") for row in _rivals(run, rejected, history)
        ]
    return parts + (_benchmark(rejected, history) if rejected["step"] == "decontaminate" else [])


def _record(
    history: History, name: str, sample: dict[str, Any] | None, rejected: dict[str, Any] | None
) -> dict[str, Any] | None:
    """A row as the judgements saw it: from the run folder where that has it, else read again."""
    if rejected is not None and rejected["fields"] is not None and "raw" not in rejected["fields"]:
        return rejected["fields"]
    if sample is not None and "fields" in sample["meta"]:
        return {**sample["meta"]["fields"], "label": sample["meta"].get("label") or None}
    try:
        return history.passage(name).cleaned
    except (UserError, OSError):
        return None if sample is None else {"sample": sample_text(sample)}


def _benchmark(rejected: dict[str, Any], history: History) -> list[tuple[str, str]]:
    """The text of a benchmark that this row was rejected for."""
    from curate.steps.decontaminate import met

    try:
        use = history.recipe.step("decontaminate")
        found = None if use is None else met(rejected["fields"], use.options, history.recipe.family)
    except (UserError, OSError):
        return []
    if found is None:
        return []
    file, row, fields = found
    text = ("because of", f"{file}, text {row:,} (counted from 0)\n{record_text(fields)}")
    return [text, *_differences(rejected["fields"], fields)]


def _fields_text(fields: dict[str, Any] | None) -> str:
    if fields is None:
        return "(not chosen; its text was not kept)"
    if "raw" in fields:
        return f"{placed(fields['file'], fields['line'])}: {clip(fields['raw'])}"
    return record_text(fields)


def _rivals(run: Path, rejected: dict[str, Any], history: History) -> list[dict[str, Any]]:
    """The other rows of a label conflict: the same key and another label, rejected with this one."""
    try:
        recipe = history.recipe
    except UserError:
        return []
    if (use := recipe.step("label_conflict")) is None:
        return []
    from curate.lazy import pl
    from curate.steps.label_conflict import columns
    from curate.text.keys import group_hash, key_frame

    task = recipe.family
    rows = [
        row
        for row in _rows(run / "rejected.jsonl", '"step":"label_conflict"')
        if row["step"] == "label_conflict" and row["split"] == rejected["split"]
    ]
    schema = {"rid": pl.UInt64, **task.schema()}
    frame = pl.DataFrame([{"rid": i, **row["fields"]} for i, row in enumerate(rows)], schema=schema)
    keys = key_frame(frame, task.fields, columns(use.options, task))
    groups = keys.select(group_hash(tuple(use.options.key or task.key), use.options.by, task.symmetric)).to_series()
    mine = groups[[row["id"] for row in rows].index(rejected["id"])]
    label = rejected["fields"]["label"]
    same = [row for row, group in zip(rows, groups.to_list(), strict=True) if group == mine]
    return [row for row in same if row["fields"]["label"] != label][:_SHOWN]


# ---- what the source says


def _story(history: History, manifest: dict[str, Any], name: str) -> list[tuple[str, str]]:
    """The row as it was read and after each leading step, from the source itself."""
    try:
        passage = history.passage(name)
    except (UserError, OSError) as error:
        said = error.messages[0] if isinstance(error, UserError) else str(error)
        return [("source", f"not read again, so what the steps changed isn't shown: {said}")]
    parts = [("file", f"{passage.file.name}, data row {passage.row:,} (counted from 0, header not counted)")]
    if passage.unread is not None:
        return [*parts, ("read", f"line {passage.unread.line}: {clip(passage.unread.raw)}")]
    parts.append(("read", record_text(passage.read)))
    before = passage.read
    for stage, after in passage.stages:
        said = [f"{action} {_reason(reason)}" for _, action, reason in stage.said.iter_rows()]
        changed = {field: value for field, value in after.items() if value != before[field]}
        text = [_changed_text(field, before[field], value) for field, value in changed.items()]
        if stage.step == "redact_pii" and stage.counts:
            text.append(_counted(stage.counts))
        parts.append((stage.step, "\n".join([*text, *said]) or "nothing changed"))
        before = after
    if history.recipe.sha256 != manifest["recipe"]["sha256"]:
        parts.append(("note", "the recipe file has changed since the run; the steps shown are today's"))
    return parts


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{meaning(kind, 'en')} {n}" for kind, n in counts.items())


def _changed_text(field: str, before: Any, after: Any) -> str:
    """A changed field: short ones whole, of a long text the places that changed."""
    if not isinstance(before, str) or not isinstance(after, str) or max(len(before), len(after)) <= 120:
        return f"{field}: {record_text({'': after}).removeprefix(': ')}"
    if max(len(before), len(after)) > _COMPARED:
        return f"{field}: {clip(after)}  (changed; too long to show where)"
    return f"{field}: {_spots(before, after)}"


def _spots(before: str, after: str) -> str:
    """The places in which two texts differ."""
    spots = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind != "equal":
            spots.append(
                f"…{before[max(0, i - 8) : i]}[{clip(before[i:j], 40)} → {clip(after[k:m], 40)}]{before[j : j + 8]}…"
            )
    return "  ".join(spots[:5]) + (f"  ({len(spots)} places)" if len(spots) > 5 else "")


def _differences(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, str]]:
    """Where two records differ, if they are alike enough to tell."""
    told = []
    for field, text in one.items():
        there = other.get(field)
        if not isinstance(text, str) or not isinstance(there, str) or text == there:
            continue
        if max(len(text), len(there)) > _COMPARED:
            continue
        if difflib.SequenceMatcher(None, text, there, autojunk=False).ratio() >= _ALIKE:
            told.append(f"{field}: {_spots(text, there)}")
    return [("difference", "\n".join(told))] if told else []


# ---- ids


def _prefixes(manifest: dict[str, Any]) -> dict[str, int]:
    """What ids of this run may begin with, and how many rows there are of each."""
    found: dict[str, int] = {}
    for split in SPLITS:
        entries = [entry for entry in manifest["sources"] if entry["split"] == split]
        heads = row_prefixes(manifest["recipe"]["name"], split, [entry["file"] for entry in entries])
        found.update((head, entry["rows"]) for head, entry in zip(heads, entries, strict=True))
    return found


def _full_name(manifest: dict[str, Any], name: str) -> str:
    """`train/17` → `lcqmc/train/000000017`; anything else is left as it is."""
    prefix, _, row = name.strip().rpartition("/")
    if re.fullmatch(r"[0-9]+", row) and prefix:
        known = _prefixes(manifest)
        full = f"{manifest['recipe']['name']}/{prefix}"
        return f"{full if prefix not in known and full in known else prefix}/{row.zfill(9)}"
    return name.strip()


def _unknown(run: Path, manifest: dict[str, Any], name: str) -> str:
    """No such row: how many there are, or what ids look like."""
    prefix, _, row = name.rpartition("/")
    known = _prefixes(manifest)
    if prefix in known and row.isdigit():
        return (
            f"{run}: has no row {name}; the rows of {prefix} are numbered 000000000 to {max(0, known[prefix] - 1):09d}"
        )
    first = next(iter(known), f"{manifest['recipe']['name']}/train")
    near = difflib.get_close_matches(prefix, known, n=1, cutoff=0.5) if prefix else []
    hint = f"; did you mean {near[0]}/{row}?" if near and row.isdigit() else ""
    return (
        f"{run}: has no row {name!r}{hint} (ids look like {first}/000000017; the run has {', '.join(list(known)[:5])})"
    )
