"""A run's README.md, drawn from card.json and nothing else: figures become tables, card.md.j2 puts them in order."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from curate.card.figures import figure_links
from curate.card.files import ignored_line, source_table
from curate.card.frontmatter import front_matter
from curate.card.leaks import found_near, near_leaks_part
from curate.card.meanings import meaning
from curate.card.near import near_part, semantic_part
from curate.card.words import words
from curate.naming import placed
from curate.tables import funnel
from curate.tasks import TASKS
from curate.types import SPLITS
from jingtiao.markdown import cell, fence, line, link, table
from jingtiao.numbers import count as _n
from jingtiao.numbers import part_of as _part
from jingtiao.numbers import with_share as _with_share

Card = dict[str, Any]
Words = dict[str, str]

TEMPLATE = Path(__file__).with_name("card.md.j2")
#: The percentiles that the table of lengths shows.
PERCENTILES = ("p5", "p50", "p95", "p99", "max")
#: Rejects of a reason that the README shows; the page has more of them.
_SHOWN = 3
#: What token_length counts at each limit.
_CUTS = ("answer_cut", "answer_lost")


def draw_readme(card: Card, features: list[dict[str, Any]], lang: str) -> str:
    """The data card as Markdown; `features` are those of `curate.formatting.features`, `lang` is zh or en.

    A card that went through `without_rows` gives one without the front matter's data files and without examples.
    """
    w, says = words(lang), partial(meaning, lang=lang)
    if "mixture" in card:
        from curate.card.mixture import draw_mixture

        return draw_mixture(card, features, lang, says)
    front = front_matter(card, features, files="examples" in card)
    # No autoescape: the parts are Markdown already, and every text in them went through `markdown`.
    return prepare().render(front=front, w=w, figures=figure_links(card, lang), **card_parts(card, w, says))


def card_parts(card: Card, w: Words, says: Callable[[str], str]) -> dict[str, Any]:
    """What a recipe's card says in one language, by the names that both of its shapes call it by."""
    recipe = card["recipe"]
    return {
        "title": line(recipe["title"]),
        "name": recipe["name"],
        "version": recipe["version"],
        "findings": _findings(card, w),
        "about": _about(card, w),
        "funnel": funnel_table(card, w),
        "leaks": _leaks(card, w),
        "leaks_note": w["leaks_note"].format(key=" + ".join(map(cell, card["leaks"]["key"]))),
        **near_leaks_part(card, w),
        "labels": _labels(card, w),
        "conflicts": _conflicts(card, w),
        "duplicates": _duplicates(card, w),
        **near_part(card, w, _splits(card)),
        **semantic_part(card, w, _splits(card)),
        "lengths": _lengths(card, w),
        **_tokens(card, w),
        **_segmentation(card, w),
        "changes": _changes(card, w, says),
        "repairs": _repairs(card, says),
        "flags": said_table(card, w, says, "flags"),
        "templates": table([w["template"], w["samples"]], [[k, _n(n)] for k, n in card["templates"].items()]),
        "template_examples": template_examples(card),
        "rejects": said_table(card, w, says, "reasons"),
        "reject_examples": reject_examples(card, w),
        "sources": source_table(card["sources"], w),
        "sources_note": w["sources_note"] if any("files" in entry for entry in card["sources"]) else "",
        "ignored": ignored_line(card, w),
        "metrics": [f"`{name}` {says(name)}" for name in card["metrics"]],
        "reproduce": fence(card["reproduce"], limit=10_000, language="bash"),
        "reproduce_note": reproduce_note(card, w),
    }


def reproduce_note(card: Card, w: Words) -> str:
    """What beside the command decides the bytes."""
    versions = ", ".join(f"{name} {version}" for name, version in card["versions"].items())
    return w["reproduce_note"].format(
        fingerprint=card["fingerprint"][:16], seed=card["seed"], versions=cell(versions, 1000)
    )


