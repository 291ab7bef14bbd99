"""The README.md of a mixture, drawn from its card.json: shares, the corpora, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from curate.card import draw
from curate.card.figures import figure_links
from curate.card.files import source_table
from curate.card.frontmatter import front_matter
from curate.card.mixture_words import TEXTS
from curate.card.words import words
from curate.types import SPLITS
from jingtiao.both import LANGUAGES
from jingtiao.markdown import cell, fence, line, table
from jingtiao.numbers import count as _n
from jingtiao.numbers import with_share as _with_share

Card = dict[str, Any]
Words = dict[str, str]

TEMPLATE = Path(__file__).with_name("mixture.md.j2")


def draw_mixture(card: Card, features: list[dict[str, Any]], lang: str, says: Callable[[str], str]) -> str:
    """The data card of a mixture as Markdown; arguments as in `draw_readme`, and what reasons and metrics mean."""
    w = {**words(lang), **{key: texts[LANGUAGES.index(lang)] for key, texts in TEXTS.items()}}
    front = front_matter(card, features, files="examples" in card)
    figures = figure_links(card, lang)
    return draw.prepare(TEMPLATE).render(front=front, w=w, figures=figures, **mixture_parts(card, w, says))


def mixture_parts(card: Card, w: Words, says: Callable[[str], str]) -> dict[str, Any]:
    """What a mixture's card says in one language, as `draw.card_parts`."""
    recipe = card["recipe"]
    told = {**w, "moved": w["repeats"]}
    return {
        "title": line(recipe["title"]),
        "intro": w["mixture_intro"].format(n=len(_corpora(card)), **{key: recipe[key] for key in ("name", "version")}),
        "findings": _findings(card, w),
        "how": _how(card, w),
        "shares": _shares(card, w),
        "corpora": _about(card, w),
        "rows": _rows(card, w),
        "across": _across(card, w),
        "compared": _compared(card, w),
        "funnel": draw.funnel_table(card, told),
        "labels": _labels(card, w),
        "lengths": _lengths(card, w),
        "flags": draw.said_table(card, w, says, "flags"),
        "templates": _templates(card, w),
        "template_examples": draw.template_examples(card),
        "rejects": draw.said_table(card, w, says, "reasons"),
        "reject_examples": draw.reject_examples(card, w),
        "sources": source_table(card["sources"], w),
        "metrics": [f"`{name}` {says(name)}" for name in card["metrics"]],
        "reproduce": fence(card["reproduce"], limit=10_000, language="bash"),
        "reproduce_note": draw.reproduce_note(card, w),
    }


def _corpora(card: Card) -> dict[str, dict[str, Any]]:
    return card["mixture"]["corpora"]


def _findings(card: Card, w: Words) -> list[str]:
    splits = card["splits"].values()
    total = {key: _n(sum(counts[key] for counts in splits)) for key in ("read", "written", "rejected")}
    total["train"] = _n(card["mixture"]["total"])
    found = [w["found_mixture"].format(n=len(_corpora(card)), **total)]
    steps = {"duplicates": "exact_dedup", "leaks": "leak_check", "conflicts": "label_conflict"}
    shared = {key: draw.count_of(card, step, "reasons", "train") for key, step in steps.items()}
    numbers = {key: _n(n) for key, n in shared.items()}
    found.append(w["found_shared"].format(**numbers) if any(shared.values()) else w["found_apart"])
    if repeats := sum(corpus["repeats"] for corpus in _corpora(card).values()):
        found.append(w["found_repeats"].format(rows=_n(repeats)))
    return found


def _how(card: Card, w: Words) -> str:
    mixture = card["mixture"]
    total = _n(mixture["total"])
    if "temperature" in mixture:
        return w["by_temperature"].format(total=total, temperature=f"{mixture['temperature']:g}")
    weighted = any("weight" in corpus for corpus in _corpora(card).values())
    return w["by_weights" if weighted else "by_caps"].format(total=total)


