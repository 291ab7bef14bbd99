"""The recipe as text: what was found out is written down, and what is for the user to say is marked by a comment."""

from __future__ import annotations

import glob
import json
import math
import re
from dataclasses import dataclass, field

from curate.propose.guess import contained_share
from curate.propose.look import Column, Look
from curate.readers.names import ALIASES, EXTRA_ALIASES, IDS, match_names
from curate.tasks import TASKS

#: Labels known by their values, the words proposed for them, and whether these are more than a guess.
_WORDS = {
    "pair": [({"0": "不同", "1": "相同"}, False), ({"false": "不同", "true": "相同"}, True)],
    "classification": [
        ({"0": "负面", "1": "正面"}, False),
        ({"-1": "负面", "1": "正面"}, False),
        ({"-1": "负面", "0": "中性", "1": "正面"}, False),
        ({"negative": "负面", "positive": "正面"}, True),
        ({"negative": "负面", "neutral": "中性", "positive": "正面"}, True),
        ({"neg": "负面", "pos": "正面"}, True),
        ({"false": "否", "true": "是"}, True),
    ],
}
#: Stances, as they are towards a target that the corpus names.
_STANCES = {"favor": "支持", "against": "反对", "none": "中立"}
_SEGMENTED = re.compile(r"[\u4e00-\u9fff] (?=[\u4e00-\u9fff])")
_SENTIMENT = {"负面", "正面", "中性", "好评", "差评", "消极", "积极", "中评"}
#: The names under which a list of columns has each field.
_COLUMN_NAMES = {"pair": {"a": "text_a", "b": "text_b"}, "mrc": {"answers": "answer"}}
_SEGMENT = "segment: {as: meta}"
_SAFE = "# a guess: check which is which"