@lru_cache(maxsize=2)
def prepare(template: Path = TEMPLATE) -> Any:
    """A compiled template: as much work as drawing a card with it, but it can be done beforehand."""
    from jinja2 import Environment, StrictUndefined

    frame = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    frame.filters["fill"] = lambda text, **values: text.format(**values)
    return frame.from_string(template.read_text(encoding="utf-8"))


def without_rows(card: Card) -> Card:
    """The card with its figures only: no text and no word of the corpus."""
    bare = copy.deepcopy({key: value for key, value in card.items() if key != "examples"})
    if bare.get("segmentation"):
        bare["segmentation"].pop("top", None)
    return bare


# ---- the first lines


def _findings(card: Card, w: Words) -> list[str]:
    """What a reader should know first: rows in all, what leaked, contradictions, repetitions, missing answers."""
    splits = card["splits"].values()
    total = {key: _n(sum(counts[key] for counts in splits)) for key in ("read", "written", "rejected")}
    found = [w["found_rows"].format(**total), *_found_leaks(card, w)]
    for entry in card["steps"]:
        if entry["step"] == "split" and entry.get("moved", 0) > 0:
            found.append(w["found_moved"].format(split=w[entry["split"]], rows=_n(entry["moved"])))
    if conflicts := count_of(card, "label_conflict", "reasons", "train"):
        found.append(w["found_conflicts"].format(rows=_n(conflicts)))
    train = card["duplicates"].get("train")
    if train and train["rows"]:
        found.append(w["found_duplicates"].format(**_part(train["rows"], train["of"])))
    if tokens := _measured(card).get("train"):
        cut = [(limit, n) for limit, n in tokens["answer_cut"].items() if n]
        for limit, n in cut[-1:]:  # the longest at which answers suffer still
            found.append(w["found_tokens"].format(limit=_n(int(limit)), **_part(n, tokens["samples"])))
    for split, labels in card["labels"].items():
        if labels.get(""):
            found.append(w["found_unlabelled"].format(split=w[split], rows=_n(labels[""])))
    return found


def _found_leaks(card: Card, w: Words) -> list[str]:
    found = []
    task, key = card["recipe"]["task"], tuple(card["leaks"]["key"])
    what = w[f"what_{task}"] if key == TASKS[task].leak_key else w["what_key"]
    compared = False
    for split, cells in card["leaks"]["before"].items():
        before = cells.get("train")
        if before is None:
            continue
        compared = True
        names = {"split": w[split], "other": w["train"], "what": what}
        if before["rows"]:
            left = card["leaks"]["after"].get(split, {}).get("train", {}).get("rows", 0)
            end = w["leak_kept"].format(rows=_n(left)) if left else w["leak_removed"]
            found.append(w["found_leak"].format(**names, **_part(before["rows"], before["of"])) + end)
        if before.get("sentences"):
            shared = _part(before["sentences"], before["sentences_of"])
            found.append(w["found_sentences"].format(**names, **shared))
    found += found_near(card, w)
    return found or ([w["found_no_leak"]] if compared else [])


def _about(card: Card, w: Words) -> list[tuple[str, str]]:
    recipe = card["recipe"]
    facts = [
        (w["task"], w[f"task_{recipe['task']}"]),
        (w["license"], cell(recipe["license"]) or w["not_stated"]),
        (w["homepage"], link(recipe["homepage"])),
        (w["citation"], cell(recipe["citation"], 1000)),
    ]
    return [(label, value) for label, value in facts if value]


# ---- tables


def _splits(card: Card) -> list[str]:
    return [split for split in SPLITS if split in card["splits"]]


def funnel_table(card: Card, w: Words) -> str:
    """The funnel of the command line, turned: a step a row, a split a column."""
    columns, rows = funnel(card)
    turned = list(zip(columns, *rows, strict=True))
    names = [w.get(name, name) for name, *_ in turned[1:]]
    body = [[name, *numbers] for name, (_, *numbers) in zip(names, turned[1:], strict=True)]
    return table([w["step"], *turned[0][1:]], body)


