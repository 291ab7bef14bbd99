"""Records → samples: the answer, the label words on offer, one template a row, the meta beside it."""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations
from math import factorial

from curate.formatting.templates import PARTS, Template, TemplateSet
from curate.lazy import pl
from curate.steps import Context, verdicts
from curate.steps.require import is_empty
from curate.tasks import Task
from curate.text.hashing import mix_int, seed_of

#: The column of the rows a row stands for, itself among them, where near-duplicates were looked for.
CLUSTER_SIZE = "cluster_size"
#: Orders in which the label words are shown: all of them up to 4 labels, this many beyond.
_ORDERS = 64


@lru_cache(maxsize=8)
def label_orders(words: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The orders in which label words are offered; a row takes one by its hash: no position gives the answer away."""
    if factorial(len(words)) <= _ORDERS:
        return tuple(permutations(words))
    return tuple(
        tuple(sorted(words, key=lambda word: (mix_int(seed_of(word, order)), word))) for order in range(_ORDERS)
    )


def _offers(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """For each order: `choices` (“甲”、“乙”或“丙”) and `options` (甲、乙、丙)."""
    choices, options = [], []
    for order in label_orders(words):
        quoted = [f"“{word}”" for word in order]
        choices.append("或".join(["、".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted))
        options.append("、".join(order))
    return choices, options


def form_verdicts(rows: pl.DataFrame, context: Context, split: str) -> pl.DataFrame:
    """Rows that can't become a sample, judged before any row could be rejected in their favour.

    `empty_field`: a field the task needs is blank; `unlabelled`: a training row without an answer;
    `too_few_turns`: a dialogue of fewer than two turns; `empty_turn`: an utterance in it is blank.
    """
    task = context.task
    empty = pl.any_horizontal(is_empty(name, task.fields[name]) for name in task.required)
    reason = pl.when(empty).then(pl.lit("empty_field"))
    if task.name == "dialogue":
        reason = reason.when(pl.col("turns").list.len() < 2).then(pl.lit("too_few_turns"))
        blank = pl.col("turns").list.eval(pl.element().str.strip_chars() == "").list.any()
        reason = reason.when(blank).then(pl.lit("empty_turn"))
    elif split == "train":
        reason = reason.when(unlabelled(task)).then(pl.lit("unlabelled"))
    judged = rows.with_columns(reason.otherwise(None).alias("reason")).filter(pl.col("reason").is_not_null())
    return verdicts(judged, reason=pl.col("reason"))


def form_changes(rows: pl.DataFrame, context: Context) -> dict[str, int]:
    """What samples leave out of these records: the last turn of a dialogue with an odd number of them.

    Turns alternate between user and assistant and end with the assistant's; a last turn of the user has no reply.
    """
    if context.task.name != "dialogue":
        return {}
    odd = int((rows["turns"].list.len() % 2 == 1).sum())
    return {"odd_turn_dropped": odd} if odd else {}


#: The reasons of step `format`, for the manifest; the last is found only when samples are written.
REASONS = ("empty_field", "unlabelled", "too_few_turns", "empty_turn")
RENDER_REASONS = ("template_error",)


def unlabelled(task: Task) -> pl.Expr:
    """True where the record has no answer to learn."""
    if task.name == "mrc":
        return pl.col("answers").list.drop_nulls().list.len() == 0
    if task.name == "dialogue":
        return pl.lit(False)
    return is_empty(task.answer, "str")


def _filled(name: str, kind: str) -> pl.Expr:
    """An extra field as every sample has it: never null."""
    return pl.col(name).fill_null([] if kind.startswith("list") else "")


def references(task: Task) -> pl.Expr | None:
    """All accepted answers of a row, as a list; None for label tasks, whose answer is the label."""
    if task.has_labels:
        return None
    listed = {
        "mrc": pl.col("answers"),
        "summarization": pl.concat_list("summary"),
        "dialogue": pl.concat_list("reply"),
    }
    return listed[task.name]


def with_variables(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """The record's fields plus what templates may name beside them; `order` is the row's hash."""
    task = context.task
    if task.has_labels:
        words = tuple(context.labels.values())
        choices, options = _offers(words)
        index = (pl.col("order") // (1 << 24)) % len(choices)
        return rows.with_columns(
            pl.col("label").replace_strict(context.labels, default="", return_dtype=pl.String).alias("answer"),
            index.replace_strict(dict(enumerate(choices)), return_dtype=pl.String).alias("choices"),
            index.replace_strict(dict(enumerate(options)), return_dtype=pl.String).alias("options"),
        )
    if task.name == "mrc":
        found = pl.col("answers").list.gather(
            pl.col("answer_starts").list.eval((pl.element() >= 0).arg_true()), null_on_oob=True
        )
        first = pl.coalesce(found.list.first(), pl.col("answers").list.first())
        return rows.with_columns(answer=first.fill_null(""))
    if task.name == "summarization":
        return rows.with_columns(pl.col("summary").fill_null(""))
    even = pl.col("turns").list.head((pl.col("turns").list.len() // 2) * 2)
    earlier = even.list.head(even.list.len() - 2)
    return rows.with_columns(
        message=even.list.get(-2),
        reply=even.list.get(-1),
        history=_pairs(rows.select(earlier).to_series()),
    )


def _pairs(turns: pl.Series) -> pl.Series:
    """Lists of an even number of utterances → lists of [user, assistant]."""
    lengths = turns.list.len()
    flat = turns.filter(lengths > 0).explode()
    row = pl.DataFrame({"row": pl.int_range(len(turns), eager=True), "n": lengths // 2})
    owners = row.filter(pl.col("n") > 0).select(pl.col("row").repeat_by("n").explode())
    users, replies = flat.gather_every(2, 0), flat.gather_every(2, 1)
    pairs = owners.with_columns(pair=pl.select(pl.concat_list(users, replies)).to_series())
    lists = pairs.group_by("row", maintain_order=True).agg("pair")
    joined = row.join(lists, on="row", how="left", maintain_order="left")
    return joined.select(pl.coalesce("pair", pl.lit([], dtype=pl.List(pl.List(pl.String))))).to_series()


def render(rows: pl.DataFrame, templates: TemplateSet, context: Context, evaluation: bool) -> pl.DataFrame:
    """Add `template`, `instruction`, `input`, `output` (and `system`, where the task has history) to the rows.

    The template is `order % n`: decided by hash(seed, id), so adding a row changes no other. `rendered` is false
    where a template of more than plain names failed on the row.
    """
    eligible = templates.eligible(evaluation)
    parts = [part for part in PARTS if part != "system" or context.task.name == "dialogue"]
    done = []
    numbered = with_variables(rows, context).with_columns(_which=pl.col("order") % len(eligible))
    for which, template in enumerate(eligible):
        group = numbered.filter(pl.col("_which") == which)
        if len(group):
            done.append(_render_one(group, template, parts))
    if not done:
        empty = [pl.lit("").alias(name) for name in ("template", *parts)]
        return numbered.with_columns(*empty, pl.lit(True).alias("rendered")).drop("_which")
    return pl.concat(done).sort("rid", maintain_order=True).drop("_which")


def _render_one(group: pl.DataFrame, template: Template, parts: list[str]) -> pl.DataFrame:
    expressions = {part: template.expression(part) for part in parts}
    columns = {part: expression for part, expression in expressions.items() if expression is not None}
    failed = [False] * len(group)
    for part in parts:
        if part in columns:
            continue
        texts = []
        for i, row in enumerate(group.to_dicts()):
            try:
                texts.append(template.render(part, row))
            except Exception:  # jinja2 lets any error of the expression through
                texts.append("")
                failed[i] = True
        columns[part] = pl.lit(pl.Series(texts, dtype=pl.String))
    rendered = pl.lit(pl.Series(failed, dtype=pl.Boolean)).not_() if any(failed) else pl.lit(True)
    return (
        group.with_columns(
            pl.lit(template.id).alias("template"),
            *[columns[part].alias(f"_{part}") for part in parts],
            rendered=rendered,
        )
        .drop([part for part in parts if part in group.columns])
        .rename({f"_{part}": part for part in parts})
    )


def samples(rows: pl.DataFrame, context: Context, words: list[str], source_ids: bool) -> pl.DataFrame:
    """The columns of the JSONL in their order; `rows` has id, flags and what `render` added.

    `words` are the word columns of `segment`, `source_ids` whether the corpus names its rows.
    """
    task = context.task
    no_answer = unlabelled(task)
    output = pl.when(no_answer).then(pl.lit("")).otherwise(pl.col("output")).alias("output")
    meta = [
        pl.col("id"),
        pl.lit(task.name).alias("task"),
        pl.col("template"),
        *([pl.col("label").fill_null("")] if task.has_labels else []),
        no_answer.not_().alias("labelled"),
        pl.col("flags"),
    ]
    if CLUSTER_SIZE in rows.columns:
        meta.append(pl.col(CLUSTER_SIZE))
    if task.name == "pair":
        meta.append(pl.struct(a=pl.col("a"), b=pl.col("b")).alias("fields"))
    accepted = references(task)
    if accepted is not None:
        nothing = pl.lit([], dtype=pl.List(pl.String))
        meta.append(pl.when(no_answer).then(nothing).otherwise(accepted).alias("references"))
    if source_ids:
        meta.append(pl.col("source_id").fill_null(""))
    meta += [_filled(name, task.fields[name]) for name in task.extra]
    if words:
        meta.append(
            pl.struct(pl.col(name).fill_null("").alias(name.partition("|")[2]) for name in words).alias("words")
        )
    head = ["instruction", "input", output]
    if task.name == "dialogue":
        head += ["history", "system"]
    return rows.select(*head, pl.struct(meta).alias("meta"))
