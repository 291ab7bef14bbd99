"""A card.html as a reader sees it in one language: its tables cell by cell, its charts, its ids and links."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_VOID = {"meta", "input", "br", "link", "rect", "line"}


class Page(HTMLParser):
    """`tables` by the id of their caption, rows of cells, the head first; `text` is all that is shown."""

    def __init__(self, html: str, lang: str = "zh") -> None:
        super().__init__(convert_charrefs=True)
        self._hidden = {"zh": "en", "en": "zh"}[lang]
        self._open: list[tuple[str, bool]] = []
        self._table: list[list[str]] | None = None
        self.tables: dict[str, list[list[str]]] = {}
        self.hints: dict[str, list[str]] = {}
        self._chart = ""
        self._hint = False
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.figures: list[tuple[str, str]] = []
        self._text: list[str] = []
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return "".join(self._text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        hidden = bool(self._open and self._open[-1][1]) or self._hidden in (given.get("class") or "").split()
        if tag not in _VOID or tag == "rect":
            self._open.append((tag, hidden or tag in ("style", "script")))
        self.tags.append(tag)
        if "id" in given:
            self.ids.append(given["id"] or "")
        if (href := given.get("href") or "").startswith("#"):
            self.links.append(href[1:])
        if tag == "svg":
            self._chart = (given.get("aria-labelledby") or "").removeprefix("fig-")
            self.hints[self._chart] = []
        if tag == "title" and self._chart:
            self._hint = True
        if tag == "table":
            self._table = []
        if tag == "caption":
            self.tables[(given.get("id") or "").removeprefix("table-")] = self._table or self._new()
        if tag == "tr" and self._table is not None:
            self._table.append([])
        if tag in ("th", "td") and self._table:
            self._table[-1].append("")

    def _new(self) -> list[list[str]]:
        self._table = []
        return self._table

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1][0] == tag, f"</{tag}> closes {self._open[-1:]}"
        self._open.pop()
        if tag == "table":
            self._table = None
        if tag == "svg":
            self._chart = ""
        if tag == "title":
            self._hint = False

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][1]:
            return
        if self._hint:
            self.hints[self._chart].append(data)
            return
        self._text.append(data)
        if self._table and self._table[-1] and self._open[-1][0] != "tr":
            self._table[-1][-1] += data


def number(cell: str) -> int:
    """The first number of a cell: `1,366 (14.2 %)` is 1366."""
    found = re.search(r"-?[\d,]+", cell)
    assert found, cell
    return int(found[0].replace(",", ""))


#: A number by itself: not a part of `p95` or `F1`.
NUMBER = re.compile(r"(?<![A-Za-z\d.])\d+(?:,\d{3})*(?:\.\d+)?(?![A-Za-z\d])")


#: Elements that hold rows of the corpus, names, or the page's frame.
_NO_FIGURES = {"bdi", "code", "h1", "head", "nav", "footer", "fieldset", "thead", "caption"}


class Numbers(Page):
    """Every number that a page shows in one language, by its place: `numbers["table leaks"]`, `numbers["findings"]`.

    A table's numbers are those below its head. Left out is what is no figure of the card's own: rows of the corpus and
    their ids, names in `code`, the recipe's words about the corpus and about its metrics, and the navigation.
    """

    def __init__(self, html: str, lang: str = "zh") -> None:
        self.numbers: dict[str, list[str]] = {}
        self._section = ""
        self._classes: list[tuple[str, str]] = []
        self._part: list[str] = []
        super().__init__(html, lang)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        super().handle_starttag(tag, attrs)
        if tag == "section":
            self._section = given.get("aria-labelledby") or ""
        if tag not in _VOID or tag == "rect":
            self._classes.append((tag, given.get("class") or ""))

    def handle_endtag(self, tag: str) -> None:
        super().handle_endtag(tag)
        self._classes.pop()

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        if (self._open and self._open[-1][1]) or not (place := self._place()):
            return
        found = NUMBER.findall(data)
        if found:
            self.numbers.setdefault(place, []).extend(found)

    def _place(self) -> str:
        tags = [tag for tag, _ in self._classes]
        classes = {name for _, kinds in self._classes for name in kinds.split()}
        if not _NO_FIGURES.isdisjoint(tags) or {"eyebrow", "id", "side", "sides", "members", "more"} & classes:
            return ""
        if self._section in ("about", "scoring"):
            return ""
        if self._chart:
            return f"{'hints' if self._hint else 'chart'} {self._chart}"
        if "table" in tags:
            return f"table {next(reversed(self.tables))}"
        inside = [tag for tag in tags if tag != "span"] or ["page"]
        return f"{self._section or 'head'} {inside[-1]}"