def _leaks(card: Card, w: Words) -> str:
    before, after = card["leaks"]["before"], card["leaks"]["after"]
    # A split that `split` made isn't there before it.
    pairs = [(a, b) for a in SPLITS for b in SPLITS if b in before.get(a, {}) or b in after.get(a, {})]
    if not pairs:
        return ""
    known = [numbers for side in (before, after) for cells in side.values() for numbers in cells.values()]
    extra = [name for name in ("sentences", "contexts") if name in known[0]]
    labelled = "other_label" in known[0]
    head = [w["overlap"], w["of"], w["before"], w["after"], *([w["other_label"]] if labelled else [])]
    head += [title for name in extra for title in (w[name], w[f"{name}_after"])]
    rows = []
    for split, other in pairs:
        sides = [side.get(split, {}).get(other) for side in (before, after)]
        row = [w["overlap_pair"].format(split=split, other=other)]
        row += [_n((sides[0] or sides[1] or {})["of"]), *(_shared(side, "rows", "of") for side in sides)]
        row += [_n(sides[0]["other_label"]) if sides[0] else "–"] if labelled else []
        row += [_shared(side, name, f"{name}_of") for name in extra for side in sides]
        rows.append(row)
    return table(head, rows)


def _shared(side: dict[str, Any] | None, part: str, whole: str) -> str:
    return _with_share(side[part], side[whole]) if side else "–"


def _labels(card: Card, w: Words) -> str:
    if not card["labels"]:
        return ""
    splits = [split for split in _splits(card) if split in card["labels"]]
    totals = {split: sum(card["labels"][split].values()) for split in splits}
    rows = []
    for label, word in {**card["label_words"], "": ""}.items():
        counts = {split: card["labels"][split].get(label, 0) for split in splits}
        if label or any(counts.values()):
            name = f"{label} {word}" if label else w["unlabelled"]
            rows.append([name, *(_with_share(counts[split], totals[split]) for split in splits)])
    return table([w["label"], *splits], rows)


def _conflicts(card: Card, w: Words) -> str:
    if not any(entry["step"] == "label_conflict" for entry in card["steps"]):
        return ""
    rejected, flagged = (count_of(card, "label_conflict", kind) for kind in ("reasons", "flags"))
    return w["conflicts"].format(rejected=_n(rejected), flagged=_n(flagged))


def _duplicates(card: Card, w: Words) -> str:
    found = card["duplicates"]
    reasons = sorted({reason for numbers in found.values() for reason in numbers["reasons"]})
    rows = []
    for split in _splits(card):
        if split in found:
            numbers = found[split]
            repeated = [_n(numbers["reasons"].get(reason, 0)) for reason in reasons]
            rows.append([split, _n(numbers["of"]), _with_share(numbers["rows"], numbers["of"]), *repeated])
    return table([w["split"], w["rows"], w["repeated"], *reasons], rows)


def _lengths(card: Card, w: Words) -> str:
    rows = [
        [f"{split} {name}", *(_n(measured["chars"][p]) for p in PERCENTILES)]
        for split in _splits(card)
        for name, measured in card["lengths"].get(split, {}).items()
    ]
    return table([f"{w['split']} {w['field']}", *PERCENTILES], rows)


def _measured(card: Card) -> dict[str, Any]:
    """What token_length measured, by split."""
    return {entry["split"]: entry["tokens"] for entry in card["steps"] if entry.get("tokens", {}).get("samples")}


def _tokens(card: Card, w: Words) -> dict[str, str]:
    found = _measured(card)
    lengths = [[split, *(_n(numbers[p]) for p in PERCENTILES)] for split, numbers in found.items()]
    heads = [f"{split} {w[kind]}" for split in found for kind in _CUTS]
    limits = next(iter(found.values()))["answer_cut"] if found else ()
    cut = [
        [
            _n(int(limit)),
            *(_with_share(one[kind][limit], one["samples"]) for one in found.values() for kind in _CUTS),
        ]
        for limit in limits
    ]
    return {
        "tokens": table([w["split"], *PERCENTILES], lengths) if found else "",
        "tokens_cut": table([w["limit"], *heads], cut),
    }


