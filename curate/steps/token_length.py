"""token_length: samples in tokens of a tokenizer of one's choice: measured, and what to do with long ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from curate.formatting.render import render, unlabelled
from curate.lazy import pl
from curate.steps import Context, Outcome, verdicts
from curate.text.sentences import cut_at, cut_from, sentences_around
from curate.text.tokens import Length, Lengths

#: Lengths that models are commonly tuned with: what would be cut there is counted.
LIMITS = (512, 1024, 2048, 4096)
#: What `truncate_context` may take from, by task: never the question or the answer.
SHORTENED = {"classification": "text", "summarization": "text", "mrc": "context", "dialogue": "turns"}

Record = dict[str, Any]


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tokenizer: str = Field(min_length=1, description="a folder with tokenizer.json, or a name on the Hugging Face Hub")
    max: int | None = Field(default=None, ge=1, description="tokens of a sample, its answer and end included")
    on_long: Literal["keep", "reject", "truncate_context"] = Field(
        default="keep",
        description="what happens to samples above max; truncate_context shortens what may be shortened",
    )

    @model_validator(mode="after")
    def _needs_max(self) -> Options:
        if self.on_long != "keep" and self.max is None:
            raise ValueError(f"'on_long: {self.on_long}' needs 'max', in tokens")
        return self


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Measure the sample of each row as `tune` will make it, and reject or shorten those above `max`.

    Texts lose their end (at the end of a sentence), contexts what is farthest from their answers on both sides,
    dialogues their earliest turns, in pairs. An evaluation context is left whole: where to cut it would follow from
    the answer, and give it away; elsewhere evaluation rows are shortened as training rows are. A row that can't be
    shortened enough is `too_long` and keeps its text, and so is one whose template has the text as its answer.
    """
    made = _samples(rows, context)
    lengths = _measure(made, context)
    most = options.max
    counts: dict[str, int] = {}
    if most is not None and options.on_long == "truncate_context":
        rows, lengths, counts = _shorten(rows, made, lengths, most, context)
    said = None
    stays = [length is not None for length in lengths]
    if most is not None and options.on_long != "keep":
        long = pl.Series([length is not None and length.total > most for length in lengths], dtype=pl.Boolean)
        said = verdicts(rows.filter(long), reason="too_long")
        if context.split == "train":
            stays = [here and not above for here, above in zip(stays, long, strict=True)]
    kept = [length for length, here in zip(lengths, stays, strict=True) if here and length is not None]
    limits = tuple(sorted({*LIMITS, most or LIMITS[0]}))
    measured = Lengths(limits, Counter(one.total for one in kept), Counter(one.prompt for one in kept))
    return Outcome(rows, said, counts, tokens=measured)


def _samples(rows: pl.DataFrame, context: Context) -> list[Record]:
    """The sample of each row; `rendered` is false where its template failed."""
    assert context.templates is not None
    # Parts of a row share its rid: only a number of our own brings them back into their order.
    rendered = render(rows.with_row_index("_row"), context.templates, context, context.split != "train").sort("_row")
    answer = pl.when(unlabelled(context.task)).then(pl.lit("")).otherwise(pl.col("output"))
    more = ["history", "system"] if context.task.name == "dialogue" else []
    told = rendered.select("rid", "template", "rendered", "instruction", "input", *more, output=answer)
    return [{**sample, "meta": {"id": _name(sample)}} for sample in told.to_dicts()]


def _name(sample: Record) -> str:
    """A sample in an error message: its id isn't known here."""
    return f"of row {sample['rid'] % (1 << 40)} ({sample['template']})"


def _measure(samples: list[Record], context: Context) -> list[Length | None]:
    """The length of each sample that could be rendered."""
    assert context.tokens is not None
    found = iter(context.tokens.measure([sample for sample in samples if sample["rendered"]]))
    return [next(found) if sample["rendered"] else None for sample in samples]


