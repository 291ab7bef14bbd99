"""The steps of a recipe, one file each; the table below is where a new one is listed.

A **local** step is right on any slice of the rows:
    `run(rows, options, context) -> Outcome`
A **judgement** looks at small keys of all rows at once:
    `columns(options, task) -> set[str]` names the key columns it needs (see `curate.text.keys`), and
    `judge(keys, options, context) -> verdicts` gets `rid`, `split`, `label` (both Enum), `order` and those columns;
    one that `reads` gets `records` too: `records(rids)` gives these rows as they are, a slice at a time, with the
    comparison keys of the fields that its `texts(options, task)` names. One that `collects` is a **reference**: its
    `collect(keys, alive, options, context, records)` holds the texts of all rows against an index of some, slice by
    slice, and `judge` gets what came of that in the place of `records`.
A step never removes a row itself: it says what it thinks of one in a verdict, and the pipeline acts on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from curate.lazy import pl
from curate.tasks import Task

if TYPE_CHECKING:
    from curate.formatting.templates import TemplateSet
    from curate.text.tokens import Lengths, TokenCounter


@dataclass(frozen=True)
class Step:
    """A row of the step table.

    `binding`: its rejects also hold on evaluation splits (definition or form). `groups`: a judgement about rows that
    share a key; it has nothing to say of a row that shares its key with no other, and need not be shown one.
    `choice`: nothing is wrong with the rows it rejects, they were merely not chosen; their texts aren't kept.
    `reads`: a judgement that asks for the texts of some rows.
    `collects`: one that looks at the texts of all rows first (see above).
    """

    name: str
    kind: str
    reasons: tuple[str, ...] = ()
    binding: bool = False
    groups: bool = False
    choice: bool = False
    reads: bool = False
    collects: bool = False

    @property
    def module(self) -> ModuleType:
        return import_module(f"curate.steps.{self.name}")

    @property
    def options(self) -> Any:
        """The pydantic model of the step's options."""
        return self.module.Options


@dataclass(frozen=True)
class Context:
    """What a step may know beside the rows: the task, the recipe's labels, the seed, how many processes to use.

    `templates` are the recipe's (None where no step looks at samples), `tokens` counts by the tokenizer that
    token_length names, `split` is the one that a local step's rows are in.
    """

    task: Task
    labels: dict[str, str]
    seed: int
    workers: int = 1
    templates: TemplateSet | None = None
    tokens: TokenCounter | None = None
    split: str = "train"


@dataclass
class Outcome:
    """What a local step did: the rows (all of them), verdicts, and counts of what it changed.

    `words` is a frame of `word`, `count` where the step counts words, `tokens` the lengths of samples it measured.
    """

    rows: pl.DataFrame
    verdicts: pl.DataFrame | None = None
    counts: dict[str, int] = field(default_factory=dict)
    words: pl.DataFrame | None = None
    tokens: Lengths | None = None


def verdicts(
    rids: pl.DataFrame, action: str = "reject", reason: str | pl.Expr = "", kept: pl.Expr | None = None
) -> pl.DataFrame:
    """A verdict a row of `rids`: (rid, action, reason, kept, score); `action` is reject, flag, note or move."""
    return rids.select(
        pl.col("rid"),
        pl.lit(action).alias("action"),
        (pl.lit(reason) if isinstance(reason, str) else reason).cast(pl.String).alias("reason"),
        (pl.lit(None) if kept is None else kept).cast(pl.UInt64).alias("kept"),
        pl.lit(None, dtype=pl.Float64).alias("score"),
    )


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step("select", "local", ("not_in_split",), binding=True),
        Step("normalise", "local"),
        Step("join_words", "local"),
        Step("require", "local", ("empty_field",), binding=True),
        Step("strip_markup", "local"),
        Step("convert_script", "local"),
        Step(
            "redact_pii",
            "local",
            ("mobile", "landline", "id_card", "bank_card", "email", "qq", "wechat", "ip", "url"),
        ),
        Step("blocklist", "local", ("blocked_word",)),
        Step("language", "local", ("lang_zh", "lang_ja", "lang_ko", "lang_latin", "lang_cyrillic", "lang_other")),
        Step(
            "quality",
            "local",
            (
                "too_short",
                "too_long",
                "repeated_characters",
                "repeated_phrases",
                "little_han",
                "garbled",
                "boilerplate",
            ),
        ),
        Step("locate_answer", "local", ("answer_not_in_context",)),
        Step("length", "local", ("too_short", "too_long")),
        Step("decontaminate", "local", ("in_benchmark", "near_benchmark", "covers_benchmark")),
        Step("label_conflict", "judgement", ("conflicting_labels",), groups=True),
        Step("exact_dedup", "judgement", ("same_text", "swapped", "same_key"), groups=True),
        Step("near_dedup", "judgement", ("same_key", "near_text"), reads=True),
        Step("semantic_dedup", "judgement", ("same_meaning",), reads=True),
        Step("split", "judgement"),
        Step(
            "leak_check",
            "judgement",
            ("in_test", "in_validation", "near_test", "near_validation", "covers_test", "covers_validation"),
            groups=True,
            reads=True,
            collects=True,
        ),
        Step("balance", "judgement", ("over_ratio",), choice=True),
        Step("cap", "judgement", ("over_cap",), choice=True),
        Step("sample", "judgement", ("not_sampled",), choice=True),
        Step("chunk", "local"),
        Step("token_length", "local", ("too_long",)),
        Step("segment", "local"),
    )
}
