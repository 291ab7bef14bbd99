"""Texts of a corpus as HTML, alone or two side by side: escaped, and kept apart from the page around them by `bdi`."""

from __future__ import annotations

import difflib

from jingtiao.both import escape


def text(value: object) -> str:
    """A text of the corpus."""
    return f'<bdi lang="zh">{escape(value)}</bdi>'


def marked(read: str, cleaned: str) -> tuple[str, str]:
    """Both texts with what was taken away (`del`) and what was put in (`ins`) marked."""
    head = _common(read, cleaned)
    tail = _common(read[head:][::-1], cleaned[head:][::-1])
    before, after = [escape(read[:head])], [escape(cleaned[:head])]
    old, new = read[head : len(read) - tail], cleaned[head : len(cleaned) - tail]
    for kind, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        equal = kind == "equal"
        before.append(escape(old[i:j]) if equal else _change("del", old[i:j]))
        after.append(escape(new[k:m]) if equal else _change("ins", new[k:m]))
    end = escape(read[len(read) - tail :])
    return f'<bdi lang="zh">{"".join(before)}{end}</bdi>', f'<bdi lang="zh">{"".join(after)}{end}</bdi>'


def _common(one: str, other: str) -> int:
    """Characters that two texts begin with alike."""
    short = min(len(one), len(other))
    return next((index for index in range(short) if one[index] != other[index]), short)


#: White space alone would not be seen as changed.
_SEEN = str.maketrans({" ": "␣", "\u3000": "□", "\n": "⏎\n", "\r": "␍", "\t": "⇥"})


def _change(tag: str, part: str) -> str:
    return f"<{tag}>{escape(part.translate(_SEEN))}</{tag}>" if part else ""