def _shorten(
    rows: pl.DataFrame, made: list[Record], lengths: list[Length | None], most: int, context: Context
) -> tuple[pl.DataFrame, list[Length | None], dict[str, int]]:
    """The rows with less text where that makes their samples fit, their lengths, and what was cut."""
    task, field = context.task, SHORTENED[context.task.name]
    names = list(task.fields)
    may = _may_be_shortened(field, context)
    long = [i for i, one in enumerate(lengths) if one and one.total > most and made[i]["template"] in may]
    records = dict(zip(long, rows[long].select(names).to_dicts(), strict=True)) if long else {}
    excess = {i: one.total - most for i in long if (one := lengths[i])}
    fitting: dict[int, tuple[Record, Length]] = {}
    while records:
        shorter = {i: _SHORTER[field](record, excess[i], context) for i, record in records.items()}
        records = {i: record for i, record in shorter.items() if record is not None}
        if not records:
            break
        changed = _changed(rows[list(records)], list(records.values()), context)
        for (i, record), length in zip(
            list(records.items()), _measure(_samples(changed, context), context), strict=True
        ):
            if length is None or length.total <= most:
                del records[i]
                if length is not None:
                    fitting[i] = (record, length)
            else:
                excess[i] = length.total - most
    if not fitting:
        return rows, lengths, {}
    counts = _counts(
        field, rows[field].gather(list(fitting)).to_list(), [record[field] for record, _ in fitting.values()]
    )
    lengths = [fitting[i][1] if i in fitting else one for i, one in enumerate(lengths)]
    numbered = rows.with_row_index("_row")
    new = _changed(numbered[list(fitting)], [record for record, _ in fitting.values()], context)
    old = numbered.filter(~pl.col("_row").is_in(pl.Series(list(fitting), dtype=pl.UInt32).implode()))
    return pl.concat([old, new]).sort("_row").drop("_row"), lengths, counts


def _may_be_shortened(field: str, context: Context) -> set[str]:
    """The templates in whose prompt alone the field stands: an inverted one asks for the text, which is its answer."""
    assert context.templates is not None
    evaluation = context.split != "train"
    if field == "context" and evaluation:
        return set()
    templates = context.templates.eligible(evaluation)
    if field == "turns":
        return {template.id for template in templates}
    shown = {t.id for t in templates if field in t.variables("instruction") | t.variables("input")}
    return shown - {t.id for t in templates if field in t.variables("output")}


def _changed(rows: pl.DataFrame, records: list[Record], context: Context) -> pl.DataFrame:
    """Rows with the fields of these records."""
    schema = context.task.schema()
    return rows.with_columns(
        pl.Series(name, [record[name] for record in records], dtype=dtype) for name, dtype in schema.items()
    )


def _counts(field: str, before: list[Any], after: list[Any]) -> dict[str, int]:
    gone = sum(len(old) - len(new) for old, new in zip(before, after, strict=True))
    if field == "turns":
        return {"dialogues_shortened": len(before), "turns_dropped": gone}
    return {"texts_cut": len(before), "characters_cut": gone}


# ---- one record, shorter by about so many tokens; None where there is nothing more to take


def _characters(text: str, excess: int, context: Context) -> int:
    """About as many characters of a text as `excess` of its tokens."""
    assert context.tokens is not None
    return -(-excess * len(text) // max(1, context.tokens.tokens(text)))


def _shorter_text(record: Record, excess: int, context: Context) -> Record | None:
    text = record["text"]
    left = len(text) - _characters(text, excess, context)
    if left < 1:
        return None
    cut = text[: cut_at(text, left)].rstrip()
    return {**record, "text": cut} if cut else None


def _shorter_context(record: Record, excess: int, context: Context) -> Record | None:
    """What goes is shared out over both sides of the answers, so that these keep their place in what is left.

    The sentences that they stand in stay whole as long as there is enough beside them.
    """
    text, starts = record["context"] or "", record["answer_starts"] or []
    spans = [(at, at + len(answer)) for at, answer in zip(starts, record["answers"], strict=True) if at >= 0]
    if not spans:
        return None
    drop = _characters(text, excess, context)
    first, last = min(start for start, _ in spans), max(stop for _, stop in spans)
    begin, finish = sentences_around(text, first, last)
    if begin + len(text) - finish >= drop:
        first, last = begin, finish
    spare = first + len(text) - last
    if not spare:
        return None
    drop = min(drop, spare)
    before = drop * first // spare
    start = cut_from(text, before, first)
    stop = len(text) - (drop - before)
    end = cut_at(text, stop - start, start) if stop > start else stop
    end = end if end >= last else stop
    while start < first and text[start].isspace():
        start += 1
    while end > last and text[end - 1].isspace():
        end -= 1
    return {**record, "context": text[start:end], "answer_starts": [at - start if at >= 0 else -1 for at in starts]}


def _shorter_dialogue(record: Record, excess: int, context: Context) -> Record | None:
    turns = record["turns"]
    return {**record, "turns": turns[2:]} if len(turns) // 2 > 1 else None


_SHORTER: dict[str, Callable[[Record, int, Context], Record | None]] = {
    "text": _shorter_text,
    "context": _shorter_context,
    "turns": _shorter_dialogue,
}
