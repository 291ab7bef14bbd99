"""Runs as the tests see them: started in this process or in a child, read back, and recounted in plain Python.

The recount (`judged`, `broken_promises`) shares one thing with curate: `compare_key`, the written-out meaning of "the
same text" for one text. Everything that groups, joins and counts rows is done again here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from contract import check_run
from near_by_hand import clusters, meets

from curate.pipeline import curate_recipe
from curate.recipefile import Recipe, load_recipe
from curate.result import RunResult
from curate.tasks import TASKS
from curate.text.keys import TURN, compare_key

REPOSITORY = Path(__file__).resolve().parents[1]
RECIPES = (
    "fudan",
    "lcqmc",
    "chnsenticorp",
    "cmrc2018",
    "lcsts",
    "lccc",
    "nlpcc-summary",
    "nlpcc-kbqa",
    "bq",
    "drcd",
    "ecdt",
    "nlpcc-headline",
    "nlpcc-stance",
)
SPLITS = ("train", "validation", "test")
JUDGEMENTS = (
    "label_conflict",
    "exact_dedup",
    "near_dedup",
    "semantic_dedup",
    "split",
    "leak_check",
    "balance",
    "cap",
    "sample",
)
#: The only steps that may take a row out of an evaluation split.
BINDING = {"read", "select", "require", "format"}

Row = dict[str, Any]


# ---- running


def curate(recipe: str | Path | Recipe, out: Path, *sources: str | Path, **options: Any) -> RunResult:
    """One run in this process; `overrides` as in `--set`, the rest as in `curate_recipe`."""
    overrides = options.pop("overrides", [])
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(str(recipe), overrides)
    options.setdefault("workers", 1)
    return curate_recipe(loaded, [str(source) for source in sources], out=out, **options)


def command(*words: str | Path, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """`python -m curate …` in a child, started in `cwd`."""
    env = {**os.environ, **options.pop("env", {}), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-m", "curate", *map(str, words)],
        cwd=cwd, env=env, capture_output=True, encoding="utf-8", timeout=120, check=False, **options,
    )  # fmt: skip


def recipe_file(folder: Path, task: str, steps: list[Any], templates: list[Row] | None = None, **fields: Any) -> Path:
    """A recipe of one's own in `folder` (JSON is YAML); the default templates show the record as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = {
        "pair": ("{{ a }}\n{{ b }}", "{{ answer }}"),
        "classification": ("{{ text }}", "{{ answer }}"),
        "mrc": ("{{ context }}\n{{ question }}", "{{ answer }}"),
        "summarization": ("{{ text }}", "{{ summary }}"),
        "dialogue": ("", "{{ reply }}"),
    }[task]
    said = "{{ message }}" if task == "dialogue" else "答"
    plain = [{"id": f"t/{n:02}", "instruction": said, "input": shown[0], "output": shown[1]} for n in range(3)]
    templates_file = {"task": task, "templates": templates or plain}
    (folder / "own.templates.yaml").write_text(json.dumps(templates_file, ensure_ascii=False), encoding="utf-8")
    reader = {"mrc": "squad", "summarization": "lcsts", "dialogue": "dialogue"}.get(task, "table")
    data = {
        "name": "own", "version": "1.0.0", "title": "own", "task": task,
        **({"labels": {"0": "不同", "1": "相同"}} if task in ("pair", "classification") else {}),
        "source": {"reader": reader, "files": {split: f"*{split}*" for split in SPLITS}},
        "steps": steps, "templates": "own.templates.yaml", "metrics": [TASKS[task].metrics[0]],
        **fields,
    }  # fmt: skip
    path = folder / "own.yaml"
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
    return path


# ---- reading


def lines(path: Path) -> list[Row]:
    """The objects of a JSONL file; none if there is no such file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def samples(run: Path, split: str) -> list[Row]:
    return lines(run / f"{split}.jsonl")


def rejects(run: Path) -> list[Row]:
    return lines(run / "rejected.jsonl")


def manifest(run: Path) -> Row:
    return json.loads((run / "manifest.json").read_text(encoding="utf-8"))


def card(run: Path) -> Row:
    return json.loads((run / "card.json").read_text(encoding="utf-8"))


def tree(run: Path) -> dict[str, bytes]:
    """Every file of a run but local.json, which may differ from run to run."""
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name != "local.json"
    }


def differing(one: Path, other: Path) -> list[str]:
    """The files in which two runs differ; without their texts, which would drown the message."""
    a, b = tree(one), tree(other)
    return [name for name in sorted({*a, *b}) if a.get(name) != b.get(name)]


def record(sample: Row) -> Row:
    """The texts of a sample's record, as far as keys need them: from `fields`, else from its words put together."""
    meta = sample["meta"]
    if meta["task"] == "pair":
        return {**meta["fields"], "label": meta["label"] or None}
    if "words" not in meta:
        return {"text": sample["input"], "label": meta.get("label") or None}
    texts: Row = {name: text.replace(" ", "") for name, text in meta["words"].items()}
    if "turns" in texts:
        texts["turns"] = texts["turns"].split("\n")
    told = {"target": meta["target"]} if "target" in meta else {}
    return {**texts, **told, "label": meta.get("label") or None}


