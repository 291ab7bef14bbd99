"""Every figure of the card, gathered slice by slice while the run is written.

Of card.json this makes `labels`, `duplicates`, `leaks`, `lengths`, `segmentation`, `templates` and, where rows may be
shown, `examples`; `curate.result.card_data` puts them beside what the manifest says.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from curate.card.excerpts import cut_sample
from curate.card.shown import CLUSTERS, MEMBERS, Shown
from curate.card.unknown import unknown_words
from curate.lazy import pl
from curate.steps import Context
from curate.steps.leak_check import meeting_group
from curate.text.keys import group_hash, key_column
from curate.types import SPLITS
from jingtiao.bins import histogram


def leak_columns(context: Context) -> set[str]:
    """The key columns that the leak matrix needs."""
    return {key_column(field, "key") for field in {*context.task.leak_key, *context.task.key}}


def leak_matrix(keys: pl.DataFrame, fields: tuple[str, ...], context: Context) -> dict[str, dict[str, Any]]:
    """For validation and test: how many of their rows have a key that also stands in another split.

    {"validation": {"train": {"rows": 338, "of": 1200, "share": 0.2817, "other_label": 5}}}. For pairs also how many of
    the split's sentences stand in some pair of the other split; for reading how many distinct contexts.
    """
    task = context.task
    wanted = ["split", *(["label"] if task.has_labels else []), *(["a|key", "b|key"] if task.name == "pair" else [])]
    keyed = keys.select(*wanted, group=group_hash(fields, "key", task.symmetric))
    by_split = {split: keyed.filter(pl.col("split") == split) for split in SPLITS}
    matrix: dict[str, dict[str, Any]] = {}
    for split in ("validation", "test"):
        rows = by_split[split]
        if not len(rows):
            continue
        matrix[split] = {}
        for other in SPLITS:
            if other == split or not len(by_split[other]):
                continue
            # The big side is looked through once with the small side's keys in hand.
            common = by_split[other].join(rows.select("group"), on="group", how="semi")
            shared = rows.join(common.select("group"), on="group", how="semi")
            cell: dict[str, Any] = {"rows": len(shared), "of": len(rows), "share": share(len(shared), len(rows))}
            if task.has_labels:
                cell["other_label"] = _other_label(shared, common)
            if task.name == "pair":
                cell |= _sentences(rows, by_split[other])
            if task.name == "mrc":
                cell |= {"contexts": shared["group"].n_unique(), "contexts_of": rows["group"].n_unique()}
            matrix[split][other] = cell
    return matrix


def near_leaks(
    matrix: dict[str, dict[str, Any]], keys: pl.DataFrame, meetings: pl.DataFrame, options: Any, context: Context
) -> None:
    """Add to each cell how many rows without the same text in the other split meet one there by leak_check's rules.

    `near`: nearly the same text; `covered`: of the others, a text there holds enough of it; `covered_tenth`: at least
    a tenth of a long one. `keys` are the rows that the matrix was made of.
    """
    rows = keys.select("split", group=meeting_group(options, context.task))
    by_split = {split: rows.filter(pl.col("split") == split) for split in SPLITS}
    for split, cells in matrix.items():
        for other, cell in cells.items():
            mine, there = by_split[split], by_split[other].select("group")
            rest = mine.join(there.join(mine, on="group", how="semi"), on="group", how="anti")
            met = meetings.join(there.join(meetings, on="group", how="semi"), on="group", how="semi")
            counts = met.group_by(group="known").agg(
                near=(~pl.col("covers")).any(),
                covered=(pl.col("covers") & pl.col("leak")).any() & pl.col("covers").all(),
                covered_tenth=pl.col("covers").any(),
            )
            cell |= rest.join(counts, on="group").select("near", "covered", "covered_tenth").sum().row(0, named=True)


def _other_label(rows: pl.DataFrame, other: pl.DataFrame) -> int:
    """Rows whose label no row of the other split with the same key carries."""
    known = other.filter(pl.col("label").is_not_null()).select("group", "label").unique()
    labelled = rows.filter(pl.col("label").is_not_null()).join(known.select("group").unique(), on="group", how="semi")
    return len(labelled.join(known, on=["group", "label"], how="anti"))


def _sentences(rows: pl.DataFrame, other: pl.DataFrame) -> dict[str, int]:
    here = pl.concat([rows.select(key="a|key"), rows.select(key="b|key")]).unique()
    found = [other.select(key=column).join(here, on="key", how="semi") for column in ("a|key", "b|key")]
    return {"sentences": pl.concat(found).n_unique(), "sentences_of": len(here)}


def duplicate_table(keys: pl.DataFrame, said: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Per split: rows that repeat an earlier one by the recipe's rule, by the way they do.

    `said` are exact_dedup's verdicts on all of `keys`, with their splits: what other steps removed counts too.
    """
    table = {}
    for split, n in sorted(keys["split"].value_counts().iter_rows()):
        reasons = dict(said.filter(pl.col("split") == split)["reason"].value_counts().iter_rows())
        total = sum(reasons.values())
        table[split] = {"rows": total, "of": n, "share": share(total, n), "reasons": dict(sorted(reasons.items()))}
        table[split] |= _cluster_sizes(said.filter(pl.col("split") == split))
    return table


