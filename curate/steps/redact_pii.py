"""redact_pii: telephone numbers, identity and bank cards, addresses on the net, QQ and WeChat names."""

from __future__ import annotations

from collections.abc import Callable
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
    for index, (_, spans) in found.items():
        there = [kind for text in spans for *_, kind in text]
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
Found = dict[int, tuple[list[Place], list[list[Span]]]]


def private_fields(task: Task) -> list[str]:
    """The fields that hold somebody's words: not labels, not the corpus's own ids."""
    return [
        name
        for name, kind in task.fields.items()
        if kind in ("str", "list[str]", "list[slot]") and name not in ("label", "source_id", "intent")
    ]


def _find(rows: pl.DataFrame, options: Options, task: Task) -> Found:
    """The details of each row that has some, by its index: the places of its texts, and the spans in each."""
    fields = private_fields(task)
    look = pl.any_horizontal(may_hold(joined(name, task.fields[name])) for name in fields)
    where = rows.select(look).to_series().arg_true()
    found: Found = {}
    for index, record in zip(where.to_list(), rows.select(fields)[where].to_dicts(), strict=True):
        texts = _texts(record)
        spans = find_together(list(texts.values()), options.kinds)
        if any(spans):
            found[index] = (list(texts), spans)
    return found


def joined(name: str, kind: str) -> pl.Expr:
    """A field's texts as one, its items joined by line ends."""
    if kind == "list[str]":
        return pl.col(name).list.join("\n", ignore_nulls=True)
    if kind == "list[slot]":
        return pl.col(name).list.eval(pl.element().struct.field("value")).list.join("\n", ignore_nulls=True)
    return pl.col(name)


def _texts(record: dict[str, Any]) -> dict[Place, str]:
    texts: dict[Place, str] = {}
    for name, value in record.items():
        for index, item in enumerate(value or () if isinstance(value, list) else [value]):
            place = (name, index) if isinstance(value, list) else (name,)
            if isinstance(item, dict):
                place, item = (*place, "value"), item["value"]
            if item:
                texts[place] = item
    return texts


def _masked(rows: pl.DataFrame, found: Found, task: Task) -> pl.DataFrame:
    """The rows with every span masked; answers are what stands in their place of the masked context."""
    if not found:
        return rows
    fields = [name for name in (*private_fields(task), "answer_starts") if name in rows.columns]
    where = pl.Series(list(found), dtype=pl.UInt32)
    changed = []
    for record, (places, spans) in zip(rows.select(fields)[where].to_dicts(), found.values(), strict=True):
        by_place = dict(zip(places, spans, strict=True))
        new = {name: _mask_value((name,), record[name], by_place) for name in fields}
        if context := record.get("context"):
            _answers(record, new, context, by_place.get(("context",), []))
        changed.append(new)
    made = pl.DataFrame(changed, schema={name: rows.schema[name] for name in fields})
    order = pl.int_range(len(rows), eager=True, dtype=pl.UInt32).scatter(
        where, pl.int_range(len(rows), len(rows) + len(where), eager=True, dtype=pl.UInt32)
    )
    return rows.with_columns(pl.concat([rows[name], made[name]]).gather(order) for name in fields)


def _mask_value(place: Place, value: Any, spans: dict[Place, list[Span]]) -> Any:
    """A field's value, or an item of it, with its spans masked."""
    if isinstance(value, list):
        return [_mask_value((*place, index), item, spans) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {**value, "value": _mask_value((*place, "value"), value["value"], spans)}
    return mask(value, spans[place]) if spans.get(place) else value


def _answers(old: dict[str, Any], new: dict[str, Any], context: str, spans: list[Span]) -> None:
    """Answers as their places in the masked context read: one that begins inside a detail takes all of it."""
    starts = old["answer_starts"] or []
    told = [*starts, *[-1] * len(old["answers"])]
    for index, answer in enumerate(old["answers"]):
        place = locate(context, answer or "", told[index])
        if place >= 0:
            first, last = moved(place, spans), moved(place + len(answer), spans, end=True)
            new["answers"][index] = new["context"][first:last]
    new["answer_starts"] = [moved(start, spans) if start >= 0 else start for start in starts]


def _said(rows: pl.DataFrame, kinds: list[tuple[int, str]], action: str) -> pl.DataFrame:
    where = pl.Series([index for index, _ in kinds], dtype=pl.UInt32)
    told = rows.select("rid")[where].with_columns(kind=pl.Series([kind for _, kind in kinds], dtype=pl.String))
    return verdicts(told, action=action, reason=pl.col("kind"))
