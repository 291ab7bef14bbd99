"""What the values of a row become: text, labels, answers, turns, whatever types a file keeps them in.

null, NaN and a missing name are the same: no value. A value of a kind that no text can be made of is a bad one.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
from collections import Counter
from itertools import pairwise
from typing import Any

from curate.readers.names import label_lookup
from curate.readers.nlu import slots_of
from curate.readers.options import ReadOptions
from curate.readers.squad import real_answers

_PLAIN = (int, decimal.Decimal, datetime.date, datetime.time, datetime.timedelta)
#: What the speaker and the words of a turn are called, and the speakers themselves.
_ROLE = ("role", "from", "speaker")
_CONTENT = ("content", "value", "text", "utterance")
_SPEAKERS = {
    **dict.fromkeys(("user", "human", "prompter", "customer", "用户", "客户"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "助手", "客服"), "assistant"),
}


class BadValue(Exception):
    """A row can't be read, for this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RecordMaker:
    """Makes the fields of a task, in its order, of a row's values; `fields` says in which column each stands."""

    def __init__(self, fields: dict[str, str], options: ReadOptions, counts: Counter[str], loose: bool) -> None:
        self._columns = [(field, fields.get(field)) for field in options.schema()]
        self._labels = options.labels
        self._known: dict[str, str | None] = {}
        self._counts, self._loose = counts, loose

    def __call__(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """The record, or BadValue."""
        given = {field: None if column is None else _value(values.get(column)) for field, column in self._columns}
        # Counted once the whole row is known to be readable: a reject is counted as a reject.
        seen: Counter[str] = Counter()
        if "answers" in given:
            starts = given.pop("answer_starts")
            pairs = self._answers(given["answers"], starts, seen)
            seen["unlabelled"] += not pairs
            given |= {"answers": [text for text, _ in pairs], "answer_starts": [start for _, start in pairs]}
        record = tuple(self._field(field, given[field], seen) for field, _ in self._columns)
        self._counts.update({name: count for name, count in seen.items() if count})
        return record

    def _field(self, field: str, value: Any, seen: Counter[str]) -> Any:
        if field in ("answers", "answer_starts"):
            return value
        if field == "label":
            return self._label(value, seen)
        if field == "score":
            return _score(value, seen)
        if field == "turns":
            return turns_of(unpacked(value, lines=True) if self._loose else value, seen)
        if field == "slots":
            slots = slots_of(unpacked(value) if self._loose else value)
            if slots is None:
                raise BadValue("bad_slots")
            return slots
        return text_of(value, f"bad_{field}")

    def _label(self, value: Any, seen: Counter[str]) -> str | None:
        text = text_of(value, "bad_label")
        if not text.strip():
            seen["unlabelled"] += 1
            return None
        if text not in self._known:
            spellings = [text, str(int(value))] if isinstance(value, bool) else [text]
            found = label_lookup(spellings, self._labels)
            self._known[text] = next((found[spelling] for spelling in spellings if spelling in found), None)
        label = self._known[text]
        if label is None:
            raise BadValue("label_outside_list")
        return label

    def _answers(self, value: Any, starts: Any, seen: Counter[str]) -> list[tuple[str, int]]:
        """(text, start) of each answer: a text, a list of them, or SQuAD's {"text": […], "answer_start": […]}."""
        if self._loose:
            value, starts = unpacked(value), unpacked(starts)
        if isinstance(value, dict):
            value, starts = value.get("text"), value.get("answer_start", starts)
        texts = [_spoken(item) for item in _as_list(value)]
        places = _as_list(starts)
        if places and len(places) != len(texts):
            raise BadValue("bad_answer_start")
        pairs = zip(texts, places or [None] * len(texts), strict=True)
        items = [
            text if isinstance(text, dict) else {"text": text, "answer_start": start}
            for text, start in pairs
            if text is not None
        ]
        found = real_answers(items, True, seen)
        if isinstance(found, str):
            raise BadValue(found)
        return found


def _value(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def text_of(value: Any, reason: str) -> str:
    """A text as it is, a number or a date as it is written, "" for no value; BadValue(reason) for anything else."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, _PLAIN) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            pass
    raise BadValue(reason)


def _spoken(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else _value(value)


def _as_list(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def _score(value: Any, seen: Counter[str]) -> int | None:
    text = text_of(value, "bad_score").strip()
    whole = text.removesuffix(".0")
    if whole.isascii() and whole.removeprefix("-").isdecimal() and len(whole) < 18:
        return int(whole)
    seen["bad_scores"] += bool(text)
    return None


def unpacked(value: Any, lines: bool = False) -> Any:
    """What a cell of a table holds as JSON (a list or an object), else the cell; with `lines` a list of its lines."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            pass
    return value.replace("\r\n", "\n").strip("\n").split("\n") if lines and value.strip() else value


def turns_of(value: Any, seen: Counter[str]) -> list[str]:
    """The utterances of a dialogue: a list of texts, of {role, content}, or of {human, assistant}.

    What the system says is left out and counted. Where speakers are named, the user begins and two of them take turns.
    """
    if value is None or value == "":
        raise BadValue("empty_dialogue")
    if not isinstance(value, list):
        raise BadValue("not_a_dialogue")
    turns: list[str] = []
    speakers: list[str] = []
    for item in value:
        if isinstance(item, dict):
            for speaker, words in _said(item):
                if speaker == "system":
                    seen["system_messages"] += 1
                else:
                    speakers.append(speaker)
                    turns.append(words)
        else:
            turns.append(text_of(_value(item), "bad_turn"))
    if speakers:
        _check_speakers(speakers, len(turns))
    if not any(map(str.strip, turns)):
        raise BadValue("empty_dialogue")
    return turns


def _said(item: dict[str, Any]) -> list[tuple[str, str]]:
    """(speaker, words) of a turn, or of both turns of a {human, assistant} pair; an unnamed speaker is ""."""
    if "human" in item and "assistant" in item:
        return [(who, text_of(_value(item[name]), "bad_turn")) for name, who in
                (("human", "user"), ("assistant", "assistant"))]  # fmt: skip
    content = next((item[name] for name in _CONTENT if name in item), item)
    role = text_of(next((item[name] for name in _ROLE if name in item), None), "bad_turn").strip()
    return [(_SPEAKERS.get(role.casefold(), role), text_of(_value(content), "bad_turn"))]


def _check_speakers(speakers: list[str], turns: int) -> None:
    named = set(speakers)
    if len(speakers) != turns or (len(named) > 1 and "" in named):
        raise BadValue("bad_turn")  # some turns name their speaker, others don't
    if len(named) > 2:
        raise BadValue("more_than_two_speakers")
    if named != {""} and any(one == other for one, other in pairwise(speakers)):
        raise BadValue("speakers_do_not_alternate")
    if speakers[0] == "assistant":
        raise BadValue("assistant_speaks_first")
