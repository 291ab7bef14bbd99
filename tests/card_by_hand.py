"""A data card's numbers worked out again from the source, the samples and the rejects, by their place on the page.

What names a number's place is `page_reader.Numbers`.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from facts_by_hand import Facts
from helpers import key_of
from near_by_hand import meets
from page_reader import NUMBER

Places = dict[str, list[str]]
#: Words that hold one of these are looked up in jieba's dictionary.
HAN = re.compile("[々〇〡-〩〸-〻\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
#: Where samples are commonly cut, in tokens.
LIMITS = (512, 1024, 2048, 4096)
PERCENTS = (5, 50, 95, 99, 100)


def n(value: int) -> str:
    return f"{value:,}"


def pct(part: int, whole: int) -> str:
    return "0.1" if 0 < part < 0.0005 * whole else f"{100 * part / whole if whole else 0:.1f}"


def shared(part: int, whole: int) -> list[str]:
    return [n(part), pct(part, whole)] if part else ["0"]


def rank(values: list[int], percent: int) -> int:
    return sorted(values)[max(1, math.ceil(percent * len(values) / 100)) - 1]


class Recount(Facts):
    """`numbers` of a run; every table, chart and sentence of its page has a method here."""

    @cached_property
    def numbers(self) -> Places:
        parts = (
            self.head, self.findings, self.funnel, self.leaks, self.near_leaks, self.benchmarks, self.labels,
            self.lengths, self.token_tables, self.duplicates, self.near, self.change_table, self.segmentation,
            self.templates, self.verdicts, self.provenance,
        )  # fmt: skip
        found: Places = defaultdict(list)
        for part in parts:
            for place, told in part():
                found[place] += told
        return {place: told for place, told in found.items() if told}

    def _sums(self) -> list[str]:
        return [n(sum(self._count(split)[k] for split in self.splits)) for k in range(3)]

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
        told = self.tokens().get("train", [])
        cut = [(limit, long) for limit in LIMITS if (long := sum(total > limit for _, total in told))]
        yield place, [n(len(told)), n(cut[-1][1]), pct(cut[-1][1], len(told)), n(cut[-1][0])] if cut else []
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

    def benchmarks(self) -> Iterator[tuple[str, list[str]]]:
        """Rows in which the texts of each file outside were met: the same, nearly the same or covered."""
        use: Any = self.recipe.step("decontaminate")
        for path in sorted(use.options.against, key=lambda path: Path(path).name) if use else ():
            lines = Path(path).read_text(encoding="utf-8").splitlines()
            known = {key_of({"text": line}, ("text",), "key", False)[0] for line in lines}
            told = Counter[str]()
            for split, row in self.cleaned.values():
                text = key_of(row, ("text",), "key", False)[0]
                ways = (meets(one, text, use.options.near, use.options.coverage) for one in known)
                told[split] += text in known or any(met and met[2] for met in ways)
            yield "table benchmarks", [n(told[split]) for split in self.splits]

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

    def lengths(self) -> Iterator[tuple[str, list[str]]]:
        measured = self.measured()
        for split in self.splits:
            for lengths in measured.values():
                if split in lengths:
                    yield "table lengths", [n(rank(lengths[split], percent)) for percent in PERCENTS]

    def token_tables(self) -> Iterator[tuple[str, list[str]]]:
        measured = self.tokens()
        for split in measured:
            yield "table tokens", [n(rank([total for _, total in measured[split]], p)) for p in PERCENTS]
        for limit in LIMITS if measured else ():
            row = [n(limit)]
            for told in measured.values():
                row += shared(sum(total > limit for _, total in told), len(told))
                row += shared(sum(prompt >= limit for prompt, _ in told), len(told))
            yield "table tokens_cut", row

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


def dictionary() -> set[str]:
    spec: Any = find_spec("jieba")
    path = Path(spec.submodule_search_locations[0]) / "dict.txt"
    return {line.split(" ")[0] for line in path.read_text(encoding="utf-8").split("\n")}
