"""Where sentences end: what a long text is cut at."""

from __future__ import annotations

import re

#: Quotes and brackets that belong to the sentence before them.
_CLOSING = "”’」』﹂﹄｣）)］]｝}》〉】〗〕〞\"'"
_OPENING = "“‘「『﹁﹃｢（(［[｛{《〈【〖〔〝"
_CLOSE = f"[{re.escape(_CLOSING)}]"
#: A full stop of Latin script ends a sentence only before a Chinese character, a blank or what closes, and not after
#: a digit (3.5, or a heading's number); several of them are an ellipsis.
_LATIN = rf"(?<![0-9.])\.(?=\s|[\u4e00-\u9fff]|{_CLOSE})|(?<!\.)\.{{2,}}(?![.0-9])"
#: Marks that end a sentence, with all that closes behind them, and line ends.
_END = re.compile(rf"(?:(?:[。｡！？!?…．]+|{_LATIN}){_CLOSE}*)+|\n+")
#: Where a sentence is longer than all there is room for, these are the places that hurt least.
_PAUSE = re.compile(rf"[；;，,、：:]+{_CLOSE}*|\s+")
#: What no part of a text should begin or end with, if it can be helped: so typesetters have it.
_NOT_FIRST = frozenset(_CLOSING + "。｡！？!?…．.；;，,、：:—～·")
_NOT_LAST = frozenset(_OPENING)


def cut_at(text: str, most: int, start: int = 0) -> int:
    """Where to cut `text[start:]` so that at most `most` characters stand before the cut.

    The last end of a sentence in reach; else the last pause, else `most` characters on, or a little less where that
    would part a mark from what it belongs to. `most` is at least 1.
    """
    limit = start + most
    if len(text) <= limit:
        return len(text)
    for pattern in (_END, _PAUSE):
        end = 0
        # A match may go on beyond the limit: closing quotes are not parted from their sentence.
        for found in pattern.finditer(text, start, min(len(text), limit + most)):
            stop = found.end() - _opens(text, start, found)
            if stop > limit:
                break
            end = stop
        if end > start and text[start:end].strip():
            return end
    return _anywhere(text, start, limit)


def cut_from(text: str, least: int, most: int) -> int:
    """Where a text may begin that loses its first `least` characters or a few more, but not those from `most` on.

    The first end of a sentence from `least` on; else the first pause, else `least`.
    """
    if not least:
        return 0
    for pattern in (_END, _PAUSE):
        for found in pattern.finditer(text, 0, most):
            if (stop := found.end() - _opens(text, 0, found)) >= least:
                return stop
    return least


def sentences_around(text: str, first: int, last: int) -> tuple[int, int]:
    """Where the sentences that hold the characters from `first` to `last` begin and end."""
    start = 0
    for found in _END.finditer(text):
        stop = found.end() - _opens(text, 0, found)
        if stop <= first:
            start = stop
        elif stop >= last:
            return start, stop
    return start, len(text)


def _opens(text: str, start: int, found: re.Match[str]) -> bool:
    """Whether the straight quote at the end of a match opens what follows: then as many stand before it as close."""
    return found[0][-1] == '"' and text.count('"', start, found.end() - 1) % 2 == 0


def _anywhere(text: str, start: int, limit: int) -> int:
    """`limit`, or the nearest place before it where no mark is parted from what it belongs to."""
    cut = limit
    while cut > start and (text[cut] in _NOT_FIRST or text[cut - 1] in _NOT_LAST):
        cut -= 1
    return cut if text[start:cut].strip() else limit
