"""A run's card.html, drawn from card.json and nothing else: one file that opens from disk, in two languages.

Tables are those of README.md, cell by cell, so that both say the same.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

from curate.card.draw import card_parts
from curate.card.figures import Figure, figures, split_word
from curate.card.meanings import meaning
from curate.card.page_words import page_words
from curate.card.rowlinks import anchor, look, row_link
from curate.card.rowviews import member, sample, walk
from curate.card.words import words
from curate.tables import funnel
from curate.tally import add
from jingtiao import page as frame
from jingtiao.both import LANGUAGES, Both, both, escape, plain, prose, said, value
from jingtiao.markdown import Table
from jingtiao.numbers import count, percent
from jingtiao.page import heard, safe

Card = dict[str, Any]

_TEMPLATE = Path(__file__).with_name("page.html.j2")
#: The sections in their order: the id, the words of the heading, and the part that must be there.
_SECTIONS = (
    ("about", "about", "about"),
    ("corpora", "corpora", "corpora"),
    ("shares", "shares", "shares"),
    ("across", "across", "across"),
    ("funnel", "funnel", "funnel"),
    ("leaks", "leaks", "leaks"),
    ("labels", "labels", "labels"),
    ("lengths", "lengths", "lengths"),
    ("tokens", "tokens", "tokens"),
    ("duplicates", "duplicates", "duplicates"),
    ("walk", "walk", "walk"),
    ("changes", "changes", "changes"),
    ("pii", "pii", "pii"),
    ("segmentation", "segmentation", "segmentation"),
    ("templates", "templates", "templates"),
    ("flags", "flags", "flags"),
    ("rejects", "rejects", "rejects"),
    ("look", "look", "look"),
    ("scoring", "scoring", "metrics"),
    ("provenance", "provenance", "sources"),
)


def draw_page(card: Card, lang: str) -> str:
    """The page, with the language `lang` (zh or en) shown first."""
    page = _Page(card)
    sections = [(name, heading) for name, heading, part in _SECTIONS if page.has(part)]
    title = said(page_words("page_title").fill(title=card["recipe"]["title"]), lang)
    return frame.draw(_TEMPLATE, lang, title, sections, page_words, page=page)


def prepare() -> None:
    """Compile the template beforehand."""
    frame.compiled(_TEMPLATE)


class _Page:
    """What the template asks for, each as safe HTML."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.examples: Card = card.get("examples", {})
        parts = _mixture_parts if "mixture" in card else card_parts
        self._parts = {lang: parts(card, _words(card, lang), partial(meaning, lang=lang)) for lang in LANGUAGES}
        self._told = _told(self.examples)
        self._figures: dict[str, list[Figure]] = {}
        for figure in figures(card):
            self._figures.setdefault(figure.part, []).append(figure)

    def has(self, part: str) -> bool:
        if part in _EVEN_EMPTY and part in self._parts["zh"]:
            return True
        own = {"walk": self.examples.get("rows"), "pii": self._details(), "look": self.examples}
        return bool(own[part] if part in own else self._parts["zh"].get(part))

    # ---- texts

    def both(self, part: str) -> Any:
        """A part that is a sentence."""
        return safe(prose(both(lambda lang: self._parts[lang][part])))

    def sentences(self, part: str) -> list[Any]:
        """A part that is a list of sentences."""
        pairs = zip(*(self._parts[lang][part] for lang in LANGUAGES), strict=True)
        return [safe(prose(Both(*pair))) for pair in pairs]

    def title(self) -> Any:
        return safe(escape(self.card["recipe"]["title"]))

    def about(self) -> list[tuple[Any, Any]]:
        """Labels and values of what the corpus is."""
        pairs = zip(*(self._parts[lang]["about"] for lang in LANGUAGES), strict=True)
        told = []
        for zh, en in pairs:
            link = re.fullmatch(r"<(https?://[^<>\s\"']+)>", zh[1])
            shown = value(Both(plain(zh[1]), plain(en[1])))
            if link:
                shown = f'<a href="{escape(link[1])}" rel="noreferrer">{escape(link[1])}</a>'
            told.append((safe(prose(Both(zh[0], en[0]))), safe(shown)))
        return told

    def key_figures(self) -> list[tuple[str, Any, str]]:
        """The few numbers at the head of the page: the number, what of, and `warn` where it speaks of a fault."""
        splits = self.card["splits"].values()
        told: list[tuple[str, Any, str]] = [
            (count(sum(one[key] for one in splits)), _t(f"rows_{key}"), "") for key in ("read", "written", "rejected")
        ]
        repeated = self.card.get("duplicates", {}).get("train")
        if repeated:
            told.append((percent(repeated["rows"], repeated["of"]), _t("rows_repeated"), ""))
        for split, cells in self.card.get("leaks", {}).get("before", {}).items():
            if one := cells.get("train"):
                kind = "warn" if one["rows"] else ""
                told.append((percent(one["rows"], one["of"]), _t("rows_leaked", split=split_word(split)), kind))
        return told

    # ---- tables and charts

    def table(self, part: str, links: str = "") -> Any:
        """A part that is a table. `links`: "steps" or "reasons", where its numbers lead to rejects."""
        zh, en = (self._parts[lang][part] for lang in LANGUAGES)
        return safe(self._table(part, zh, en, links)) if isinstance(zh, Table) else safe("")

    def _table(self, name: str, zh: Table, en: Table, links: str = "", number: str = "") -> str:
        """`name` is the part that the table belongs to, `number` tells several of one part from each other."""

        head, *rows = (
            [Both(*pair) for pair in zip(a, b, strict=True)]
            for a, b in zip([zh.head, *zh.rows], [en.head, *en.rows], strict=True)
        )
        caption = page_words(_CAPTIONS.get(name, name))
        return frame.table(f"{name}{number}", caption, head, rows, zh.texts, self._targets(links, zh))

    def _targets(self, links: str, table: Table) -> list[list[str | None]]:
        """Where each cell leads."""
        none: list[str | None] = [None] * len(table.head)
        shown = {(group["step"], group["reason"]) for group in self.examples.get("rejects", ())}
        steps = {step for step, _ in shown}
        if links == "steps":
            names = [_STEPS.get(name, name) for name in funnel(self.card)[0][1:]]
            pairs = zip(names, table.rows, strict=True)
            return [
                [_anchor(name) if name in steps and cell.startswith("-") else None for cell in row]
                for name, row in pairs
            ]
        if links == "reasons":
            return [
                [
                    _anchor(row[0], row[1]) if (row[0], row[1]) in shown and i >= table.texts and cell != "0" else None
                    for i, cell in enumerate(row)
                ]
                for row in table.rows
            ]
        return [none for _ in table.rows]

    def drawn(self, part: str, links: str = "") -> Any:
        """Charts and the table of the same figures; a single chart stands beside it."""
        told = self.charts(part) + self.table(part, links)
        return safe(f'<div class="beside">{told}</div>') if len(self._figures.get(part, ())) == 1 else told

    def label_tables(self) -> list[Any]:
        """The labels, or of a mixture those of each corpus."""
        if isinstance(self._parts["zh"]["labels"], Table):
            return [self.drawn("labels")]
        pairs = zip(*(self._parts[lang]["labels"] for lang in LANGUAGES), strict=True)
        return [
            safe(
                f"<h3>{escape(plain(zh['name']))}</h3>"
                + self._table("labels", zh["table"], en["table"], number=str(i))
            )
            for i, (zh, en) in enumerate(pairs)
        ]

    def charts(self, part: str) -> Any:
        """The charts of a part, side by side where there is room."""
        made = [
            frame.figure(one.name, one.title, one.chart) + (heard(one.name, one.chart) if part in _ONLY_DRAWN else "")
            for one in self._figures.get(part, ())
        ]
        return safe(f'<div class="charts">{"".join(made)}</div>' if made else "")

    # ---- rows

    def conflicts(self) -> list[Any]:
        return [
            safe(f'<ul class="sides">{"".join(member(row, told=self._told) for row in group)}</ul>')
            for group in self.examples.get("conflicts", ())
        ]

    def clusters(self) -> list[tuple[Any, Any]]:
        """The largest groups: a heading, and the rows."""
        told = []
        for one in self.examples.get("clusters", ()):
            head = page_words(f"group_{one['step']}").fill(split=split_word(one["split"]), n=count(one["rows"]))
            kept = one["kept"]
            first = member(kept, page_words("stays"), told=self._told)
            rows = [first, *(member(row, like=kept, told=self._told) for row in one["members"])]
            left = one["rows"] - len(rows)
            more = f'<p class="dim">{prose(page_words("more_members").fill(n=count(left)))}</p>' if left else ""
            told.append((safe(prose(head)), safe(f'<ul class="members">{"".join(rows)}</ul>{more}')))
        return told

    def walks(self) -> list[Any]:
        told = []
        for row in self.examples.get("rows", ()):
            note = ""
            if row["step"]:
                reason = both(lambda lang, row=row: meaning(row["reason"], lang))
                words = page_words("removed_by").fill(step=row["step"], reason=reason)
                note = f' <span class="gone">{prose(words)}</span>'
            mine = self._told[row["id"]] == "walk"
            head = f'<p class="id">{row_link(row["id"], () if mine else self._told)}{note}</p>'
            told.append(safe(f'<li class="walk"{_place(row) if mine else ""}>{head}{walk(row)}</li>'))
        return told

    def templates(self) -> list[tuple[str, str, Any]]:
        """Each template's name, how many samples it made, and one of them."""
        shown = self.examples.get("templates", {})
        return [
            (name, count(n), safe(f'<p class="id">{row_link(shown[name]["id"], self._told)}</p>{sample(shown[name])}'))
            for name, n in self.card["templates"].items()
            if name in shown
        ]

    def rejects(self) -> list[dict[str, Any]]:
        """The steps that rejected rows which are shown, each with its reasons."""
        steps: dict[str, list[dict[str, Any]]] = {}
        for group in self.examples.get("rejects", ()):
            steps.setdefault(group["step"], []).append(group)
        order = list(dict.fromkeys(entry["step"] for entry in self.card["steps"]))
        return [
            {"step": step, "anchor": _anchor(step), "reasons": [self._reason(group) for group in steps[step]]}
            for step in sorted(steps, key=lambda step: order.index(step) if step in order else len(order))
        ]

    def _reason(self, group: Card) -> dict[str, Any]:
        step, reason, rows = group["step"], group["reason"], group["rows"]
        n = sum(e["reasons"].get(reason, 0) for e in self.card["steps"] if e["step"] == step)
        return {
            "anchor": _anchor(step, reason),
            "name": reason,
            "meaning": safe(prose(both(lambda lang: meaning(reason, lang)))),
            "shown": _t("shown_of", shown=len(rows), n=count(n)),
            "rows": [safe(self._reject(row, _anchor(step, reason))) for row in rows],
        }

    def _reject(self, row: Card, group: str) -> str:
        """A rejected row beside the one that caused it; where it is the place of the row's story, it says so."""
        mine = self._told[row["id"]] == group
        score = "" if row.get("score") is None else page_words("alike").fill(score=f"{row['score']:.2f}")
        sides = member(row, score, told=() if mine else self._told)
        if row.get("kept_id"):
            other = {"id": row["kept_id"], "fields": row["kept"]}
            sides += member(other, page_words("because_of"), told=self._told)
        return f'<ul class="sides reject"{_place(row) if mine else ""}>{sides}</ul>'

    def look(self) -> Any:
        """Where a row is looked up that has no story on the page."""
        return safe(look([(None, None)]))

    def _details(self) -> dict[str, int]:
        """Places that redact_pii found, by kind."""
        found: dict[str, int] = {}
        for entry in self.card["steps"]:
            if entry["step"] == "redact_pii":
                add(found, entry["changes"])
        return found

    def details(self) -> Any:
        """Personal details by kind."""
        zh, en = (
            Table.of(
                [said(page_words("kind"), lang), said(page_words("places"), lang)],
                [[meaning(kind, lang), count(n)] for kind, n in self._details().items()],
            )
            for lang in LANGUAGES
        )
        return safe(self._table("pii", zh, en))

    def unknown_words(self) -> Any:
        """How many words the dictionary doesn't have."""
        oov = (self.card.get("segmentation") or {}).get("oov")
        if not oov:
            return ""
        return _t("oov", share=percent(oov["words"], oov["of"]), rows=count(oov["words"]), of=count(oov["of"]))


