"""Which task a file's columns are made for, and which is which field: by names first, then by what they hold."""

from __future__ import annotations

from typing import Any, NoReturn

from curate.propose.look import Column, Look
from curate.readers.names import ALIASES, NEEDED, match_names
from curate.tasks import TASKS
from curate.types import UserError

#: Names of columns that may be a title beside something else, or the summary.
_TITLES = ("title", "headline", "标题")
#: A column this many times as long as the next is the text that the other is about.
_LONGER = 3.0


def guess(look: Look, name: str, asked: str | None) -> tuple[str, dict[str, Column]]:
    """The task and the column of each field; UserError, saying what was seen, where that can't be told."""
    return _Guess(look, name, asked).made()


class _Guess:
    def __init__(self, look: Look, name: str, asked: str | None) -> None:
        self.look, self.name, self.asked = look, name, asked
        self.texts = look.texts()
        self.labels = [column for column in look.columns if column.is_label]
        self.named_labels = [c for c in look.columns if c.plain in ALIASES["classification"]["label"] and c.filled]

    def made(self) -> tuple[str, dict[str, Column]]:
        task = self.asked or self._task()
        fields = self._by_name(task)
        if TASKS[task].has_labels:
            fields = {"label": self._label(), **{f: c for f, c in fields.items() if f != "label"}}
        free = [column for column in self.texts if column not in fields.values()]
        missing = [field for field in self._wanted(task) if field not in fields]
        fields |= self._by_content(task, missing, free)
        return task, {field: fields[field] for field in TASKS[task].fields if field in fields}

    def _wanted(self, task: str) -> list[str]:
        return {"mrc": ["context", "question", "answers"], "summarization": ["text", "summary"]}.get(
            task, NEEDED[task]
        )

    # ---- the task

    def _task(self) -> str:
        mrc, summary = self._by_name("mrc"), self._by_name("summarization")
        pair = {"a", "b"} <= set(self._by_name("pair"))
        title = "summary" in summary and summary["summary"].plain in _TITLES
        labelled = bool(self.labels or self.named_labels)
        if self._by_name("dialogue"):
            return "dialogue"
        if {"question", "context", "answers"} <= set(mrc):
            return "mrc"
        if {"text", "summary"} <= set(summary) and not (labelled and title):
            return "summarization"
        if pair and labelled:
            return "pair"
        if {"question", "answers"} <= set(mrc) and not labelled:
            return "mrc"
        if labelled:
            return self._labelled_task()
        if len(self.texts) == 3 and _contained(self.texts):
            return "mrc"
        self._cannot_tell()

    def _labelled_task(self) -> str:
        """Pair or classification, by the texts beside the label."""
        if len(self.texts) == 2 and "text" not in self._by_name("classification"):
            one, other = sorted(column.mean for column in self.texts)
            if other < _LONGER * one:
                return "pair"
        if "text" in self._by_name("classification") or len(self.texts) == 1:
            return "classification"
        self._cannot_tell()

    def _cannot_tell(self) -> NoReturn:
        texts = ", ".join(column.name for column in self.texts) or "none"
        labels = ", ".join(column.name for column in self.labels) or "none"
        raise UserError(
            f"{self.name}: can't tell which task this is: its columns are {self._listed()} (running text: {texts}; "
            f"labels: {labels}); say it with --task {'|'.join(TASKS)}"
        )

    # ---- the fields

    def _by_name(self, task: str) -> dict[str, Column]:
        """Field -> column for the names that corpora use, where the column can be that field."""
        names = [column.plain for column in self.look.columns]
        found = {field: self.look.columns[at] for field, at in match_names(names, ALIASES[task], {}).items()}
        good = {"turns": lambda c: 2 * c.lists > c.filled, "answers": lambda c: True, "answer_starts": lambda c: True}
        main = [*NEEDED[task], "context", "summary"]
        return {
            field: column
            for field, column in found.items()
            if column.filled and (field not in main or good.get(field, self._can_be_text)(column))
        } if self.look.header else {}  # fmt: skip

    def _can_be_text(self, column: Column) -> bool:
        return not (column.lists or column.is_label) and 2 * column.filled >= self.look.rows

    def _label(self) -> Column:
        """The label column: the one with such a name, else the only one that could be."""
        named = [column for column in self.named_labels if column in self.labels]
        if len(named) == 1:
            return named[0]
        found = named or self.labels
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(
                f"{self.name}: columns {' and '.join(column.name for column in found)} could both be the label: call "
                "the one that is it 'label', or leave the others out of the file"
            )
        if self.named_labels:
            column = self.named_labels[0]
            many = len(column.values) if column.values is not None else "hundreds of"
            raise UserError(
                f"{self.name}: column {column.name} has {many} different values in {self.look.rows} rows: labels "
                "are 2 to 60 short values, each in several rows; if it is none, say what the task is with --task"
            )
        raise UserError(
            f"{self.name}: no column holds labels (2 to 60 short values, each of them in several rows); its columns "
            f"are {self._listed()}: {self.asked or 'this task'} needs one"
        )

    def _by_content(self, task: str, missing: list[str], free: list[Column]) -> dict[str, Column]:
        """Columns for the fields that no name tells."""
        if not missing:
            return {}
        if task == "dialogue":
            lists = [column for column in self.look.columns if 2 * column.lists > column.filled]
            if len(lists) == 1:
                return {"turns": lists[0]}
        elif task == "mrc":
            if missing == ["context"]:
                return {}  # questions over a knowledge base have none
            if len(missing) == len(free) == 3 and (found := _contained(free)):
                return found
            if len(missing) == len(free) == 1:
                return {missing[0]: free[0]}
        elif task == "pair":
            if len(missing) == len(free):
                return dict(zip(missing, free, strict=True))
        else:
            ranked = sorted(free, key=lambda column: -column.mean)
            # A lone text is plain; of several, the one that is much longer.
            clear = len(ranked) == len(missing) or (
                len(missing) == 1 < len(ranked) and ranked[0].mean >= _LONGER * ranked[1].mean
            )
            if clear and (len(missing) == 1 or ranked[0].mean > ranked[1].mean):
                return dict(zip(missing, ranked, strict=False))
        texts = ", ".join(column.name for column in free) or "none"
        raise UserError(
            f"{self.name}: can't tell which column is {' and which '.join(missing)} of task {task}; its columns are "
            f"{self._listed()} (running text left: {texts}): give it that name in the file, or leave the others out"
        )

    def _listed(self) -> str:
        return ", ".join(column.name for column in self.look.columns if column.name.strip())


def _contained(columns: list[Column]) -> dict[str, Column]:
    """{context, question, answers} where one column's texts mostly stand in those of the longest, else {}."""
    context, *others = sorted(columns, key=lambda column: -column.mean)
    shares = [contained_share(context, column) for column in others]
    best = max(range(2), key=lambda i: shares[i])
    if shares[best] < 0.5 or shares[1 - best] >= 0.5:
        return {}
    return {"context": context, "question": others[1 - best], "answers": others[best]}


def contained_share(context: Column, answers: Column) -> float:
    """The share of the rows whose answers stand in their context."""
    pairs = [(t, _texts(a)) for t, a in zip(context.kept, answers.kept, strict=True) if t and a is not None]
    return sum(any(a and a in str(text) for a in texts) for text, texts in pairs) / max(1, len(pairs))


def _texts(answer: Any) -> list[str]:
    if isinstance(answer, dict):
        return _texts(answer.get("text"))
    if isinstance(answer, list):
        return [text for item in answer for text in _texts(item)]
    return [] if answer is None else [str(answer)]
