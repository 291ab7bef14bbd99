"""What a data card tells of a run, worked out again from the source, the samples and the rejects in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import islice
from pathlib import Path
from typing import Any

from helpers import JUDGEMENTS, SPLITS, Row, judged, key_of, manifest, rejects, samples
from near_by_hand import jaccard, meets, ngrams
from source_by_hand import READERS, located, masked, normalised, over, stripped

from curate.recipefile import Recipe
from curate.tasks import TASKS
from curate.text.keys import TURN


class Facts:
    """Of a run: its rows as they were judged, and what they have in common."""

    def __init__(
        self, run: Path, recipe: Recipe, source: Path, limit: int | None = None, tokenizer: Any = None
    ) -> None:
        self.run, self.recipe, self.task = run, recipe, TASKS[recipe.task]
        self.tokenizer = tokenizer
        self.told = manifest(run)
        self.samples = {split: rows for split in SPLITS if (rows := samples(run, split))}
        self.rejects = rejects(run)
        self.gone = {row["id"]: row for row in self.rejects}
        self.changes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.read: Counter[str] = Counter()
        self.repaired: dict[str, Counter[str]] = {}
        self.sizes: dict[str, int] = {}
        #: Every row with all it needs, and every row that was judged: its split and its record, cleaned.
        self.cleaned: dict[str, tuple[str, Row]] = {}
        self.rows: dict[str, tuple[str, Row]] = {}
        for entry in self.told["sources"]:
            self._read(entry, source / entry["file"], limit)
        self.splits = [split for split in SPLITS if self.read[split]]
        self.written = {row["meta"]["id"] for rows in self.samples.values() for row in rows}
        self.keys = {
            name: key_of(row, self._leak_key(), "key", self.task.symmetric) for name, (_, row) in self.rows.items()
        }

    def _read(self, entry: Row, path: Path, limit: int | None) -> None:
        split = entry["split"]
        steps = {use.name: use.options for use in self.recipe.steps}
        names = [field for field in ("title", *self.task.text, "answers") if field in self.task.fields]
        self.sizes[entry["file"]] = path.stat().st_size
        repaired = self.repaired[entry["file"]] = Counter()
        rows = READERS[self.task.name](path, tuple(self.recipe.labels), repaired)
        for k, raw in enumerate(islice(rows, limit)):
            self.read[split] += 1
            name = f"{self.recipe.name}/{split}/{k:09}"
            step = self.gone.get(name, {}).get("step")
            if raw is None or step in ("read", "select"):
                assert step in ("read", "select"), f"{name} can't be read, and wasn't rejected for it"
                continue
            row = over(raw, tuple(names), lambda text: normalised(text, self.changes["normalise", split]))
            if step == "require":
                continue
            if "redact_pii" in steps:
                row = over(row, self.task.text, lambda text: masked(text, self.changes["redact_pii", split]))
            if "strip_markup" in steps:
                kinds, counts = steps["strip_markup"].kinds, self.changes["strip_markup", split]
                row = over(row, tuple(names), lambda text, kinds=kinds, counts=counts: stripped(text, kinds, counts))
            if "locate_answer" in steps:
                located(row, self.changes["locate_answer", split])
            self.cleaned[name] = (split, row)
            if step is None or step in JUDGEMENTS:
                self.rows[name] = (split, row)

    def _leak_key(self) -> tuple[str, ...]:
        use = self.recipe.step("leak_check")
        return tuple((use.options.key if use else ()) or self.task.leak_key)

    def _count(self, split: str) -> tuple[int, int, int]:
        written = len(self.samples.get(split, ()))
        return self.read[split], written, sum(row["split"] == split for row in self.rejects)

    def _of(self, split: str, alive: bool = False) -> list[str]:
        """The ids of a split's rows, as read or as written."""
        return [
            name for name, (where, _) in self.rows.items() if where == split and (not alive or name in self.written)
        ]

    def _pairs(self) -> list[tuple[str, str]]:
        """An evaluation split and another one, of those whose rows could be judged."""
        there = [split for split in SPLITS if self._of(split)]
        return [(split, other) for split in there if split != "train" for other in there if other != split]

    def _cell(self, split: str, other: str, alive: bool) -> dict[str, int]:
        mine, there = self._of(split, alive), self._of(other, alive)
        labels: dict[Any, set[str]] = defaultdict(set)
        for name in there:
            labels[self.keys[name]].add(self.rows[name][1].get("label") or "")
        met = [name for name in mine if self.keys[name] in labels]
        cell = {"rows": len(met), "of": len(mine)}
        if self.task.has_labels:
            said = [(self.rows[name][1]["label"], labels[self.keys[name]] - {""}) for name in met]
            cell["other_label"] = sum(bool(label and known) and label not in known for label, known in said)
        if self.task.name == "pair":
            one, two = (
                {key_of(self.rows[name][1], (side,), "key", False) for name in side_of for side in ("a", "b")}
                for side_of in (mine, there)
            )
            cell |= {"sentences": len(one & two), "sentences_of": len(one)}
        if self.task.name == "mrc":
            distinct = {self.keys[name] for name in mine}
            cell |= {"contexts": len({self.keys[name] for name in met}), "contexts_of": len(distinct)}
        return cell

    def _looks_near(self) -> bool:
        use = self.recipe.step("leak_check")
        return use is not None and (use.options.near, use.options.coverage) != ("off", "off")

    def _text(self, name: str) -> str:
        """A row's text as likeness sees it."""
        parts = [key for key in self.keys[name]]
        return TURN.join(TURN.join(part) if isinstance(part, tuple) else part for part in parts)

    def _near_cell(self, split: str, other: str, alive: bool) -> tuple[int, int, int]:
        options: Any = self.recipe.step("leak_check").options  # type: ignore[union-attr]
        near, coverage = float(options.near), float(options.coverage)
        there = {self._text(name) for name in self._of(other, alive)}
        found = [0, 0, 0]
        for name in self._of(split, alive):
            if (text := self._text(name)) in there:
                continue
            ways = [met for known in there if (met := meets(text, known, near, coverage))]
            alike = any(how == "near" for how, *_ in ways)
            found[0] += alike
            found[1] += not alike and any(leak for *_, leak in ways)
            # A text may be like one there and inside it too.
            least = near if len(text) <= 200 else 0.1
            found[2] += len(text) > 60 and any(covered(text, known) >= least for known in there)
        return found[0], found[1], found[2]

    def measured(self) -> dict[str, dict[str, list[int]]]:
        """The lengths of each field of what was written."""
        found: dict[str, dict[str, list[int]]] = {}
        for name in (*self.task.text, *(["answers"] if self.task.name == "mrc" else [])):
            for split in self.splits:
                values = [self.rows[row][1][name] for row in self._of(split, True)]
                texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
                if any(texts):
                    found.setdefault(name, {})[split] = [len(text) for text in texts]
        return found

    def tokens(self) -> dict[str, list[tuple[int, int]]]:
        """By split, of each sample the tokens of its prompt and of all of it, in Qwen3's chat format written out."""
        if self.tokenizer is None:
            return {}
        found = {}
        for split, rows in self.samples.items():
            asked = [
                f"<|im_start|>user\n{row['instruction']}\n{row['input']}<|im_end|>\n<|im_start|>assistant\n"
                "<think>\n\n</think>\n\n"
                for row in rows
            ]
            whole = [f"{prompt}{row['output']}<|im_end|>" for prompt, row in zip(asked, rows, strict=True)]
            counted = ([len(ids) for ids in self.tokenizer(texts)["input_ids"]] for texts in (asked, whole))
            found[split] = list(zip(*counted, strict=True))
        return found

    def _repeated(self, split: str) -> tuple[int, int, Counter[str]]:
        rows = [(name, where, row) for name, (where, row) in self.rows.items() if where == split]
        use = self.recipe.step("exact_dedup")
        gone, flags = judged(rows, self.task.name, [use])
        reasons = Counter(verdict["reason"] for verdict in gone.values())
        reasons.update(flag.partition(":")[2] for said in flags.values() for flag in said)
        return reasons.total(), len(rows), reasons

    def _clusters(self) -> dict[str, list[tuple[str, str, float]]]:
        """The rows that each row which stays stands for: how each was found, its id, and its likeness to that row."""
        links = {
            row["id"]: (row["kept_id"], row["step"])
            for row in self.rejects
            if row["step"] in ("exact_dedup", "near_dedup") and row["kept_id"]
        }
        early = ("label_conflict", "exact_dedup")
        rows = {name: row for name, row in self.rows.items() if self.gone.get(name, {}).get("step") not in early}
        use = self.recipe.step("near_dedup")
        if use is not None and use.options.threshold != "off":
            for split in SPLITS:
                # An evaluation row is only told; judged as if it were train, it would go.
                said, _ = judged([(k, "train", r) for k, (s, r) in rows.items() if s == split], self.task.name, [use])
                near = {name: (verdict["kept_id"], "near_dedup") for name, verdict in said.items()}
                if split == "train":
                    assert near.keys() == {name for name, (_, step) in links.items() if step == "near_dedup"}
                links |= near
        found: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
        for name, (kept, step) in links.items():
            least = self._likeness(name, kept)
            while kept in links:
                least = min(least, self._likeness(kept, links[kept][0]))
                kept = links[kept][0]
            found[kept].append((step, name, least))
        return found

    def _likeness(self, one: str, other: str) -> float:
        a, b = self._text(one), self._text(other)
        least = min(len(a), len(b))
        return 1.0 if a == b else jaccard(a, b, 2 if least <= 60 else 3 if least <= 200 else 5)


def covered(text: str, known: str) -> float:
    grams = ngrams(text, 13)
    return len(grams & ngrams(known, 13)) / len(grams)
