"""The rows that the page of a diff shows: both sides of each, changed characters marked, ids that lead further."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from curate.card.rowlinks import anchor, row_link
from curate.diff.page_words import page_words
from jingtiao.both import escape, prose
from jingtiao.marked import marked, text

Parts = list[list[str]]

#: Texts less alike than this are not marked: hardly a character would be left unmarked.
_ALIKE = 0.7
_ROLES = ("user", "assistant", "system")


class Stories:
    """All examples of a diff. The first place in which a row is shown is where links to its story lead."""

    def __init__(self, rows: dict[str, Any], groups: Sequence[str]) -> None:
        self._rows = rows
        self._places: dict[str, tuple[str, int, int]] = {}
        for name in groups:
            for index, group in enumerate(rows.get(name, ())):
                for number, example in enumerate(group["examples"]):
                    self._places.setdefault(example["id"], (name, index, number))

    @property
    def any(self) -> bool:
        return bool(self._places)

    def example(self, name: str, index: int, number: int) -> str:
        """One row: what it says in both runs, and what in each; of one that is gone, the row that it lost to."""
        example = self._rows[name][index]["examples"][number]
        here = self._places[example["id"]] == (name, index, number)
        first, second = example["first"], example["second"]
        columns = [_column("in_both", _said(example["both"]))] if example["both"] else []
        if first is None or second is None:
            columns.append(_column("in_second" if first is None else "in_first", _said(second or first or [])))
        elif first or second:
            columns += map(_column, ("in_first", "in_second"), _pair(first, second))
        if "because" in example:
            columns.append(_column("rejected_because", self._because(example["because"])))
        link = row_link(example["id"], () if here else self._places)
        mine = f' id="{anchor(example["id"])}"' if here else ""
        body = f'<p class="id">{link}</p><div class="sides">{"".join(columns)}</div>'
        return f'<div class="reject"{mine}>{body}</div>'

    def _because(self, told: dict[str, Any]) -> str:
        alike = ""
        if told["score"] is not None:
            alike = f" · {prose(page_words('alike').fill(score=format(told['score'], '.2f')))}"
        body = f'<p class="dim">{prose(page_words("not_written"))}</p>'
        if told["parts"] is not None:
            body = _said(told["parts"])
        return f'<p class="id">{row_link(told["id"], self._places)}{alike}</p>{body}'


def _column(key: str, body: str) -> str:
    return f'<div><p class="side">{prose(page_words(key))}</p>{body}</div>'


def _said(parts: Parts) -> str:
    return _list([(name, _text(words)) for name, words in parts])


def _text(words: str) -> str:
    return text(words) if words else prose(page_words("no_answer"))


def _list(parts: list[tuple[str, str]]) -> str:
    if not parts:
        return f'<p class="dim">{prose(page_words("nothing"))}</p>'
    told = "".join(f"<dt>{_name(name)}</dt><dd>{body}</dd>" for name, body in parts)
    return f"<dl>{told}</dl>"


def _name(name: str) -> str:
    return prose(page_words(name)) if name in _ROLES else f"<code>{escape(name)}</code>"


def _pair(first: Parts, second: Parts) -> tuple[str, str]:
    """Both sides; where they speak of the same things, with what differs marked."""
    if [name for name, _ in first] != [name for name, _ in second]:
        return _said(first), _said(second)
    pairs = [_marked(one, other) for (_, one), (_, other) in zip(first, second, strict=True)]
    names = [name for name, _ in first]
    mine, theirs = ([(name, pair[side]) for name, pair in zip(names, pairs, strict=True)] for side in (0, 1))
    return _list(mine), _list(theirs)


def _marked(one: str, other: str) -> tuple[str, str]:
    if one == other or not one or not other:
        return _text(one), _text(other)
    if difflib.SequenceMatcher(None, one, other, autojunk=False).ratio() < _ALIKE:
        return text(one), text(other)
    return marked(one, other)