@lru_cache(maxsize=1 << 20)
def _compared(text: str, by: str) -> str:
    return compare_key(text) if by == "key" else "".join(unicodedata.normalize("NFKC", text).split())


def key_of(fields: Row, names: Iterable[str], by: str, symmetric: bool) -> Any:
    """What a rule compares: the keys of the fields, in no order where the two sides of a pair count alike."""

    def one(value: Any) -> Any:
        return tuple(map(one, value)) if isinstance(value, list) else _compared(value or "", by)

    parts = [one(fields[name]) for name in names]
    return tuple(sorted(parts) if symmetric and len(parts) == 2 else parts)


# ---- judging again


def judged(
    rows: list[tuple[str, str, Row]], task_name: str, steps: list[Any], alike: dict[str, Row] | None = None
) -> tuple[dict[str, Row], dict[str, list[str]]]:
    """What label_conflict, exact_dedup, near_dedup and leak_check must say of `rows` (id, split, record; by rid).

    Likeness is looked for in every pair of rows: for a few hundred of them. Of more, `alike` are the rejects by id
    that are taken for granted.

    `steps` are a recipe's step uses. Returns the rejects by id ({"step", "reason", "kept_id"}) and the flags by id.
    """
    gone: dict[str, Row] = {}
    flags: dict[str, list[str]] = defaultdict(list)
    for use in steps:
        if use.name not in ("label_conflict", "exact_dedup", "near_dedup", "leak_check"):
            continue
        judge = _Judge(task_name, use.options, [row for row in rows if row[0] not in gone])
        if alike is not None:
            said = [] if use.name == "near_dedup" else judge.of(use.name)
            here = {name: row for name, row in alike.items() if row["step"] == use.name}
            said += [(name, "reject", row["reason"], row["kept_id"]) for name, row in here.items()]
        else:
            said = judge.near_dedup() if use.name == "near_dedup" else judge.of(use.name)
            said += judge.near_leaks(said) if use.name == "leak_check" else []
        evaluation = {name for name, split, _ in rows if split != "train"}
        for name, action, reason, kept in said:
            if action == "flag" or name in evaluation:
                flags[name].append(f"{use.name}:{reason}")
            else:
                gone[name] = {"step": use.name, "reason": reason, "kept_id": kept}
    for verdict in gone.values():
        end = verdict["kept_id"]
        while end in gone:
            end = gone[end]["kept_id"]
        if end is None:
            verdict["kept_id"] = None
    return gone, flags


