"""A data card's numbers worked out again from the source, the samples and the rejects, by their place on the page.

Keys are compared, lengths ranked and likenesses measured here once more, in plain Python. What names a number's place
is `page_reader.Numbers`.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from helpers import JUDGEMENTS, SPLITS, Row, judged, key_of, manifest, rejects, samples
from near_by_hand import jaccard, meets, ngrams
from page_reader import NUMBER
from source_by_hand import READERS, located, masked, normalised, over, stripped

from curate.recipefile import Recipe
from curate.tasks import TASKS
from curate.text.keys import TURN

Places = dict[str, list[str]]
# ---- how numbers are written


def n(value: int) -> str:
    return f"{value:,}"


def pct(part: int, whole: int) -> str:
    return "0.1" if 0 < part < 0.0005 * whole else f"{100 * part / whole if whole else 0:.1f}"


def shared(part: int, whole: int) -> list[str]:
    return [n(part), pct(part, whole)] if part else ["0"]


def rank(values: list[int], percent: int) -> int:
    return sorted(values)[max(1, math.ceil(percent * len(values) / 100)) - 1]


HAN = re.compile("[々〇〡-〩〸-〻\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
PERCENTS = (5, 50, 95, 99, 100)


class Recount:
    """`numbers` of a run; every table, chart and sentence of its page has a method here."""

    def __init__(self, run: Path, recipe: Recipe, source: Path, limit: int | None = None) -> None:
        self.run, self.recipe, self.task = run, recipe, TASKS[recipe.task]
        self.told = manifest(run)
        self.samples = {split: rows for split in SPLITS if (rows := samples(run, split))}
        self.rejects = rejects(run)
        self.gone = {row["id"]: row for row in self.rejects}
        self.changes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.read: Counter[str] = Counter()
        self.repaired: dict[str, Counter[str]] = {}
        self.sizes: dict[str, int] = {}
        #: Every row that was judged: its split and its record, cleaned.
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
            if step is None or step in JUDGEMENTS:
                self.rows[name] = (split, row)

    def _leak_key(self) -> tuple[str, ...]:
        use = self.recipe.step("leak_check")
        return tuple((use.options.key if use else ()) or self.task.leak_key)

    @cached_property
    def numbers(self) -> Places:
        parts = (
            self.head, self.findings, self.funnel, self.leaks, self.near_leaks, self.labels, self.lengths,
            self.duplicates, self.near, self.change_table, self.segmentation, self.templates, self.verdicts,
            self.provenance,
        )  # fmt: skip
        found: Places = defaultdict(list)
        for part in parts:
            for place, told in part():
                found[place] += told
        return {place: told for place, told in found.items() if told}

    def _count(self, split: str) -> tuple[int, int, int]:
        written = len(self.samples.get(split, ()))
        return self.read[split], written, sum(row["split"] == split for row in self.rejects)

    def _sums(self) -> list[str]:
        return [n(sum(self._count(split)[k] for split in self.splits)) for k in range(3)]

    def _of(self, split: str, alive: bool = False) -> list[str]:
        """The ids of a split's rows, as read or as written."""
        return [
            name for name, (where, _) in self.rows.items() if where == split and (not alive or name in self.written)
        ]

    # ---- one method a part of the page

    def head(self) -> Iterator[tuple[str, list[str]]]:
        yield "head dd", self._sums()
        repeated, of, _ = self._repeated("train")
        yield "head dd", [pct(repeated, of)] if of else []
        for split, other in self._pairs():
            if other == "train":
                cell = self._cell(split, other, False)
                yield "head dd", [pct(cell["rows"], cell["of"])]

    def findings(self) -> Iterator[tuple[str, list[str]]]:
        place = "findings li"
        yield place, self._sums()
        for split in ("validation", "test"):
            if (split, "train") not in self._pairs():
                continue
            cell, left = self._cell(split, "train", False), self._cell(split, "train", True)["rows"]
            if cell["rows"]:
                yield (
                    place,
                    [n(cell["of"]), n(cell["rows"]), pct(cell["rows"], cell["of"]), *([n(left)] if left else [])],
                )
            if cell.get("sentences"):
                yield (
                    place,
                    [n(cell["sentences_of"]), n(cell["sentences"]), pct(cell["sentences"], cell["sentences_of"])],
                )
        if self._looks_near():
            for split, other in self._pairs():
                if other == "train" and (met := sum(self._near_cell(split, other, False)[:2])):
                    yield place, [n(met)]
        conflicts = sum(row["step"] == "label_conflict" for row in self.rejects)
        yield place, [n(conflicts)] if conflicts else []
        repeated, of, _ = self._repeated("train")
        yield place, [n(of), n(repeated), pct(repeated, of)] if repeated else []
        for split in self.splits:
            missing = sum(not row["meta"]["labelled"] for row in self.samples[split]) if self.task.has_labels else 0
            yield place, [n(missing)] if missing else []

    def funnel(self) -> Iterator[tuple[str, list[str]]]:
        steps = ["read", *(use.name for use in self.recipe.steps)]
        steps.insert(1 + len(self.recipe.leading), "format")
        lost = Counter((row["step"], row["split"]) for row in self.rejects)
        shown = [step for step in steps if any(lost[step, split] for split in self.splits)]
        flagged = {split: sum(row["meta"]["flags"] != "" for row in self.samples[split]) for split in self.splits}
        for row in (
            [self.read[split] for split in self.splits],
            *([lost[step, split] for split in self.splits] for step in shown),
            [self._count(split)[1] for split in self.splits],
            [flagged[split] for split in self.splits],
        ):
            yield "table funnel", [n(cell) for cell in row]
        for split in self.splits:
            left = self.read[split]
            told = [n(left)]
            for step in shown:
                if gone := lost[step, split]:
                    left -= gone
                    told += [n(gone), n(left)]
            yield f"chart funnel-{split}", [*told, n(left)] if len(told) > 1 else []

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

    def leaks(self) -> Iterator[tuple[str, list[str]]]:
        for split, other in self._pairs():
            before, after = (self._cell(split, other, alive) for alive in (False, True))
            row = [n(before["of"]), *shared(before["rows"], before["of"]), *shared(after["rows"], after["of"])]
            row += [n(before["other_label"])] if "other_label" in before else []
            for name in ("sentences", "contexts"):
                for cell in (before, after):
                    row += shared(cell[name], cell[f"{name}_of"]) if name in cell else []
            yield "table leaks", row
            if before["rows"] or after["rows"]:
                yield "chart leaks", shared(before["rows"], before["of"])
                yield "chart leaks", shared(after["rows"], after["of"])

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

    def near_leaks(self) -> Iterator[tuple[str, list[str]]]:
        if not self._looks_near():
            return
        for split, other in self._pairs():
            before, after = (self._near_cell(split, other, alive) for alive in (False, True))
            of = len(self._of(split))
            cells = [shared(side[k], of) for k in range(3) for side in (before, after)]
            yield "table near_leaks", [n(of), *(one for cell in cells for one in cell)]
        options: Any = self.recipe.step("leak_check").options  # type: ignore[union-attr]
        yield "leaks p", ["200", f"{options.near}", "60", "13", "200", "13", f"{options.coverage}"]

    def labels(self) -> Iterator[tuple[str, list[str]]]:
        if not self.task.has_labels:
            return
        counts = {split: Counter(row["meta"]["label"] for row in rows) for split, rows in self.samples.items()}
        whole = {split: len(rows) for split, rows in self.samples.items()}
        for label in (*self.recipe.labels, ""):
            if label or any(count[""] for count in counts.values()):
                cells = [shared(counts[split][label], whole[split]) for split in counts]
                yield "table labels", NUMBER.findall(label) + [one for cell in cells for one in cell]
        for split, count in counts.items():
            if set(count) - {""}:
                for label in self.recipe.labels:
                    yield f"chart labels-{split}", NUMBER.findall(label) + shared(count[label], whole[split])
        if self.recipe.step("label_conflict"):
            flagged = sum("label_conflict:" in row["meta"]["flags"] for rows in self.samples.values() for row in rows)
            removed = sum(row["step"] == "label_conflict" for row in self.rejects)
            yield "labels p", [n(removed), n(flagged)]

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

    def lengths(self) -> Iterator[tuple[str, list[str]]]:
        measured = self.measured()
        for split in self.splits:
            for lengths in measured.values():
                if split in lengths:
                    yield "table lengths", [n(rank(lengths[split], percent)) for percent in PERCENTS]

    def _repeated(self, split: str) -> tuple[int, int, Counter[str]]:
        rows = [(name, where, row) for name, (where, row) in self.rows.items() if where == split]
        use = self.recipe.step("exact_dedup")
        gone, flags = judged(rows, self.task.name, [use])
        reasons = Counter(verdict["reason"] for verdict in gone.values())
        reasons.update(flag.partition(":")[2] for said in flags.values() for flag in said)
        return reasons.total(), len(rows), reasons

    def duplicates(self) -> Iterator[tuple[str, list[str]]]:
        use: Any = self.recipe.step("exact_dedup")
        found = {split: self._repeated(split) for split in self.splits}
        reasons = sorted({reason for *_, told in found.values() for reason in told})
        for repeated, of, told in found.values():
            yield "table duplicates", [n(of), *shared(repeated, of), *(n(told[reason]) for reason in reasons)]
        clusters = []
        for split in self.splits:
            groups = Counter(
                key_of(self.rows[name][1], use.options.key or self.task.key, use.options.by, self.task.symmetric)
                for name in self._of(split)
            )
            sizes = Counter(size for size in groups.values() if size > 1)
            drawn = [cell for size, times in sorted(sizes.items())[:12] for cell in (n(size), n(times))]
            yield f"chart clusters-{split}", drawn
            yield "duplicates li", drawn
            clusters.append(sorted(sizes.elements(), reverse=True)[:10])
        near: list[int] = []
        for rows in self._clusters().values():
            if any(how == "near_dedup" for how, *_ in rows):
                near.append(len(rows) + 1)
        shown = [n(size) for sizes in (*clusters, sorted(near, reverse=True)[:10]) for size in sizes]
        yield "duplicates summary", shown

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

    def near(self) -> Iterator[tuple[str, list[str]]]:
        use: Any = self.recipe.step("near_dedup")
        if use is None or use.options.threshold == "off":
            return
        threshold = float(use.options.threshold or (0.9 if self.task.symmetric else 0.8))
        clusters = self._clusters()
        for split in self.splits:
            mine = [
                (len(rows) + 1, min(score for *_, score in rows), sum(how == "near_dedup" for how, *_ in rows))
                for kept, rows in clusters.items()
                if self.rows[kept][0] == split and any(how == "near_dedup" for how, *_ in rows)
            ]
            row = [n(sum(near for *_, near in mine)), n(len(mine))]
            if mine:
                largest = max(mine, key=lambda one: one[0])
                row += [n(largest[0]), f"{largest[1]:.2f}", f"{min(weakest for _, weakest, _ in mine):.2f}"]
            yield "table near", row
        yield "duplicates p", [f"{threshold:g}", "0", "15", "16", "60", "2", "61", "200", "3", "201", "5"]

    def change_table(self) -> Iterator[tuple[str, list[str]]]:
        rows: dict[tuple[str, str], dict[str, int]] = {}
        for step in ("normalise", "redact_pii", "strip_markup", "locate_answer"):
            for split in self.splits:
                for kind, count in sorted(self.changes[step, split].items()):
                    if count:
                        rows.setdefault((step, kind), {})[split] = count
        if self.task.name == "dialogue":
            odd = {
                split: sum(len(self.rows[name][1]["turns"]) % 2 for name in self._of(split)) for split in self.splits
            }
            rows |= {("format", "odd_turn_dropped"): odd} if any(odd.values()) else {}
        for counts in rows.values():
            yield "table changes", [n(counts.get(split, 0)) for split in self.splits]
        details = Counter[str]()
        for split in self.splits:
            details.update(self.changes["redact_pii", split])
        yield "table pii", [n(times) for _, times in sorted(details.items()) if times]
        for repaired in self.repaired.values():
            yield "changes li", [n(times) for _, times in sorted(repaired.items()) if times]

    def segmentation(self) -> Iterator[tuple[str, list[str]]]:
        texts = [
            words.split(" ")
            for rows in self.samples.values()
            for row in rows
            for told in row["meta"]["words"].values()
            for words in told.split("\n")
        ]
        counts = Counter(word for text in texts for word in text if word)
        total = counts.total()
        han = {word: times for word, times in counts.items() if HAN.search(word)}
        known = dictionary()
        unknown = sum(times for word, times in han.items() if word not in known)
        once = sum(times == 1 for times in counts.values())
        of = sum(han.values())
        mean = f"{round(total / len(texts), 2)}"
        yield (
            "segmentation p",
            [n(len(texts)), n(total), mean, n(len(counts)), n(once), pct(unknown, of), n(of), n(unknown)],
        )
        long = [(-times, word) for word, times in counts.items() if len(word) > 1 and re.fullmatch(r"[^\W\d_]+", word)]
        top = [n(-times) for times, _ in sorted(long)[:20]]
        yield "chart words", top
        yield "segmentation li", top

    def templates(self) -> Iterator[tuple[str, list[str]]]:
        used = Counter(row["meta"]["template"] for rows in self.samples.values() for row in rows)
        yield "templates summary", [n(used[name]) for name in sorted(used)]

    def verdicts(self) -> Iterator[tuple[str, list[str]]]:
        gone = Counter((row["step"], row["reason"], row["split"]) for row in self.rejects)
        flags = Counter(
            (*flag.split(":"), split)
            for split, rows in self.samples.items()
            for row in rows
            for flag in filter(None, row["meta"]["flags"].split(","))
        )
        for kind, place, counted in (("reasons", "table rejects", gone), ("flags", "table flags", flags)):
            # In the order of the manifest, which is its own; its numbers are not looked at.
            told = [(entry["step"], reason) for entry in self.told["steps"] for reason, k in entry[kind].items() if k]
            assert {key[:2] for key in counted} == set(told)
            for step, reason in dict.fromkeys(told):
                yield place, [n(counted[step, reason, split]) for split in self.splits]
        if gone:
            yield "rejects p", ["12"]
        totals = Counter()
        for (step, reason, _), times in gone.items():
            totals[step, reason] += times
        for step in dict.fromkeys(entry["step"] for entry in self.told["steps"]):
            for key in sorted(key for key in totals if key[0] == step):
                yield "rejects summary", [n(min(12, totals[key])), n(totals[key])]

    def provenance(self) -> Iterator[tuple[str, list[str]]]:
        for entry in self.told["sources"]:
            yield "table sources", [n(self.read[entry["split"]]), "8", n(self.sizes[entry["file"]])]
        yield "provenance p", NUMBER.findall(str(self.told["seed"]))
        yield "provenance p", NUMBER.findall(", ".join(f"{name} {one}" for name, one in self.told["versions"].items()))


def covered(text: str, known: str) -> float:
    grams = ngrams(text, 13)
    return len(grams & ngrams(known, 13)) / len(grams)


def dictionary() -> set[str]:
    spec: Any = find_spec("jieba")
    path = Path(spec.submodule_search_locations[0]) / "dict.txt"
    return {line.split(" ")[0] for line in path.read_text(encoding="utf-8").split("\n")}
