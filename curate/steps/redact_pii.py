"""redact_pii: telephone numbers, identity and bank cards, addresses on the net, QQ and WeChat names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome, verdicts
from curate.steps.locate_answer import locate
from curate.tasks import Task
from curate.text.pii import KINDS, Span, find_together, mask, may_hold, moved

Kind = Literal["mobile", "landline", "id_card", "bank_card", "email", "qq", "wechat", "ip", "url"]


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    action: Literal["mask", "reject", "report"] = Field(
        default="mask",
        description="mask: a placeholder in place of each; reject: the row goes, masked; report: flags, text as it is",
    )
    kinds: list[Kind] = Field(
        default=list(get_args(Kind)), min_length=1, description="what to look for; default: all kinds"
    )


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Mask every detail in every text of the record; a detail that one text names is masked in all of them.

    Rows of validation and test are masked too, which is no removal. A rejected row is masked first: neither
    rejected.jsonl nor an evaluation row that is only flagged shows what it was rejected for.
    """
    found = _find(rows, options, context.task)
    if not found:
        return Outcome(rows)
    counts: dict[str, int] = {}
    kinds: list[tuple[int, str]] = []
    for index, spans in found.items():
        there = [kind for text in spans.values() for *_, kind in text]
        for kind in there:
            counts[kind] = counts.get(kind, 0) + 1
        kinds += [(index, kind) for kind in KINDS if kind in there]
    if options.action == "report":
        return Outcome(rows, _said(rows, kinds, "flag"), {"details_reported": sum(counts.values())})
    first = {index: kind for index, kind in reversed(kinds)}
    said = _said(rows, sorted(first.items()), "reject") if options.action == "reject" else None
    return Outcome(_masked(rows, found, context.task), said, counts)


def veil(options: Options, task: Task) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """What masks rows that this step has not reached, for whoever has to show them."""
    return lambda rows: _masked(rows, _find(rows, options, task), task)


# ---- the texts of a record

#: A text's place in a record: the field, then the index of a list's item and, for a slot, its key.
Place = tuple[Any, ...]
#: The details of each row that has some, by its index: the spans of each text that holds one.
Found = dict[int, dict[Place, list[Span]]]


def private_fields(task: Task) -> list[str]:
    """The fields that hold somebody's words: not labels, not the corpus's own ids."""
    return [
        name
        for name, kind in task.fields.items()
        if kind in ("str", "list[str]", "list[slot]") and name not in ("label", "source_id", "intent")
    ]


def _find(rows: pl.DataFrame, options: Options, task: Task) -> Found:
    fields = private_fields(task)
    look = pl.any_horizontal(may_hold(joined(name, task.fields[name])) for name in fields)
    where = rows.select(look).to_series().arg_true()
    records, places, texts = [], [], []
    columns = [(name, rows[name].gather(where).to_list()) for name in fields]
    for at, index in enumerate(where.to_list()):
        for name, values in columns:
            for place, text in _texts((name,), values[at]):
                records.append(index)
                places.append(place)
                texts.append(text)
    found: Found = {}
    for index, place, spans in zip(records, places, find_together(texts, records, options.kinds), strict=True):
        if spans:
            found.setdefault(index, {})[place] = spans
    return found


def joined(name: str, kind: str) -> pl.Expr:
    """A field's texts as one, its items joined by line ends."""
    if kind == "list[str]":
        return pl.col(name).list.join("\n", ignore_nulls=True)
    if kind == "list[slot]":
        return pl.col(name).list.eval(pl.element().struct.field("value")).list.join("\n", ignore_nulls=True)
    return pl.col(name)


def _texts(place: Place, value: Any) -> Iterator[tuple[Place, str]]:
    """The texts in a field's value, or in an item of it, each with its place."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts((*place, index), item)
    elif isinstance(value, dict):
        yield from _texts((*place, "value"), value["value"])
    elif value:
        yield place, value


def _masked(rows: pl.DataFrame, found: Found, task: Task) -> pl.DataFrame:
    """The rows with every span masked; answers are what stands in their place of the masked context."""
    if not found:
        return rows
    where = pl.Series(list(found), dtype=pl.UInt32)
    new = {}
    for name in private_fields(task):
        values = zip(rows[name].gather(where).to_list(), found.values(), strict=True)
        new[name] = [_mask_value((name,), value, spans) for value, spans in values]
    if task.name == "mrc":
        old = rows.select("context", "answers", "answer_starts")[where].to_dicts()
        told = zip(old, found.values(), new["context"], new["answers"], strict=True)
        new["answer_starts"] = [_answers(one, spans.get(("context",), []), *masked) for one, spans, *masked in told]
    order = pl.int_range(len(rows), eager=True, dtype=pl.UInt32).scatter(
        where, pl.int_range(len(rows), len(rows) + len(where), eager=True, dtype=pl.UInt32)
    )
    made = pl.DataFrame(new, schema={name: rows.schema[name] for name in new})
    return rows.with_columns(pl.concat([rows[name], made[name]]).gather(order) for name in new)


def _mask_value(place: Place, value: Any, spans: dict[Place, list[Span]]) -> Any:
    """A field's value, or an item of it, with its spans masked."""
    if isinstance(value, list):
        return [_mask_value((*place, index), item, spans) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {**value, "value": _mask_value((*place, "value"), value["value"], spans)}
    return mask(value, spans[place]) if spans.get(place) else value


def _answers(old: dict[str, Any], spans: list[Span], context: str | None, answers: list[str]) -> list[int] | None:
    """The answers' starts in the masked `context`; the masked `answers` become what stands there.

    An answer that begins inside a detail takes all of it.
    """
    if not context:
        return old["answer_starts"]
    starts = old["answer_starts"] or []
    told = [*starts, *[-1] * len(answers)]
    for index, answer in enumerate(old["answers"]):
        place = locate(old["context"], answer or "", told[index])
        if place >= 0:
            first, last = moved(place, spans), moved(place + len(answer), spans, end=True)
            answers[index] = context[first:last]
    return [moved(start, spans) if start >= 0 else start for start in starts]


def _said(rows: pl.DataFrame, kinds: list[tuple[int, str]], action: str) -> pl.DataFrame:
    where = pl.Series([index for index, _ in kinds], dtype=pl.UInt32)
    told = rows.select("rid")[where].with_columns(kind=pl.Series([kind for _, kind in kinds], dtype=pl.String))
    return verdicts(told, action=action, reason=pl.col("kind"))
