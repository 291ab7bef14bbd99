"""Where sentences end: what `chunk` cuts a long text at."""

from __future__ import annotations

import re

#: Marks that end a sentence, with the closing quotes and brackets that belong to it, and line ends. A full stop of
#: Latin script is one only before a Chinese character or a blank, and not after a digit (3.5, or a heading's number).
_END = re.compile(r"(?:[。！？!?…．]+|(?<![0-9.])\.(?=[\s\u4e00-\u9fff”’」』]))[”’」』）)》】〕\"']*|\n+")
#: Where a sentence is longer than all there is room for, these are the places that hurt least.
_PAUSE = re.compile(r"[；;，,、：:]+[”’」』）)》】〕\"']*|\s+")


def cut_at(text: str, most: int, start: int = 0) -> int:
    """Where to cut `text[start:]` so that at most `most` characters stand before the cut.

    The last end of a sentence in reach; else the last pause, else `most` characters on. `most` is at least 1.
    """
    limit = start + most
    if len(text) <= limit:
        return len(text)
    for pattern in (_END, _PAUSE):
        end = 0
        # A match may go on beyond the limit: closing quotes are not parted from their sentence.
        for found in pattern.finditer(text, start, min(len(text), limit + most)):
            if found.end() > limit:
                break
            end = found.end()
        if end > start and text[start:end].strip():
            return end
    return limit
