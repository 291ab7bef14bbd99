"""blocklist: words of the user's own list, one a line."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.lazy import pl
from curate.steps import Context, Outcome, verdicts
from curate.steps.locate_answer import locate
from curate.steps.normalise import map_texts
from curate.steps.redact_pii import joined, private_fields
from curate.text.distinct import put
from curate.types import UserError


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    file: str = Field(min_length=1, description="words, one a line, UTF-8; lines that begin with # are comments")
    action: Literal["reject", "mask", "report"] = Field(
        default="reject", description="mask: an asterisk for each character; report: flags, text as it is"
    )


def read_words(path: str) -> tuple[tuple[str, ...], str]:
    """The words of a list, sorted, and the sha256 of its file. Raises UserError if there are none."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: the blocklist can't be read ({error.strerror}); name a file of words") from None
    try:
        lines = raw.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: the blocklist is not UTF-8; save it as UTF-8") from None
    words = {word for line in lines if (word := line.strip()) and not word.startswith("#")}
    if not words:
        raise UserError(f"{path}: the blocklist holds no words; write one a line, or take the step out")
    return tuple(sorted(words)), hashlib.sha256(raw).hexdigest()


def run(rows: pl.DataFrame, options: Options, context: Context) -> Outcome:
    """Look for the words in every text of the record, answers included.

    A to Z count in either case. A word that begins or ends with an ASCII letter or digit is none inside another
    (`ass` is not in `class`). Masked words keep their length, so that offsets of answers stay right.
    """
    words = list(read_words(options.file)[0])
    task = context.task
    fields = {name: task.fields[name] for name in private_fields(task)}
    if options.action == "mask":
        counts: dict[str, int] = {}
        masked = rows.with_columns(_masked_field(rows[name], words, counts) for name in fields)
        return Outcome(masked.with_columns(_answers(rows, masked)) if task.name == "mrc" else masked, counts=counts)
    columns = (rows.select(joined(name, kind)).to_series() for name, kind in fields.items())
    held = pl.any_horizontal(pl.lit(_holds(column, words)) for column in columns)
    action = "reject" if options.action == "reject" else "flag"
    return Outcome(rows, verdicts(rows.filter(held), action=action, reason="blocked_word"))


def _holds(texts: pl.Series, words: list[str]) -> pl.Series:
    where, found = _found(texts, words)
    return put(pl.repeat(False, len(texts), eager=True), where, pl.Series(map(bool, found), dtype=pl.Boolean))


def _masked_field(column: pl.Series, words: list[str], counts: dict[str, int]) -> pl.Series:
    if column.dtype in (pl.String, pl.List(pl.String)):
        return map_texts(column, lambda texts: _masked(texts, words, counts))
    slots = column.to_list()
    values = pl.Series([slot["value"] for row in slots for slot in row or ()], dtype=pl.String)
    masked = iter(map_texts(values, lambda texts: _masked(texts, words, counts)).to_list())
    changed = [row and [{**slot, "value": next(masked)} for slot in row] for row in slots]
    return pl.Series(column.name, changed, dtype=column.dtype)


def _answers(before: pl.DataFrame, after: pl.DataFrame) -> pl.Series:
    """The answers as their places in the masked context read: a word may reach beyond an answer's ends."""
    answers = after["answers"].to_list()
    for index in (before["context"] != after["context"]).fill_null(False).arg_true().to_list():
        row = before.row(index, named=True)
        told = [*(row["answer_starts"] or []), *[-1] * len(row["answers"])]
        for which, answer in enumerate(row["answers"]):
            if (place := locate(row["context"], answer or "", told[which])) >= 0:
                answers[index][which] = after["context"][index][place : place + len(answer)]
    return pl.Series("answers", answers, dtype=pl.List(pl.String))


def _masked(texts: pl.Series, words: list[str], counts: dict[str, int]) -> pl.Series:
    where, found = _found(texts, words)
    changed = []
    for text, places in zip(texts.gather(where).to_list(), found, strict=True):
        for start, end in places:
            text = text[:start] + "*" * (end - start) + text[end:]
        changed.append(text)
        if places:
            counts["words_masked"] = counts.get("words_masked", 0) + len(places)
    return put(texts, where, pl.Series(changed, dtype=pl.String))


def _found(texts: pl.Series, words: list[str]) -> tuple[pl.Series, list[list[tuple[int, int]]]]:
    """The texts (by index) that may hold words, and where these stand in each: of two at one place, the longer.

    One search for all words at once leaves few texts and few words, which are then looked at with care.
    """
    where = texts.str.contains_any(words, ascii_case_insensitive=True).fill_null(False).arg_true()
    some = texts.gather(where)
    held = some.str.extract_many(words, ascii_case_insensitive=True, overlapping=True).to_list()
    return where, [places(text, set(there)) for text, there in zip(some.to_list(), held, strict=True)]


def places(text: str, words: set[str]) -> list[tuple[int, int]]:
    """Where any of these words stands by itself: from the left, the longest first, no two overlapping."""
    parts = (
        ("(?<![0-9A-Za-z])" if word[0].isascii() and word[0].isalnum() else "")
        + re.escape(word)
        + ("(?![0-9A-Za-z])" if word[-1].isascii() and word[-1].isalnum() else "")
        for word in sorted(words, key=lambda word: (-len(word), word))
    )
    return [found.span() for found in re.finditer("|".join(parts), text, re.IGNORECASE | re.ASCII)]