@dataclass
class Draft:
    """What a recipe is written from: its name, task and fields, and the file patterns of each split."""

    name: str
    task: str
    fields: dict[str, Column]
    look: Look
    files: dict[str, str]
    #: What the user should know of the choices made.
    notes: list[str] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, int]:
        """Label -> rows, numbers in their order, words by how many rows they have."""
        values = self.fields["label"].values or {}
        numeric = all(_is_number(value) for value in values)
        return dict(sorted(values.items(), key=lambda one: float(one[0]) if numeric else (-one[1], one[0])))

    @property
    def target(self) -> Column | None:
        """What the text takes a stance towards, where the labels are stances."""
        if self.task != "classification" or not {label.casefold() for label in self.labels} <= set(_STANCES):
            return None
        return next((column for column in self.look.columns if column.plain in EXTRA_ALIASES["target"]), None)

    def words(self) -> tuple[dict[str, str], str]:
        """The word of each label, and the comment that belongs beside them."""
        labels = list(self.labels)
        if self.target:
            return {label: _STANCES[label.casefold()] for label in labels}, ""
        for known, sure in _WORDS[self.task]:
            if {label.casefold() for label in labels} == set(known):
                return {label: known[label.casefold()] for label in labels}, "" if sure else _SAFE
        if any(map(_is_number, labels)):
            return {label: label for label in labels}, "# write what each number means"
        return {label: label for label in labels}, ""

    def text(self) -> str:
        """The YAML."""
        lines = [
            f"name: {self.name}",
            "version: 1.0.0",
            f"title: {self.name}",
            f"task: {self.task}",
            "license: none stated  # fill in: under which licence may this corpus be used?",
        ]
        if TASKS[self.task].has_labels:
            words, comment = self.words()
            lines += [f"labels:  {comment}".rstrip(), *(f"  {_quoted(k)}: {_quoted(w)}" for k, w in words.items())]
        lines += ["fields: [target]"] if self.target else []
        lines += ["source:", f"  reader: {self.reader}", "  files:"]
        lines += [f"    {split}: {_quoted(glob.escape(name))}" for split, name in self.files.items()]
        lines += self._columns()
        lines += ["steps:", *(f"  - {step}" for step in self._steps())]
        lines += [
            f"templates: {self._templates()}",
            f"metrics: [{', '.join(self._metrics())}]",
            f"tune: {{max_length: {self.max_length}, method: lora}}",
        ]
        return "\n".join(lines) + "\n"

    @property
    def reader(self) -> str:
        return "table" if self.look.table and TASKS[self.task].has_labels else "rows"

    def _columns(self) -> list[str]:
        if not self.look.header:
            named = {column.name: _COLUMN_NAMES.get(self.task, {}).get(f, f) for f, column in self.fields.items()}
            names = [named.get(column.name, column.name) for column in self.look.columns]
            return [f"  columns: [{', '.join(names)}]  # the file has no header"]
        names = [column.plain for column in self.look.columns]
        known = match_names(names, ALIASES[self.task], {})
        if all(known.get(name) == column.place for name, column in self.fields.items()):
            return []
        order = [name for name in TASKS[self.task].fields if name in self.fields]
        return ["  columns:", *(f"    {name}: {_quoted(self.fields[name].name)}" for name in order)]

    def _steps(self) -> list[str]:
        if self.task == "mrc":
            return self._mrc_steps()
        task = TASKS[self.task]
        # Where a text is about a target, it may come again with another one.
        key = "key: [target, text], " if self.target else ""
        by = "text" if self.task == "pair" else "key"
        words = ["join_words  # published as words set apart by spaces"] if self._segmented() else []
        require = "require: {fields: [target, text]}" if self.target else "require"
        conflict = [f"label_conflict: {{{key}by: key}}"] if task.has_labels else []
        same = f"exact_dedup: {{{key}by: {by}}}"
        cap = ["cap: {per: answer, max: 100}  # generic replies"] if self.task == "dialogue" else []
        leak = f"leak_check: {{{key}by: key}}"
        return [*words, "normalise", require, *conflict, same, *self._split(key), leak, *cap, _SEGMENT]

    def _split(self, key: str) -> list[str]:
        return [] if "validation" in self.files else [f"split: {{{key}validation: 0.1}}"]

    def _segmented(self) -> bool:
        """Whether most of the texts are words set apart by spaces. (Dialogues set apart by characters are joined.)"""
        kept = [
            v for name in ("a", "text") if name in self.fields for v in self.fields[name].kept if isinstance(v, str)
        ]
        return 2 * sum(len(_SEGMENTED.findall(text)) * 12 > len(text) for text in kept) > len(kept)

    def _mrc_steps(self) -> list[str]:
        if "context" not in self.fields:
            key = "key: [question], "
            segment = "segment: {as: meta, fields: [question]}"
            return ["normalise", "require: {fields: [question]}", f"exact_dedup: {{{key}by: key}}",
                    *self._split(key), f"leak_check: {{{key}by: key}}", segment]  # fmt: skip
        steps = ["normalise", "require: {fields: [context, question]}"]
        if "answers" not in self.fields or contained_share(self.fields["context"], self.fields["answers"]) >= 0.5:
            steps.append("locate_answer")
        else:
            self.notes.append(
                "most answers don't stand in their contexts: locate_answer, which rejects such, is left out"
            )
        return [*steps, "exact_dedup: {key: [context, question], by: key}", *self._split(""),
                "leak_check: {key: [context], by: key}", _SEGMENT]  # fmt: skip

    def _templates(self) -> str:
        if self.task == "mrc":
            return "mrc" if "context" in self.fields else "question"
        if self.task == "classification":
            if self.target:
                return "stance"
            return "sentiment" if set(self.words()[0].values()) <= _SENTIMENT else "classification"
        if self.task == "summarization":
            headline = self.fields["summary"].mean <= 30 if "summary" in self.fields else True
            return "summarization  # asks for a headline" if headline else "abstract  # asks for a few sentences"
        return self.task

    def _metrics(self) -> tuple[str, ...]:
        if self.task == "pair" and len(self.labels) > 2:
            return ("accuracy",)
        return TASKS[self.task].metrics[:2] if self.task == "mrc" else TASKS[self.task].metrics

    @property
    def max_length(self) -> int:
        """A power of two that 99 of 100 rows fit in, at a token a character and some for the template."""
        lengths = zip(*(column.lengths for column in self.fields.values()), strict=True)
        ranked = sorted(sum(row) for row in lengths)
        long = ranked[min(len(ranked) - 1, math.ceil(0.99 * len(ranked)))] + 64
        return min(4096, max(128, 1 << (long - 1).bit_length()))

    def aside(self) -> list[str]:
        """The columns that no field takes."""
        taken = [*self.fields.values(), self.target]
        return [c.name for c in self.look.columns if c not in taken and c.plain not in IDS and c.name]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _quoted(text: str) -> str:
    """A text as YAML has it in double quotes: JSON's, with more characters escaped."""
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]", lambda m: f"\\u{ord(m[0]):04x}", quoted)
