"""Utterances of a spoken-language understanding task: a JSON list of {text, domain, intent, slots} (SMP2019-ECDT).

The domain is the label. Test sets come without it, or with an empty one; then their rows are unlabelled.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from curate.readers.jsonstream import JsonStream
from curate.readers.names import label_lookup
from curate.readers.options import Problem, ReadOptions, collect
from curate.text.decode import FileInfo, read_blocks
from curate.types import File, Records, UserError

_START = re.compile(r"\s*\[\s*(\{|\])")
_KEYS = re.compile(r'"(domain|intent|slots)"\s*:')


def fits(head: str) -> bool:
    """A JSON list of objects with a text and a domain, an intent or slots."""
    return bool(_START.match(head) and '"text"' in head and _KEYS.search(head))


def read(file: File, info: FileInfo, options: ReadOptions, block_rows: int) -> Iterator[Records]:
    """The utterances of a file with their domain as label; of the rest, what the recipe names in `fields`."""
    if options.task != "classification":
        raise UserError(
            f"{file.name}: holds utterances labelled by domain (classification), the recipe's task is {options.task}"
        )
    counts: Counter[str] = Counter()
    rows = (_row(item, options, counts) for item in _items(JsonStream(file.name, read_blocks(file.path, info))))
    yield from collect(file, options, block_rows, rows, counts)


def _items(stream: JsonStream) -> Iterator[Any]:
    yield from stream.items()
    if stream.peek():
        stream.fail("text after the end of the list")


def _row(item: Any, options: ReadOptions, counts: Counter[str]) -> tuple[Any, ...] | Problem:
    raw = json.dumps(item, ensure_ascii=False)
    if not isinstance(item, dict):
        return Problem("not_an_utterance", raw)
    text, domain, slots = (_text(item.get("text")), _text(item.get("domain")), slots_of(item.get("slots")))
    if text is None:
        return Problem("no_text", raw)
    if domain is None:
        return Problem("bad_label", raw)
    if slots is None:
        return Problem("bad_slots", raw)
    label = label_lookup([domain], options.labels).get(domain)
    if label is None and domain.strip():
        return Problem("label_outside_list", raw)
    if label is None:
        counts["unlabelled"] += 1
    told = {"text": text, "label": label, "intent": _text(item.get("intent")) or "", "slots": slots}
    return tuple(told.get(name) for name in options.schema())


def _text(value: Any) -> str | None:
    """A string or a number as text, "" for null (`json` reads NaN as a number, and some test sets hold it);
    None for anything else."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    return str(value)


def slots_of(value: Any) -> list[dict[str, str]] | None:
    """`{name: value}` as a list of {name, value}, a slot of several values as several; None where it is no such."""
    if value is None:
        return []
    if not isinstance(value, dict):
        return None
    slots = []
    for name, given in value.items():
        for one in given if isinstance(given, list) else [given]:
            text = _text(one)
            if text is None:
                return None
            slots.append({"name": name, "value": text})
    return slots
