"""A row's id on a page: a link to the place where its story stands, or to the part where it can be looked up.

A page can't run a command. Its part `look` holds the one that tells a row's whole story, and page.js fills in the id
that was clicked; without a script it stands there with a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from curate.card.page_words import page_words
from jingtiao.both import Both, escape, prose

#: The id of the part in which rows are looked up.
LOOK = "look"


def anchor(name: str) -> str:
    """The id of the element that tells the story of a row: of other characters than letters, digits, / and - each is
    written as its number, so that no two rows share one."""
    return "row-" + re.sub(r"[^A-Za-z0-9/-]", lambda found: f"_{ord(found[0]):x}_", name)


def row_link(name: str, told: Collection[str] = ()) -> str:
    """A row's id; `told` are the rows whose stories stand elsewhere on the page."""
    if name in told:
        return f'<a href="#{anchor(name)}"><code>{escape(name)}</code></a>'
    return f'<a class="look" href="#{LOOK}"><code>{escape(name)}</code></a>'


def look(runs: Iterable[tuple[Both | None, str | None]]) -> str:
    """The commands that tell a row's story, with what each asks and its run as a word of a shell.

    A page that lies in its run's folder has None for the run: page.js knows where it was opened from, so that no path
    of the machine it was made on is in it.
    """
    asked = []
    for title, run in runs:
        head = "" if title is None else f'<p class="side">{prose(title)}</p>'
        told = '<span class="run">RUN</span>' if run is None else escape(run)
        command = f'python -m curate explain {told} <span class="row">ID</span>'
        asked.append(
            f'{head}<div class="ask"><pre tabindex="0"><code>{command}</code></pre>'
            f'<button type="button" class="copy" aria-live="polite" hidden>'
            f"<span>{prose(page_words('copy'))}</span><span hidden>{prose(page_words('copied'))}</span></button></div>"
        )
    field = (
        f'<p class="search" hidden><label for="look-id">{prose(page_words("id"))}</label>'
        '<input type="text" id="look-id" autocomplete="off" spellcheck="false"></p>'
    )
    return field + "".join(asked)