#: Sections that say so where there is nothing to show.
_EVEN_EMPTY = ("leaks", "changes", "rejects", "across")
#: Parts whose bars stand in no table.
_ONLY_DRAWN = ("duplicates", "segmentation")
#: What stands above a table, where it isn't its part's own heading.
_CAPTIONS = {"tokens_cut": "tokens", "sources": "sources_files"}
#: The funnel's columns by the steps they are of.
_STEPS = {"unreadable": "read", "unformattable": "format"}


def _told(examples: Card) -> dict[str, str]:
    """The rows whose stories stand on the page, and where: the anchor of the rejects they are among, or "walk"."""
    told: dict[str, str] = {}
    for group in examples.get("rejects", ()):
        for row in group["rows"]:
            told.setdefault(row["id"], _anchor(group["step"], group["reason"]))
    for row in examples.get("rows", ()):
        told.setdefault(row["id"], "walk")
    return told


def _place(row: Card) -> str:
    return f' id="{anchor(row["id"])}"'


def _anchor(*names: str) -> str:
    return "-".join(["rejects", *(re.sub(r"[^\w]+", "-", name) for name in names)])


def _words(card: Card, lang: str) -> dict[str, str]:
    if "mixture" not in card:
        return words(lang)
    from curate.card.mixture_words import TEXTS

    return {**words(lang), **{key: texts[LANGUAGES.index(lang)] for key, texts in TEXTS.items()}}


def _mixture_parts(card: Card, w: dict[str, str], says: Any) -> dict[str, Any]:
    from curate.card.mixture import mixture_parts

    return mixture_parts(card, w, says)


def _t(key: str, **values: object) -> Any:
    return safe(prose(page_words(key).fill(**values)))
