"""Which charts a card has: the ones of the page, and of the folder figures/ that README.md shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from curate.card.page_words import page_words
from curate.card.words import words
from curate.types import SPLITS
from jingtiao.both import Both, both, said
from jingtiao.charts import Bar, Chart, bars, histograms
from jingtiao.markdown import cell
from jingtiao.numbers import count, with_share

Card = dict[str, Any]

FOLDER = "figures"
#: Bars of a chart; the table beside it has the rest.
_MOST = 24
#: Sizes of groups that a chart shows.
_SIZES = 12


@dataclass(frozen=True)
class Figure:
    """A chart: its file's name, the part of the card it belongs to, and what it shows."""

    name: str
    part: str
    title: Both
    chart: Chart


def figures(card: Card) -> list[Figure]:
    """The charts that a card's figures are enough for."""
    found = [*_funnels(card), *_leaks(card), *_labels(card), *_clusters(card), *_lengths(card), *_tokens(card)]
    return [*found, *_words(card), *_shares(card)]


def figure_links(card: Card, lang: str) -> dict[str, list[str]]:
    """The figures of each part as Markdown images, for README.md."""
    found: dict[str, list[str]] = {}
    for one in figures(card):
        found.setdefault(one.part, []).append(f"![{cell(said(one.title, lang))}]({FOLDER}/{one.name}.svg)")
    return found


def _title(key: str, **values: object) -> Both:
    return page_words(key).fill(**values)


def split_word(split: str) -> Both:
    return both(lambda lang: words(lang)[split])


def step_word(step: str) -> Both | str:
    """What a step that no recipe lists is called; any other goes by its name."""
    own = {"read": "unreadable", "format": "unformattable"}
    return both(lambda lang: words(lang)[own[step]]) if step in own else step


def _splits(card: Card) -> list[str]:
    return [split for split in SPLITS if split in card["splits"]]


def _funnels(card: Card) -> list[Figure]:
    found = []
    for split in _splits(card):
        numbers = card["splits"][split]
        left = most = numbers["read"]
        rows = [Bar(both(lambda lang: words(lang)["read"]), left, count(left))]
        for entry in card["steps"]:
            gone, moved = sum(entry["reasons"].values()), entry.get("moved", 0)
            if entry["split"] != split or not (gone or moved):
                continue
            left += moved - gone
            most = max(most, left + gone)
            note = f"{moved:+,}" if moved else ""
            note += f" −{count(gone)}" if gone else ""
            rows.append(Bar(step_word(entry["step"]), left, f"{note.strip()}  →  {count(left)}", gone))
        if len(rows) > 1:
            rows.append(Bar(both(lambda lang: words(lang)["written"]), left, count(left)))
            title = _title("fig_funnel", split=split_word(split))
            found.append(Figure(f"funnel-{split}", "funnel", title, bars(rows, most)))
    return found


def _leaks(card: Card) -> list[Figure]:
    rows = []
    before, after = (card.get("leaks", {}).get(side, {}) for side in ("before", "after"))
    for split in SPLITS:
        for other in SPLITS:
            sides = [side.get(split, {}).get(other) for side in (before, after)]
            if not any(one and one["rows"] for one in sides):
                continue
            for key, one in zip(("fig_before", "fig_after"), sides, strict=True):
                if one:
                    label = _title(key, split=split_word(split), other=split_word(other))
                    note = with_share(one["rows"], one["of"])
                    # Shares of splits of different sizes are put on one scale.
                    share = round(10_000 * one["rows"] / one["of"]) if one["of"] else 0
                    rows.append(Bar(label, share, note, kind="gone"))
    return [Figure("leaks", "leaks", _title("fig_leaks"), bars(rows, 10_000))] if rows else []


def _labels(card: Card) -> list[Figure]:
    found = []
    for split in _splits(card):
        counts = card.get("labels", {}).get(split, {})
        total = sum(counts.values())
        if not any(n for label, n in counts.items() if label):
            continue
        rows = [
            Bar(f"{label}  {card['label_words'].get(label, '')}".strip(), n, with_share(n, total))
            for label, n in counts.items()
            if label
        ]
        title = _title("fig_labels", split=split_word(split))
        found.append(Figure(f"labels-{split}", "labels", title, bars(rows[:_MOST])))
    return found


def _clusters(card: Card) -> list[Figure]:
    found = []
    for split in _splits(card):
        sizes = list((card.get("duplicates", {}).get(split, {}).get("sizes") or {}).items())
        rows = [Bar(_title("fig_size", n=count(int(size))), n, count(n)) for size, n in sizes[:_SIZES]]
        if rows:
            title = _title("fig_clusters", split=split_word(split))
            found.append(Figure(f"clusters-{split}", "duplicates", title, bars(rows)))
    return found


def _lengths(card: Card) -> list[Figure]:
    """A chart a field, with a histogram for each split."""
    table = card.get("lengths", {})
    found = []
    for name in dict.fromkeys(name for split in _splits(card) for name in table.get(split, {})):
        told = {split: table[split][name] for split in _splits(card) if name in table.get(split, {})}
        rows = [
            (split_word(split), one["histogram"], [(p, one["chars"][p]) for p in ("p50", "p95")])
            for split, one in told.items()
            if "histogram" in one
        ]
        if rows:
            found.append(Figure(f"lengths-{name}", "lengths", _title("fig_lengths", field=name), histograms(rows)))
    return found


def _tokens(card: Card) -> list[Figure]:
    told = {entry["split"]: entry["tokens"] for entry in card["steps"] if entry.get("tokens", {}).get("histogram")}
    rows = [
        (split_word(split), told[split]["histogram"], [("✂", int(limit)) for limit in told[split]["answer_cut"]])
        for split in _splits(card)
        if split in told
    ]
    return [Figure("tokens", "tokens", _title("fig_tokens"), histograms(rows))] if rows else []


def _words(card: Card) -> list[Figure]:
    top = (card.get("segmentation") or {}).get("top")
    if not top:
        return []
    rows = [Bar(word, n, count(n)) for word, n in top.items()]
    return [Figure("words", "segmentation", _title("fig_words"), bars(rows))]


def _shares(card: Card) -> list[Figure]:
    """Of a mixture: how many of its rows come from each corpus."""
    corpora = card.get("mixture", {}).get("corpora", {})
    total = sum(one["written"] for one in corpora.values())
    rows = [Bar(name, one["written"], with_share(one["written"], total)) for name, one in corpora.items()]
    return [Figure("shares", "shares", _title("fig_shares"), bars(rows))] if rows else []