def _cluster_sizes(said: pl.DataFrame) -> dict[str, Any]:
    """How many groups of each size the repeated rows form, the row that stays included; `largest` has rids."""
    groups = said.group_by("kept").agg(rows=pl.len() + 1, members=pl.col("rid").sort().head(MEMBERS))
    sizes = groups["rows"].value_counts().sort("rows")
    largest = groups.sort("rows", "kept", descending=[True, False]).head(CLUSTERS)
    return {"sizes": {str(size): n for size, n in sizes.iter_rows()}, "largest": largest.to_dicts()}


def share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def percentiles(lengths: Counter[int]) -> dict[str, int]:
    """p5, p50, p95, p99 and the maximum of counted values, by nearest rank: the value at rank ⌈p·n⌉."""
    n = sum(lengths.values())
    result: dict[str, int] = {}
    for name, percent in (("p5", 5), ("p50", 50), ("p95", 95), ("p99", 99), ("max", 100)):
        rank = max(1, -(-percent * n // 100))
        seen = 0
        for value in sorted(lengths):
            seen += lengths[value]
            if seen >= rank:
                result[name] = value
                break
    return result


class Measure:
    """What the writing pass sees: lengths, labels, templates, words, an example of each, and the rows to be shown."""

    def __init__(self, context: Context, shown: Shown) -> None:
        self._context = context
        self.shown = shown
        self._lengths: dict[tuple[str, str], Counter[int]] = {}
        self._labels: dict[str, Counter[str]] = {}
        self.templates: Counter[str] = Counter()
        self.template_examples: dict[str, dict[str, Any]] = {}
        self._words: list[pl.DataFrame] = []
        self._word_counts: Counter[str] = Counter()

    def records(self, split: str, rows: pl.DataFrame) -> None:
        """Rows that are about to be written, before trailing steps change their text."""
        self.shown.records(split, rows)
        task = self._context.task
        for name in (*task.text, *(["answers"] if task.name == "mrc" else [])):
            column = rows[name].explode() if rows[name].dtype == pl.List else rows[name]
            counted = column.drop_nulls().str.len_chars().value_counts()
            self._lengths.setdefault((split, name), Counter()).update(dict(counted.iter_rows()))
        if task.has_labels:
            counted = rows["label"].fill_null("").value_counts()
            self._labels.setdefault(split, Counter()).update(dict(counted.iter_rows()))

    def rendered(self, lines: pl.DataFrame) -> None:
        """Samples as they are written; the first of each template is kept as its example."""
        self.shown.samples(lines)
        firsts = lines.group_by("template").agg(pl.len().alias("n"), pl.col("line").first())
        for name, n, line in firsts.iter_rows():
            self.templates[name] += n
            if name not in self.template_examples:
                sample = json.loads(line)
                self.template_examples[name] = {**cut_sample(sample), "id": sample["meta"]["id"]}

    def words(self, words: pl.DataFrame, counts: dict[str, int]) -> None:
        self._words.append(words)
        self._word_counts.update(counts)
        if len(self._words) > 16:
            self._words = [self._vocabulary()]

    def _vocabulary(self) -> pl.DataFrame:
        return pl.concat(self._words).group_by("word").agg(pl.col("count").sum())

    def lengths(self) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for (split, name), counted in self._lengths.items():
            if any(counted):  # a field that no row fills has no lengths
                table.setdefault(split, {})[name] = {
                    "chars": percentiles(counted),
                    "histogram": histogram(counted),
                }
        return table

    def labels(self) -> dict[str, dict[str, int]]:
        order = [*self._context.labels, ""]
        return {
            split: {label: counted[label] for label in order if counted[label] or label}
            for split, counted in self._labels.items()
        }

    def segmentation(self) -> dict[str, Any] | None:
        """Words in all and a text, the vocabulary's size, those that jieba's dictionary doesn't have, and the twenty
        commonest words of two characters or more."""
        if not self._words:
            return None
        vocabulary = self._vocabulary()
        long = vocabulary.filter(pl.col("word").str.len_chars() >= 2, pl.col("word").str.contains(r"^\p{L}+$"))
        top = long.sort(["count", "word"], descending=[True, False]).head(20)
        texts, words = self._word_counts["texts"], self._word_counts["words"]
        return {
            "texts": texts,
            "words": words,
            "words_per_text": round(words / texts, 2) if texts else 0.0,
            "vocabulary": len(vocabulary),
            "oov": unknown_words(vocabulary),
            "once": len(vocabulary.filter(pl.col("count") == 1)),
            "top": dict(top.iter_rows()),
        }
