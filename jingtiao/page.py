"""The frame of a page for people: its dress, its two languages, its contents; and how it draws tables and charts.

A page is one file that opens from disk without a network. Nothing of a row is ever markup or script: every text is
escaped, and the page's policy lets no other script run and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jingtiao.both import TAGS, Both, escape, prose, value
from jingtiao.charts import Chart

_HERE = Path(__file__).parent
Text = str | Both

#: What the frame itself says. A page adds `made_by`.
WORDS = {
    "language": Both("语言", "Language"),
    "contents": Both("目录", "Contents"),
    "skip": Both("跳到正文", "Skip to the text"),
}


@lru_cache(maxsize=4)
def compiled(template: Path) -> Any:
    """A page's template, which fills the blocks `head` and `main` of frame.html.j2.

    As much work as drawing a page with it, but it can be done beforehand.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined

    texts = {"frame.html.j2": _read("frame.html.j2"), "page": template.read_text(encoding="utf-8")}
    frame = Environment(
        loader=DictLoader(texts), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True
    )
    return frame.get_template("page")


def draw(
    template: Path,
    lang: str,
    title: str,
    sections: Sequence[tuple[str, str]],
    t: Callable[[str], Both],
    style: str = "",
    **given: Any,
) -> str:
    """The page, with the language `lang` (zh or en) shown first.

    sections: ids, and the keys of their headings. t: the words of a key in both languages; in the template, `t` gives
    them as HTML. style: rules that this page needs beside the common ones. given: what else the template asks for.
    """
    style, script = _read("page.css") + style, _read("page.js")
    return compiled(template).render(
        t=lambda key, **values: safe(prose(t(key).fill(**values))),
        lang=lang,
        tags=TAGS,
        title=safe(escape(title)),
        style=safe(style),
        script=safe(script),
        policy=f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'",
        sections=sections,
        **given,
    )


@lru_cache(maxsize=3)
def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def safe(html: str) -> Any:
    """HTML that the template takes as it is."""
    from markupsafe import Markup

    return Markup(html)


def table(
    name: str,
    caption: Text,
    head: Sequence[Text],
    rows: Sequence[Sequence[Text]],
    texts: int = 1,
    links: Sequence[Sequence[str | None]] | None = None,
) -> str:
    """A table whose caption has the id table-`name` and is only heard. The first `texts` columns hold text, the others
    numbers, right-aligned; `links` says for each cell the id that it leads to."""

    def cells(row: Sequence[Text], tag: str, targets: Sequence[str | None]) -> str:
        made = []
        for index, (cell, target) in enumerate(zip(row, targets, strict=True)):
            scope = ' scope="col"' if tag == "th" else ' scope="row"'
            kind = tag if tag == "th" or index else "th"
            linked = f'<a href="#{target}">{value(cell)}</a>' if target else value(cell)
            number = ' class="n"' if index >= texts else ""
            made.append(f"<{kind}{scope if kind == 'th' else ''}{number}>{linked}</{kind}>")
        return f"<tr>{''.join(made)}</tr>"

    none: list[str | None] = [None] * len(head)
    body = "".join(cells(row, "td", to) for row, to in zip(rows, links or [none] * len(rows), strict=True))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="table-{name}"><table>'
        f'<caption id="table-{name}" class="unseen">{prose(caption)}</caption>'
        f"<thead>{cells(head, 'th', none)}</thead><tbody>{body}</tbody></table></div>"
    )


def figure(name: str, title: Text, chart: Chart) -> str:
    """A chart under its title, which has the id fig-`name`."""
    return f'<figure>{chart.inline(f"fig-{name}")}<figcaption id="fig-{name}">{prose(title)}</figcaption></figure>'


def heard(name: str, chart: Chart) -> str:
    """The bars of a chart as a list that only screen readers find, where no table has its numbers."""
    rows = "".join(f"<li>{value(bar.label)}: {value(bar.note)}</li>" for bar in chart.bars)
    return f'<ul class="unseen" aria-labelledby="fig-{name}">{rows}</ul>'
