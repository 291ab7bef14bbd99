"""Rows cut to what a page can show: a few hundred characters a field, where it matters around the first change."""

from __future__ import annotations

import json
from typing import Any

from jingtiao.markdown import clip

#: Characters that a card keeps of a text, and of one item of a list; the items it keeps.
CHARS, ITEM_CHARS, ITEMS = 400, 160, 8
#: Characters before a change that are kept with it.
_BEFORE = 60


def excerpt(fields: dict[str, Any] | None) -> dict[str, Any] | None:
    """A record with every value cut; null stays null."""
    return None if fields is None else {name: _cut(value) for name, value in fields.items()}


def excerpts(read: dict[str, Any], cleaned: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A record before and after: each pair of values is cut alike, beginning shortly before the first difference."""
    pairs = {name: _cut_both(value, cleaned[name]) for name, value in read.items()}
    return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}


def cut_sample(sample: dict[str, Any]) -> dict[str, Any]:
    """An instruction row, without its meta, cut."""
    cut: dict[str, Any] = {name: clip(sample[name], 2 * CHARS) for name in ("instruction", "input", "output")}
    if "history" in sample:
        cut["history"] = [[clip(text, ITEM_CHARS) for text in turn] for turn in sample["history"][-ITEMS:]]
        cut["system"] = clip(sample["system"], ITEM_CHARS)
    return cut


def _cut(value: Any, limit: int = CHARS) -> Any:
    if isinstance(value, str):
        return clip(value, limit)
    if isinstance(value, list):
        items = [_cut(item, ITEM_CHARS) for item in value[:ITEMS]]
        return items if len(value) <= ITEMS else [*items, "…"]
    return clip(json.dumps(value, ensure_ascii=False), limit) if isinstance(value, dict) else value


def _cut_both(read: Any, cleaned: Any, limit: int = CHARS) -> tuple[Any, Any]:
    if isinstance(read, str) and isinstance(cleaned, str):
        start = _start(read, cleaned, limit)
        head = "…" if start else ""
        return head + clip(read[start:], limit), head + clip(cleaned[start:], limit)
    if isinstance(read, list) and isinstance(cleaned, list) and len(read) == len(cleaned):
        pairs = [_cut_both(a, b, ITEM_CHARS) for a, b in zip(read[:ITEMS], cleaned[:ITEMS], strict=True)]
        more = ["…"] if len(read) > ITEMS else []
        return [a for a, _ in pairs] + more, [b for _, b in pairs] + more
    return _cut(read), _cut(cleaned)


def _start(read: str, cleaned: str, limit: int) -> int:
    """Where an excerpt of both begins: at the beginning, or a little before the first difference where that is far."""
    if read == cleaned:
        return 0
    short = min(len(read), len(cleaned))
    first = next((index for index in range(short) if read[index] != cleaned[index]), short)
    return first - _BEFORE if first > limit // 2 else 0
