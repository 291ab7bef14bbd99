"""Text published with a space between all characters: is a file like that, and what did it say before?

Removing every space would glue Latin words together that were not spaced out, and keeping the spaces breaks
word segmentation; so the question is asked once a file, and the join looks at what stands on both sides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from operator import ne

#: How many texts of a file decide.
SAMPLE = 2000
#: Share of the deciding texts that must be spaced out.
SHARE = 0.95
#: Characters of a text that are looked at: how the first ones are spaced, all are.
_LOOK = 10_000

#: Compiled by `re` when first used: for most recipes that is never, and it takes milliseconds.
_HAN = "[㐀-䶿一-鿿豈-\ufaff\U00020000-\U0003ffff]"
#: A space that meant something: between Latin words (one of them longer than a letter), or a run of spaces
#: between Latin letters or digits. The last alternative takes every other run away.
_SPACES = re.compile(
    r"((?<=[^ ][A-Za-z0-9]) (?=[A-Za-z0-9])"
    r"|(?<=[A-Za-z0-9]) (?=[A-Za-z0-9][^ ])"
    r"|(?<=[A-Za-z0-9])  +(?=[A-Za-z0-9]))"
    r"| +"
)


def is_spaced(texts: Iterable[str]) -> bool:
    """Whether these texts (the first `SAMPLE` of a file) have a space between all characters.

    Only texts with two or more Han characters have a say: of those, 95 % must consist of single characters
    and runs of ASCII.
    """
    asked = spaced = 0
    for text in (text[:_LOOK] for text in texts):
        if len(re.findall(_HAN, text)) < 2:
            continue
        asked += 1
        spaced += all(len(token) <= 1 or token.isascii() for token in text.split(" "))
    return asked > 0 and spaced >= SHARE * asked


def join_spaced(text: str) -> str:
    """The text without the spaces between its characters: `我 用 C E O` -> `我用CEO`, `hello world` stays."""
    if " " not in text:
        return text
    odd = text[1::2]
    if len(text) % 2 and odd.isspace() and odd == " " * len(odd):
        plain = text[::2]
        if " " not in plain:  # the usual case: one character, one space, one character
            return plain
    return _SPACES.sub(lambda found: " " if found[1] else "", text)


def join_all(texts: list[str], counts: Counter[str]) -> list[str]:
    """Every text joined; `spaced_joined` counts those that changed."""
    joined = [join_spaced(text) for text in texts]
    counts["spaced_joined"] += sum(map(ne, joined, texts))
    return joined


def space_out(text: str) -> str:
    """A space between all characters, as such corpora are published (for samples and tests)."""
    return " ".join(text)
