"""A mixture's card: its numbers worked out again from the runs it was made of and from what it wrote."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from card_by_hand import PERCENTS, Places, n, rank, shared
from helpers import SPLITS, card, manifest, rejects, samples
from mixed import Recount, Told
from page_reader import NUMBER


class MixtureRecount:
    """`numbers` of a mixture of `runs`, as `card_by_hand.Recount` of a run."""

    def __init__(self, run: Path, runs: dict[str, Path], temperature: float, total: int) -> None:
        self.run, self.runs = run, runs
        self.temperature, self.total = temperature, total
        self.told = manifest(run)
        self.samples = {split: rows for split in SPLITS if (rows := samples(run, split))}
        self.rejects = rejects(run)
        self.judged = Recount(runs, {}, temperature=temperature, total=total)
        self.parts = sorted(runs)
        self.splits = [split for split in SPLITS if any(samples(path, split) for path in runs.values())]

    @cached_property
    def numbers(self) -> Places:
        found: Places = defaultdict(list)
        parts = (self.head, self.corpora, self.shares, self.across, self.funnel, self.tables, self.verdicts)
        for part in (*parts, self.provenance):
            for place, told in part():
                found[place] += told
        return {place: told for place, told in found.items() if told}

    def _of(self, part: str, split: str) -> list[dict[str, Any]]:
        return [row for row in self.samples.get(split, ()) if row["meta"]["corpus"] == part]

    def _read(self, split: str) -> int:
        return sum(len(samples(path, split)) for path in self.runs.values())

    def head(self) -> Iterator[tuple[str, list[str]]]:
        written = sum(map(len, self.samples.values()))
        sums = [n(sum(map(self._read, SPLITS))), n(written), n(len(self.rejects))]
        yield "head dd", sums
        yield "findings li", [n(len(self.runs)), *sums[:2], n(len(self.samples["train"])), sums[2]]
        lost = Counter(row["step"] for row in self.rejects if row["split"] == "train")
        common = [lost[step] for step in ("exact_dedup", "leak_check", "label_conflict")]
        yield "findings li", [n(one) for one in common] if any(common) else []
        repeats = sum("~" in row["meta"]["id"] for row in self.samples["train"])
        yield "findings li", [n(repeats)] if repeats else []

    def corpora(self) -> Iterator[tuple[str, list[str]]]:
        for part in self.parts:
            about = card(self.runs[part])["recipe"]
            words = [about["title"], about["license"], f"{about['name']} {about['version']}"]
            yield "table corpora", [one for word in words for one in NUMBER.findall(word)]
            yield "table rows", [n(len(self._of(part, split))) for split in self.splits]

    def shares(self) -> Iterator[tuple[str, list[str]]]:
        told = f"{self.temperature:g}"
        yield "shares p", [told, "1", told, n(self.total)]
        for part in self.parts:
            rows = self._of(part, "train")
            repeats = sum("~" in row["meta"]["id"] for row in rows)
            share = f"{100 * float(self.judged.asked[part]):.2f}", f"{100 * len(rows) / self.total:.2f}"
            yield "table shares", [n(self.judged.available[part]), *share, n(len(rows)), n(repeats)]
            yield "chart shares", shared(len(rows), self.total)

    def _common(self, one: str, other: str, alive: bool) -> list[int]:
        """Rows of one corpus in the train of another: its own of train, and those of its evaluation splits."""
        written = {row["meta"]["id"].partition("~")[0] for rows in self.samples.values() for row in rows}
        rows = [row for row in self.judged.all if not alive or row.id in written]
        found = []
        for train, by in ((True, "key"), (False, "leak")):
            there = {_key(row, by) for row in rows if row.part == other and row.split == "train"}
            mine = [row for row in rows if row.part == one and (row.split == "train") == train]
            found.append(sum(_key(row, by) in there for row in mine))
        return found

    def across(self) -> Iterator[tuple[str, list[str]]]:
        for one in self.parts:
            for other in self.parts:
                if one != other:
                    before, after = (self._common(one, other, alive) for alive in (False, True))
                    cells = [before[0], after[0], before[1], after[1]]
                    yield "table across", [n(cell) for cell in cells] if any(cells) else []

    def funnel(self) -> Iterator[tuple[str, list[str]]]:
        lost = Counter((row["step"], row["split"]) for row in self.rejects)
        repeats = sum("~" in row["meta"]["id"] for row in self.samples["train"])
        steps = ("same_id", "label_conflict", "exact_dedup", "leak_check", "choose")
        shown = [step for step in steps if any(lost[step, split] for split in self.splits)]
        rows = [[self._read(split) for split in self.splits]]
        rows += [[repeats if split == "train" else 0 for split in self.splits]] if repeats else []
        rows += [[lost[step, split] for split in self.splits] for step in shown]
        rows.append([len(self.samples.get(split, ())) for split in self.splits])
        flagged = [sum(row["meta"]["flags"] != "" for row in self.samples.get(split, ())) for split in self.splits]
        for row in (*rows, flagged):
            yield "table funnel", [n(cell) for cell in row]
        for split in self.splits:
            left = self._read(split)
            told = [n(left)]
            for step in shown:
                moved = repeats if step == "choose" and split == "train" else 0
                if (gone := lost[step, split]) or moved:
                    left += moved - gone
                    told += [*([n(moved)] if moved else []), *([n(gone)] if gone else []), n(left)]
            yield f"chart funnel-{split}", [*told, n(left)] if len(told) > 1 else []

    def tables(self) -> Iterator[tuple[str, list[str]]]:
        labelled = [part for part in self.parts if manifest(self.runs[part])["labels"]]
        for k, part in enumerate(labelled):
            counts = {split: Counter(row["meta"]["label"] for row in self._of(part, split)) for split in SPLITS}
            counts = {split: count for split, count in counts.items() if count}
            for label in (*manifest(self.runs[part])["labels"], ""):
                if label or any(count[""] for count in counts.values()):
                    cells = [shared(count[label], count.total()) for count in counts.values()]
                    yield f"table labels{k}", [*NUMBER.findall(label), *(one for cell in cells for one in cell)]
        for part in self.parts:
            rows = [row for split in SPLITS for row in self._of(part, split)]
            prompts = [len("\n".join(filter(None, (row["instruction"], row["input"])))) for row in rows]
            for lengths in (prompts, [len(row["output"]) for row in rows]):
                yield "table lengths", [n(rank(lengths, percent)) for percent in PERCENTS]
        used = Counter(row["meta"]["template"] for rows in self.samples.values() for row in rows)
        for family in sorted({name.rpartition("/")[0] for name in used}):
            mine = [times for name, times in used.items() if name.rpartition("/")[0] == family]
            yield "table templates", [n(len(mine)), n(sum(mine))]

    def verdicts(self) -> Iterator[tuple[str, list[str]]]:
        gone = Counter((row["step"], row["reason"], row["split"]) for row in self.rejects)
        told = [(entry["step"], reason) for entry in self.told["steps"] for reason, k in entry["reasons"].items() if k]
        assert {key[:2] for key in gone} == set(told)
        for step, reason in dict.fromkeys(told):
            yield "table rejects", [n(gone[step, reason, split]) for split in self.splits]
            every = sum(gone[step, reason, split] for split in SPLITS)
            yield "rejects summary", [n(min(3, every)), n(every)]
        yield "rejects p", ["3"]
        raised = [(entry["step"], flag) for entry in self.told["steps"] for flag, k in entry["flags"].items() if k]
        for step, flag in dict.fromkeys(raised):
            place = "table flags"
            yield place, [n(sum(self._raised(row, f"{step}:{flag}") for row in self.samples[s])) for s in self.splits]

    def _raised(self, row: dict[str, Any], flag: str) -> bool:
        """Whether the mixture raised a flag that the row didn't come with."""
        return flag in {
            f for told in self.judged.all if told.id == row["meta"]["id"] for f in self.judged.flags[told.place]
        }

    def provenance(self) -> Iterator[tuple[str, list[str]]]:
        for split in SPLITS:
            for part in self.parts:
                path = self.runs[part] / f"{split}.jsonl"
                if path.is_file():
                    yield "table sources", [n(len(samples(self.runs[part], split))), "8", n(path.stat().st_size)]
        yield "provenance p", NUMBER.findall(str(self.told["seed"]))
        yield "provenance p", NUMBER.findall(", ".join(f"{name} {one}" for name, one in self.told["versions"].items()))


def _key(row: Told, by: str) -> tuple[str, int]:
    return row.family[0], row.key if by == "key" else row.leak