def _shares(card: Card, w: Words) -> str:
    extra = [key for key in ("weight", "cap") if any(key in corpus for corpus in _corpora(card).values())]
    head = [w["corpus"], *(w[key] for key in extra), w["available"], w["asked"], w["realised"]]
    rows = []
    for name, corpus in _corpora(card).items():
        told = [f"{corpus[key]:,}" if key in corpus else "" for key in extra]
        numbers = [_n(corpus["available"]), f"{100 * corpus['asked']:.2f} %", f"{100 * corpus['realised']:.2f} %"]
        rows.append([name, *told, *numbers, _n(corpus["written"]), _n(corpus["repeats"])])
    return table([*head, w["written"], w["repeats"]], rows)


def _about(card: Card, w: Words) -> str:
    head = [w[key] for key in ("corpus", "name", "task", "license", "metrics", "recipe")]
    rows = [
        [
            name,
            corpus["title"],
            w[f"task_{corpus['task']}"],
            corpus["license"] or w["not_stated"],
            ", ".join(corpus["metrics"]),
            f"{corpus['recipe']['name']} {corpus['recipe']['version']}",
        ]
        for name, corpus in _corpora(card).items()
    ]
    return table(head, rows, len(head))


def _rows(card: Card, w: Words) -> str:
    splits = [split for split in SPLITS if split in card["splits"]]
    rows = [[name, *(_n(c["rows"].get(split, 0)) for split in splits)] for name, c in _corpora(card).items()]
    return table([w["corpus"], *splits], rows)


def _across(card: Card, w: Words) -> str:
    """The pairs of corpora that have something in common, in each direction."""
    names = list(_corpora(card))
    rows = []
    for one in names:
        for other in names:
            cells = [
                card["across"][time][kind].get(one, {}).get(other, 0)
                for kind in ("duplicates", "leaks")
                for time in ("before", "after")
            ]
            if any(cells):
                rows.append([w["across_pair"].format(one=one, other=other), *map(_n, cells)])
    head = [w["overlap"], w["across_duplicates"], w["across_after"], w["across_leaks"], w["across_after"]]
    return table(head, rows) if rows else ""


def _compared(card: Card, w: Words) -> str:
    families: dict[str, list[str]] = {}
    for name, corpus in _corpora(card).items():
        families.setdefault(corpus["task"], []).append(name)
    groups = [", ".join(names) for names in families.values() if len(names) > 1]
    return w["compared"].format(groups=" / ".join(map(cell, groups))) if groups else w["compared_none"]


def _labels(card: Card, w: Words) -> list[dict[str, str]]:
    parts = []
    for name, corpus in _corpora(card).items():
        splits = [split for split in SPLITS if split in corpus["label_rows"]]
        totals = {split: sum(corpus["label_rows"][split].values()) for split in splits}
        rows = []
        for label, word in {**corpus["labels"], "": ""}.items():
            counts = {split: corpus["label_rows"][split].get(label, 0) for split in splits}
            if label or any(counts.values()):
                shown = f"{label} {word}" if label else w["unlabelled"]
                rows.append([shown, *(_with_share(counts[split], totals[split]) for split in splits)])
        if splits:
            parts.append({"name": cell(name), "table": table([w["label"], *splits], rows)})
    return parts


def _lengths(card: Card, w: Words) -> str:
    rows = [
        [f"{name} {w[part]}", *(_n(measured[p]) for p in draw.PERCENTILES)]
        for name, corpus in _corpora(card).items()
        for part, measured in corpus["lengths"].items()
    ]
    return table([w["corpus"], *draw.PERCENTILES], rows)


def _templates(card: Card, w: Words) -> str:
    """By family; how often each single one was taken is in card.json."""
    families: dict[str, list[int]] = {}
    for name, n in card["templates"].items():
        families.setdefault(name.rpartition("/")[0] or name, []).append(n)
    rows = [[name, _n(len(numbers)), _n(sum(numbers))] for name, numbers in families.items()]
    return table([w["families"], w["used"], w["samples"]], rows)
