"""A diff of two runs as a page, drawn from what `diff --json` prints and nothing else, in the dress of card.html."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from curate.card.figures import split_word
from curate.card.rowlinks import look
from curate.diff import page_tables as tables
from curate.diff.examples import EXAMPLES
from curate.diff.page_rows import Stories
from curate.diff.page_tables import RUNS
from curate.diff.page_words import page_words, why_words
from curate.types import UserError
from jingtiao import page as frame
from jingtiao.both import Both, prose, said
from jingtiao.markdown import visible
from jingtiao.numbers import count
from jingtiao.page import safe

Found = dict[str, Any]

_TEMPLATE = Path(__file__).with_name("page.html.j2")
#: What a page of ours begins with, so that it may be replaced by a newer one.
_MARK = "<!-- curate diff -->"
_GROUPS = ("lost", "added", "moved", "changed", "resized")


def check_place(path: Path) -> None:
    """Raise UserError where a page would take the place of something else, or has no folder to stand in."""
    folder = path.absolute().parent
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path}: is no name of a page; call it {path.name}.html")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file with --page")
    if not folder.is_dir():
        raise UserError(f"{path}: its folder does not exist; make it first, or name another")
    if (folder / "manifest.json").exists():
        raise UserError(f"{path}: lies in a run folder, which holds that run alone; name a file elsewhere")
    if path.exists() and not path.read_bytes().startswith(_MARK.encode()):
        raise UserError(f"{path}: is there already, and no page of a diff; name another file")


def write_page(found: Found, path: Path, lang: str) -> None:
    """Write the page of a diff, whole or not at all; what was there must be an older one (see `check_place`)."""
    passing = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        passing.write_text(f"{_MARK}\n{draw_page(found, lang)}", encoding="utf-8", newline="\n")
        passing.replace(path)
    finally:
        passing.unlink(missing_ok=True)


def draw_page(found: Found, lang: str) -> str:
    """The page, with the language `lang` (zh or en) shown first. `found`: what `diff_runs` returns."""
    page = _Page(found)
    sections = [(name, name) for name in page.parts()]
    title = said(page_words("page_title").fill(first=page.name("first"), second=page.name("second")), lang)
    return frame.draw(_TEMPLATE, lang, title, sections, page_words, page=page)


class _Page:
    """What the template asks for, each as safe HTML."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self.rows: Found = found.get("rows", {})
        self.stories = Stories(self.rows, _GROUPS)
        self.capped = EXAMPLES

    def parts(self) -> list[str]:
        """The sections that there is something to say in."""
        rows = self.rows
        told: dict[str, Any] = {"runs": True, "made": True}
        if rows:
            told |= {"rows": True, "why": rows["lost"] or rows["added"], "fields": rows["fields"]}
            told |= {"figures": self.found["figures"], "steps": self.found["rejects"]}
            told |= {"neither": any(rows["rejected"].values()), "examples": self.stories.any, "look": self.stories.any}
        return [name for name, there in told.items() if there]

    def name(self, run: str) -> str:
        """A run's folder, shown as `escape` would."""
        path = Path(self.found[run]["path"])
        return visible(path.name or str(path))

    def key_figures(self) -> list[tuple[str, Any, str]]:
        """The few numbers at the head of the page: the number, what of, and `warn` where rows are gone."""
        told = [(count(self._sum(run)), _t(f"samples_{run}"), "") for run in RUNS]
        for name, key in (("lost", "lost"), ("added", "added"), ("moved", "moved_here"), ("changed", "changed")):
            n = self._sum(key)
            told.append((count(n), _t(f"n_{name}"), "warn" if n and name == "lost" else ""))
        return told

    def _sum(self, name: str) -> int:
        return sum(told[name] for told in self.rows["splits"].values())

    # ---- what a reader should know first

    def findings(self) -> list[Any]:
        told = self._findings() if self.rows else [page_words("found_same")]
        return [safe(prose(one)) for one in told]

    def _findings(self) -> list[Both]:
        rows = self.rows
        if rows["common"]:
            told = [page_words("found_common").fill(n=count(rows["common"]), same=count(rows["same"]))]
        else:
            told = [page_words("no_common")]
        for name in ("lost", "added"):
            sums: Counter[str] = Counter()
            for group in rows[name]:
                sums[group["why"]] += group["rows"]
            for why, n in sums.most_common(1):
                filled = {"n": count(sums.total()), "why": why_words(name, why), "rows": count(n)}
                told.append(page_words(f"found_{name}").fill(**filled))
        if n := self._sum("moved_here"):
            told.append(page_words("found_moved").fill(n=count(n)))
        if n := self._sum("changed"):
            kinds = [page_words(f"short_{one['kind']}").fill(n=count(one["rows"])) for one in rows["changed"]]
            listed = Both("、".join(kind.zh for kind in kinds), ", ".join(kind.en for kind in kinds))
            told.append(page_words("found_changed").fill(n=count(n), kinds=listed))
        if n := self._sum("resized"):
            told.append(page_words("found_resized").fill(n=count(n)))
        if len(told) == 1 and rows["common"] == rows["same"]:
            told.append(page_words("found_rejects"))
        return told

    # ---- tables and charts

    def runs(self) -> Any:
        return safe(tables.runs(self.found))

    def made(self) -> Any:
        return safe(tables.made(self.found["differs"])) or _t("made_none")

    def splits(self) -> Any:
        return safe(tables.splits(self.rows["splits"]))

    def why(self) -> Any:
        return safe(tables.why(self.rows))

    def fields(self) -> Any:
        return safe(tables.fields(self.rows["fields"]))

    def figures(self) -> Any:
        return safe(tables.figures(self.found["figures"]))

    def steps(self) -> Any:
        return safe(tables.steps(self.found["rejects"]))

    def neither(self) -> Any:
        return safe(tables.neither(self.rows["rejected"]))

    # ---- rows

    def groups(self) -> list[tuple[str, list[Any]]]:
        """What became of rows, each with its groups and the rows that are shown of them."""
        names = [name for name in _GROUPS if self.rows[name]]
        return [(name, [self._group(name, index) for index in range(len(self.rows[name]))]) for name in names]

    def _group(self, name: str, index: int) -> dict[str, Any]:
        group = self.rows[name][index]
        shown = len(group["examples"])
        return {
            "anchor": tables.group_anchor(name, index),
            "title": safe(prose(_title(name, group))),
            "shown": _t("shown_of", shown=shown, n=count(group["rows"])),
            "rows": [safe(self.stories.example(name, index, number)) for number in range(shown)],
        }

    def look(self) -> Any:
        """Where a row is looked up: in either run, whose folder is named as it was on the command line."""
        words = [shlex.quote(visible(self.found[run]["path"])) for run in RUNS]
        return safe(look((page_words(f"in_{run}"), word) for run, word in zip(RUNS, words, strict=True)))


def _title(name: str, group: Found) -> Both:
    """What the rows of a group have in common."""
    if name == "moved":
        return page_words("moved_way").fill(before=split_word(group["from"]), after=split_word(group["to"]))
    if name == "changed":
        return page_words(f"kind_{group['kind']}")
    if name == "resized":
        return split_word(group["split"])
    return tables.joined(split_word(group["split"]), why_words(name, group["why"]))


def _t(key: str, **values: object) -> Any:
    return safe(prose(page_words(key).fill(**values)))
