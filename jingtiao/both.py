"""A text in Chinese and in English, and how HTML and SVG say it: both are there, and the page shows one of them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import NamedTuple

from jingtiao.markdown import visible

#: The languages of a page, the one that comes first where neither was asked for in front.
LANGUAGES = ("zh", "en")
#: The languages by the names that HTML has for them.
TAGS = {"zh": "zh-Hans", "en": "en"}


class Both(NamedTuple):
    """The same in each language of a card."""

    zh: str
    en: str

    def fill(self, **values: object) -> Both:
        """Both texts with their places filled; a value may itself be in two languages."""
        return both(lambda lang: getattr(self, lang).format(**{k: said(v, lang) for k, v in values.items()}))


def both(one: Callable[[str], str]) -> Both:
    """What a function of the language says in each."""
    return Both(*(one(lang) for lang in LANGUAGES))


def said(text: object, lang: str) -> str:
    return getattr(text, lang) if isinstance(text, Both) else str(text)


def escape(text: object) -> str:
    """A text for HTML and SVG: no markup in it, and what can't be seen or turns lines around shown by its number."""
    return html.escape(visible(str(text)))


def plain(markdown: str) -> str:
    """What a text that `markdown.cell` made says."""
    return html.unescape(markdown)


def prose(text: str | Both) -> str:
    """HTML of a sentence of the card's own, as Markdown has it: `code` in backticks, and what `cell` escaped."""
    return _in_both(text, _coded)


def value(text: str | Both) -> str:
    """HTML of a text as it is."""
    return _in_both(text, escape)


def _in_both(text: str | Both, show: Callable[[str], str]) -> str:
    """Where the languages differ, both are there."""
    if isinstance(text, Both) and text.zh != text.en:
        return "".join(
            f'<span class="{lang}" lang="{TAGS[lang]}">{show(said(text, lang))}</span>' for lang in LANGUAGES
        )
    return show(said(text, "zh"))


def _coded(text: str) -> str:
    parts = [escape(plain(part)) for part in re.split(r"`([^`]+)`", text)]
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