class _Judge:
    """One judgement over the rows that are left."""

    def __init__(self, task_name: str, options: Any, rows: list[tuple[str, str, Row]]) -> None:
        task = TASKS[task_name]
        self.rows, self.options, self.symmetric = rows, options, task.symmetric
        key = getattr(options, "key", ())
        self.key, self.leak_key = tuple(key or task.key), tuple(key or task.leak_key)
        self.texts = [field for field in self.leak_key if field in task.leak_key] or list(self.leak_key)
        self.task = task

    def of(self, step: str) -> list[tuple[str, str, str, str | None]]:
        names = self.leak_key if step == "leak_check" else self.key
        groups: dict[Any, list[tuple[str, str, Row]]] = defaultdict(list)
        for row in self.rows:
            groups[key_of(row[2], names, self.options.by, self.symmetric)].append(row)
        said = []
        for group in groups.values():
            said += getattr(self, f"_{step}")(group)
        return said

    def _text(self, fields: Row) -> str:
        """What is compared by likeness: one text, the sides of a pair in an order of their own."""
        parts = [
            TURN.join(fields[name]) if isinstance(fields[name], list) else fields[name] or "" for name in self.texts
        ]
        keys = [_compared(part, "key") for part in parts]
        return TURN.join(sorted(keys) if self.symmetric else keys)

    def near_dedup(self) -> list[tuple[str, str, str, str | None]]:
        if self.options.threshold == "off":
            return []
        threshold = float(self.options.threshold or (0.9 if self.symmetric else 0.8))
        fixed = [name for name in (*self.task.key, "target") if name not in self.texts]
        apart = []
        for _, split, fields in self.rows:
            label = fields.get("label") if self.symmetric else None
            told = [_compared(fields[name] or "", "key") for name in fixed if name in fields]
            apart.append((split, label, tuple(told)))
        texts = [self._text(fields) for *_, fields in self.rows]
        first = clusters(texts, threshold, groups=apart)
        return [
            (self.rows[i][0], "reject", "same_key" if texts[i] == texts[kept] else "near_text", self.rows[kept][0])
            for i, kept in enumerate(first)
            if i != kept
        ]

    def near_leaks(self, exact: list[tuple[str, str, str, str | None]]) -> list[tuple[str, str, str, str | None]]:
        """What leak_check says of rows that no row of the other split is the same as."""
        near, coverage = (None if it == "off" else float(it) for it in (self.options.near, self.options.coverage))
        if near is None and coverage is None:
            return []
        rows = [(name, split, self._text(fields), self._fixed(fields)) for name, split, fields in self.rows]
        rejected = {name for name, action, *_ in exact if action == "reject"}
        flagged = {(name, reason) for name, action, reason, _ in exact if action == "flag"}
        found: dict[str, tuple[int, bool, float, str]] = {}
        said: list[tuple[str, str, str, str | None]] = []
        for name, split, text, fixed in rows:
            for other, there, known, same in rows:
                if there in ("train", split) or split == "test" or fixed != same or known == text:
                    continue
                met = meets(known, text, near, coverage)
                if (split == "train" and name in rejected) or (name, f"in_{there}") in flagged:
                    continue
                if met and met[2]:
                    best = (-SPLITS.index(there), met[0] == "covers", -met[1], other)
                    found[name] = min(found.get(name, best), best)
        for name, split, *_ in rows:
            if name in found:
                there, covers, _, other = found[name]
                how = f"{'covers' if covers else 'near'}_{SPLITS[-there]}"
                said.append((name, "reject" if split == "train" else "flag", how, other))
        for name, split, known, fixed in rows:
            if split != "train" and (name, "in_train") not in flagged:
                others = [text for _, there, text, same in rows if there == "train" and fixed == same]
                ways = [met for text in others if text != known and (met := meets(known, text, near, coverage))]
                if leaks := [met for met in ways if met[2]]:
                    near_one = any(how == "near" for how, *_ in leaks)
                    said.append((name, "flag", "near_train" if near_one else "covered_by_train", None))
        return said

    def _fixed(self, fields: Row) -> tuple[str, ...]:
        return tuple(_compared(fields[name] or "", "key") for name in self.leak_key if name not in self.texts)

    def _label_conflict(self, group: list[tuple[str, str, Row]]) -> list[Any]:
        mixed = [s for s in SPLITS if len({r["label"] for _, split, r in group if split == s and r["label"]}) > 1]
        return [(name, "reject", "conflicting_labels", None) for name, split, _ in group if split in mixed]

    def _exact_dedup(self, group: list[tuple[str, str, Row]]) -> list[Any]:
        said = []
        for split in SPLITS:
            first, *others = [row for row in group if row[1] == split] or [None]
            for name, _, fields in others:
                said.append((name, "reject", self._sameness(fields, first[2]), first[0]))
        return said

    def _sameness(self, fields: Row, kept: Row) -> str:
        mine, theirs = (key_of(f, self.key, "text", False) for f in (fields, kept))
        if mine == theirs:
            return "same_text"
        return "swapped" if self.symmetric and mine[::-1] == theirs else "same_key"

    def _leak_check(self, group: list[tuple[str, str, Row]]) -> list[Any]:
        first = {split: next((row[0] for row in group if row[1] == split), None) for split in SPLITS}
        said: list[Any] = []
        for name, split, _ in group:
            if split != "test" and first["test"]:
                said.append((name, "reject" if split == "train" else "flag", "in_test", first["test"]))
            elif split == "train" and first["validation"]:
                said.append((name, "reject", "in_validation", first["validation"]))
            if split != "train" and first["train"]:
                said.append((name, "flag", "in_train", None))
        return said


# ---- the promises


def broken_promises(run: Path, recipe: Recipe) -> list[str]:
    """Every way in which a run breaks a promise of the design; an empty list is a run that keeps them all."""
    found = check_run(run)
    if (run / "README.md").read_text(encoding="utf-8") == "TODO\n":
        found = [line for line in found if not line.startswith("README.md")]
    written = [(row["meta"]["id"], split, record(row)) for split in SPLITS for row in samples(run, split)]
    lost = rejects(run)
    found += _every_row(run, [name for name, _, _ in written] + [row["id"] for row in lost])
    found += [
        f"{row['id']}: a row of {row['split']} was removed by {row['step']}"
        for row in lost
        if row["split"] != "train" and row["step"] not in BINDING
    ]
    found += _apart(written, recipe)
    found += _links(written, lost, recipe)
    return found


