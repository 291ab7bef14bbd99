"""The five task families: the fields of a record, what makes one presentable, its metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from curate.lazy import pl


@dataclass(frozen=True)
class Task:
    """A family of corpora that share their fields.

    `fields` names every field of a record and its type; `text` are the fields that hold running text;
    `required` must not be empty in a sample; `key` is what makes two records the same, `leak_key` what makes
    an evaluation record known from training; `answer` is the field a model has to produce; `extra` are the
    fields that only this recipe's corpus has, and that samples carry in their meta.
    """

    name: str
    fields: dict[str, str]
    text: tuple[str, ...]
    required: tuple[str, ...]
    key: tuple[str, ...]
    leak_key: tuple[str, ...]
    metrics: tuple[str, ...]
    answer: str
    has_labels: bool = False
    symmetric: bool = False
    extra: tuple[str, ...] = ()

    def schema(self) -> dict[str, Any]:
        """The polars dtype of every field (importing polars on first use)."""
        dtypes = {
            "str": pl.String,
            "int": pl.Int64,
            "list[str]": pl.List(pl.String),
            "list[int]": pl.List(pl.Int64),
            "list[slot]": pl.List(pl.Struct({"name": pl.String, "value": pl.String})),
        }
        return {name: dtypes[kind] for name, kind in self.fields.items()}

    def extended(self, names: Iterable[str]) -> Task:
        """The task for a corpus that has these of the `EXTRA` fields too; a KeyError for any other name."""
        extra = {name: EXTRA[self.name][name] for name in names}
        return replace(self, fields={**self.fields, **extra}, extra=tuple(extra)) if extra else self


#: Fields that some corpora of a family have beside the family's own; a recipe names those it wants in `fields`.
EXTRA: dict[str, dict[str, str]] = {"classification": {"target": "str", "intent": "str", "slots": "list[slot]"}}


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="pair",
            fields={"a": "str", "b": "str", "label": "str"},
            text=("a", "b"),
            required=("a", "b"),
            key=("a", "b"),
            leak_key=("a", "b"),
            metrics=("accuracy", "f1"),
            answer="label",
            has_labels=True,
            symmetric=True,
        ),
        Task(
            name="classification",
            fields={"text": "str", "label": "str"},
            text=("text",),
            required=("text",),
            key=("text",),
            leak_key=("text",),
            metrics=("accuracy", "macro_f1"),
            answer="label",
            has_labels=True,
        ),
        Task(
            name="mrc",
            fields={
                "title": "str",
                "context": "str",
                "question": "str",
                "answers": "list[str]",
                "answer_starts": "list[int]",
                "source_id": "str",
            },
            text=("context", "question"),
            required=("question",),  # questions over a knowledge base have no context
            key=("context", "question"),
            leak_key=("context",),
            metrics=("cmrc_em", "cmrc_f1", "drcd_em", "drcd_f1"),
            answer="answers",
        ),
        Task(
            name="summarization",
            fields={"text": "str", "summary": "str", "score": "int"},
            text=("text", "summary"),
            required=("text",),
            key=("text",),
            leak_key=("text",),
            metrics=("rouge1", "rouge2", "rougeL"),
            answer="summary",
        ),
        Task(
            name="dialogue",
            fields={"turns": "list[str]"},
            text=("turns",),
            required=("turns",),
            key=("turns",),
            leak_key=("turns",),
            metrics=("bleu2", "bleu4", "dist1", "perplexity"),
            answer="turns",
        ),
    )
}
