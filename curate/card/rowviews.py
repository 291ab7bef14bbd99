"""Rows of a corpus as HTML. Whatever a row holds, it is text here: escaped, cut, and kept apart by `bdi`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from curate.card.page_words import page_words
from curate.card.rowlinks import row_link
from curate.formatting.prompt import turns
from jingtiao.both import Both, escape, prose
from jingtiao.marked import marked, text

Row = dict[str, Any]


def record(fields: Row | None) -> str:
    """A record's fields, one under the other."""
    if fields is None:
        return f'<p class="dim">{prose(page_words("not_chosen"))}</p>'
    if "raw" in fields:
        fields = {f"{fields.get('file')}:{fields.get('line')}": fields["raw"]}
    return _fields((name, _value(value)) for name, value in fields.items() if value not in (None, "", []))


def _fields(pairs: Iterable[tuple[str, str]]) -> str:
    told = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in pairs)
    return f"<dl>{told}</dl>" if told else "<p>–</p>"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"<ol>{''.join(f'<li>{text(item)}</li>' for item in value)}</ol>"
    return text(value)


def walk(row: Row) -> str:
    """A row as it was read, as it was cleaned, and the sample it became or why it did not."""
    read, cleaned = row["read"], row["cleaned"]
    if cleaned is None:
        columns = [_column("as_read", record(read))]
    elif read == cleaned:
        columns = [_column("as_read", record(read) + f'<p class="dim">{prose(page_words("unchanged"))}</p>')]
    else:
        names = [name for name in read if read[name] not in (None, "", []) or cleaned[name] not in (None, "", [])]
        pairs = {name: _marked_value(read[name], cleaned[name]) for name in names}
        columns = [
            _column(key, _fields((name, pair[side]) for name, pair in pairs.items()))
            for side, key in enumerate(("as_read", "as_cleaned"))
        ]
    if row["sample"] is not None:
        columns.append(_column("as_sample", sample(row["sample"])))
    return f'<div class="sides">{"".join(columns)}</div>'


def _column(key: str, body: str) -> str:
    return f'<div><p class="side">{prose(page_words(key))}</p>{body}</div>'


def sample(made: Row) -> str:
    """An instruction row as it is told to a model."""
    told = [
        f"<dt>{prose(page_words(role))}</dt><dd>{text(words) if words else prose(page_words('no_answer'))}</dd>"
        for role, words in turns(made)
    ]
    return f"<dl>{''.join(told)}</dl>"


def _marked_value(read: Any, cleaned: Any) -> tuple[str, str]:
    if isinstance(read, str) and isinstance(cleaned, str):
        return marked(read, cleaned)
    if isinstance(read, list) and isinstance(cleaned, list) and len(read) == len(cleaned):
        pairs = [_marked_value(one, other) for one, other in zip(read, cleaned, strict=True)]
        old, new = ("".join(f"<li>{pair[side]}</li>" for pair in pairs) for side in (0, 1))
        return f"<ol>{old}</ol>", f"<ol>{new}</ol>"
    return _value(read), _value(cleaned)


def member(row: Row, note: str | Both = "", like: Row | None = None, told: Collection[str] = ()) -> str:
    """A row with its id and what is said of it; of one whose fields are those of `like`, no more than that.

    `told`: the rows whose stories stand elsewhere on the page.
    """
    same = like is not None and row["fields"] == like["fields"]
    note = page_words("same_as_first") if same else note
    said = f' <span class="dim">{prose(note)}</span>' if note else ""
    body = "" if same else record(row["fields"])
    return f'<li><p class="id">{row_link(row["id"], told)}{said}</p>{body}</li>'