def _every_row(run: Path, names: list[str]) -> list[str]:
    """The ids of a file are 0, 1, 2 … up to its number of rows: none missing, none invented, none twice."""
    found = []
    numbers: dict[str, list[int]] = defaultdict(list)
    for name in names:
        prefix, _, number = name.rpartition("/")
        numbers[prefix].append(int(number))
    rows = sorted(entry["rows"] for entry in manifest(run)["sources"] if entry["rows"])
    if sorted(map(len, numbers.values())) != rows:
        found.append(f"the files have {rows} rows, the ids count {sorted(map(len, numbers.values()))}")
    for prefix, there in numbers.items():
        if sorted(there) != list(range(len(there))):
            found.append(f"{prefix}: the ids are not 0 … {len(there) - 1}")
    return found


def _apart(written: list[tuple[str, str, Row]], recipe: Recipe) -> list[str]:
    """No two train samples are the same, and none stands in validation or test, each by the recipe's own rule."""
    found = []
    task = TASKS[recipe.task]
    if dedup := recipe.step("exact_dedup"):
        names = dedup.options.key or task.key
        counts = Counter(key_of(r, names, dedup.options.by, task.symmetric) for _, s, r in written if s == "train")
        found += [f"train: {n} samples of the key {key}" for key, n in counts.items() if n > 1]
    if leak := recipe.step("leak_check"):
        names = leak.options.key or task.leak_key
        known = {key_of(r, names, leak.options.by, task.symmetric) for _, s, r in written if s != "train"}
        for name, split, fields in written:
            if split == "train" and key_of(fields, names, leak.options.by, task.symmetric) in known:
                found.append(f"{name}: stands in an evaluation split too")
    return found


def _links(written: list[tuple[str, str, Row]], lost: list[Row], recipe: Recipe) -> list[str]:
    """Each kept_id names a row of the same text by its step's rule, and the chain ends at a written row."""
    found = []
    task = TASKS[recipe.task]
    there = {name: fields for name, _, fields in written}
    gone = {row["id"]: row for row in lost}
    for row in lost:
        if row["kept_id"] is None:
            if row["step"] == "leak_check":
                found.append(f"{row['id']}: leak_check names no row")
            continue
        options = recipe.step(row["step"]).options  # type: ignore[union-attr]
        kept = there.get(row["kept_id"]) or gone[row["kept_id"]]["fields"]
        # A capped row has no fields of its own, and nothing to compare; how near is near is counted elsewhere.
        same = kept and not is_alike(row["step"], row["reason"])
        names = options.key or (task.leak_key if row["step"] == "leak_check" else task.key) if same else ()
        if same and len({key_of(f, names, options.by, task.symmetric) for f in (row["fields"], kept)}) > 1:
            found.append(f"{row['id']}: is not the same as {row['kept_id']}, which was kept for it ({row['step']})")
        name = row["kept_id"]
        while name in gone:
            name = gone[name]["kept_id"]
        if name not in there:
            found.append(f"{row['id']}: its chain ends at {name}, which was not written")
    return found


def is_alike(step: str, reason: str) -> bool:
    """Whether a verdict is about likeness, not sameness."""
    return step in ("near_dedup", "semantic_dedup") or (step == "leak_check" and not reason.startswith("in_"))


def judged_again(run: Path, recipe: Recipe, likeness: bool = True) -> list[str]:
    """The run's judgements against a recount over all rows that reached them (for recipes without a move or a cap).

    Without `likeness`, what it says of like rows is taken for granted.
    """
    written = [(split, row) for split in SPLITS for row in samples(run, split)]
    rows = [(row["meta"]["id"], split, record(row)) for split, row in written]
    lost = {row["id"]: row for row in rejects(run) if row["step"] in JUDGEMENTS}
    rows += [(row["id"], row["split"], row["fields"]) for row in lost.values()]
    rows.sort(key=lambda row: (SPLITS.index(row[1]), row[0]))
    alike = {name: row for name, row in lost.items() if is_alike(row["step"], row["reason"])}
    gone, flags = judged(rows, recipe.task, list(recipe.steps), None if likeness else alike)
    told = {name: {key: row[key] for key in ("step", "reason", "kept_id")} for name, row in lost.items()}
    found = [
        f"{name}: {told.get(name, 'kept')}, recounted {gone.get(name, 'kept')}"
        for name in {*gone, *told}
        if told.get(name) != gone.get(name)
    ]
    for _, row in written:
        said = [f for f in filter(None, row["meta"]["flags"].split(",")) if f.partition(":")[0] in JUDGEMENTS]
        said = [f for f in said if likeness or not is_alike(*f.split(":"))]
        if sorted(said) != sorted(flags.get(row["meta"]["id"], [])):
            found.append(f"{row['meta']['id']}: flags {said}, recounted {flags.get(row['meta']['id'], [])}")
    return found