def _segmentation(card: Card, w: Words) -> dict[str, str]:
    found = card["segmentation"]
    if not found:
        return {"segmentation": "", "top": ""}
    numbers = {key: _n(found[key]) for key in ("texts", "words", "vocabulary", "once")}
    top = ", ".join(f"{cell(word)} {_n(n)}" for word, n in found.get("top", {}).items())
    return {"segmentation": w["words_line"].format(mean=found["words_per_text"], **numbers), "top": top}


def _changes(card: Card, w: Words, says: Callable[[str], str]) -> str:
    """What local steps changed; `segment` counts words there, which are no change."""
    counted: dict[tuple[str, str], dict[str, int]] = {}
    for entry in card["steps"]:
        for kind, n in entry["changes"].items():
            if n and entry["step"] != "segment":
                counted.setdefault((entry["step"], kind), {})[entry["split"]] = n
    return _by_split(card, [w["step"], w["change"]], {(step, says(kind)): n for (step, kind), n in counted.items()})


def _repairs(card: Card, says: Callable[[str], str]) -> list[str]:
    return [
        f"{cell(entry['file'])}: " + "; ".join(f"{says(kind)} {_n(n)}" for kind, n in entry["repaired"].items())
        for entry in card["sources"]
        if entry["repaired"]
    ]


def said_table(card: Card, w: Words, says: Callable[[str], str], kind: str) -> str:
    """Rejects (`reasons`) or flags by step and reason, those that happened."""
    counted: dict[tuple[str, ...], dict[str, int]] = {}
    for entry in card["steps"]:
        for reason, n in entry[kind].items():
            if n:
                counted.setdefault((entry["step"], reason, says(reason)), {})[entry["split"]] = n
    return _by_split(card, [w["step"], w["reason"], w["meaning"]], counted)


def _by_split(card: Card, head: list[str], counted: dict[tuple[str, ...], dict[str, int]]) -> str:
    splits = _splits(card)
    rows = [[*names, *(_n(numbers.get(split, 0)) for split in splits)] for names, numbers in counted.items()]
    return table([*head, *splits], rows, len(head)) if rows else ""


# ---- examples


def template_examples(card: Card) -> list[dict[str, str]]:
    return [
        {"name": cell(name), "id": cell(sample["id"]), "block": fence(sample_text(sample), limit=1000)}
        for name, sample in card.get("examples", {}).get("templates", {}).items()
    ]


def sample_text(sample: dict[str, Any]) -> str:
    """A sample as it is told to a model: system, earlier turns, the user's message, the answer."""
    from curate.formatting.prompt import turns
    from jingtiao.markdown import clip

    return "\n".join(f"[{role}] {clip(text)}" for role, text in turns(sample))


def reject_examples(card: Card, w: Words) -> list[dict[str, str]]:
    return [
        {
            "title": w["examples_of"].format(step=group["step"], reason=cell(group["reason"])),
            "table": table(
                [w["id"], w["text"]], [[row["id"], _record(row["fields"], w)] for row in group["rows"][:_SHOWN]], 2
            ),
        }
        for group in card.get("examples", {}).get("rejects", [])
    ]


def _record(fields: dict[str, Any] | None, w: Words) -> str:
    """A record's texts in one line."""
    if fields is None:
        return w["not_chosen"]
    if "raw" in fields:
        return f"{placed(fields['file'], fields['line'])}: {fields['raw']}"
    shown = {name: value for name, value in fields.items() if value not in (None, "", [])}
    limit = 240 // max(1, len(shown))
    return " / ".join(f"{name}: {_short(value, limit)}" for name, value in shown.items())


def _short(value: Any, limit: int) -> str:
    text = " / ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def count_of(card: Card, step: str, kind: str, split: str | None = None) -> int:
    """Rows a step rejected (`reasons`) or flagged (`flags`), in one split or in all."""
    return sum(
        sum(entry[kind].values())
        for entry in card["steps"]
        if entry["step"] == step and split in (None, entry["split"])
    )
