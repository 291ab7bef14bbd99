"""The tables and charts of the page that compares two runs, each as HTML made of a part of the diff."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from curate.card.figures import split_word, step_word
from curate.card.meanings import meaning
from curate.diff.page_words import made_words, page_words, why_words
from curate.diff.words import shown_value
from curate.types import SPLITS
from jingtiao import page as frame
from jingtiao.both import Both, both, said
from jingtiao.charts import Bar, bars
from jingtiao.numbers import count, percent

Found = dict[str, Any]
Text = str | Both

RUNS = ("first", "second")
_COLUMNS = ("first", "lost", "moved_away", "moved_here", "added", "second", "changed", "resized")
_SIGNS = {"lost": "−", "moved_away": "−", "moved_here": "+", "added": "+"}
_KINDS = {"lost": "gone", "moved_away": "gone", "changed": "dim", "resized": "dim"}
#: Bars of a chart; the table beside it has the rest.
_MOST = 24


def group_anchor(name: str, index: int) -> str:
    """The id of a group of examples."""
    return f"{name}-{index}"


def runs(found: Found) -> str:
    sides = [
        [one["path"], f"{one['recipe']} {one['version']}", str(one["seed"]), one["fingerprint"][:12]]
        for one in (found[run] for run in RUNS)
    ]
    facts = [page_words(fact) for fact in ("folder", "recipe", "seed", "fingerprint")]
    return _table("runs", ["what", *RUNS], [list(row) for row in zip(facts, *sides, strict=True)], 3)


def made(differs: list[Found]) -> str:
    """What was made otherwise."""
    rows: list[list[Text]] = [
        [joined(page_words(f"kind_{one['kind']}"), made_words(one["what"])), *(shown_value(one[run]) for run in RUNS)]
        for one in differs
    ]
    return _table("made", ["what", *RUNS], rows, 3) if rows else ""


def splits(told: dict[str, dict[str, int]]) -> str:
    """What became of each split's rows: charts, and a table that adds up."""
    names = [name for name in _COLUMNS if name in RUNS or any(numbers[name] for numbers in told.values())]
    head = [name if name in RUNS else f"n_{name}" for name in names]
    rows: list[list[Text]] = []
    charts = []
    for split, numbers in told.items():
        signed = [f"{_SIGNS.get(name, '') if numbers[name] else ''}{count(numbers[name])}" for name in names]
        rows.append([split_word(split), *signed])
        shown = [
            Bar(page_words(key), numbers[name], note, kind=_KINDS.get(name, "main"))
            for key, name, note in zip(head, names, signed, strict=True)
            if numbers[name] or name in RUNS
        ]
        charts.append(frame.figure(f"rows-{split}", page_words("fig_rows").fill(split=split_word(split)), bars(shown)))
    return _charts(charts) + _table("rows", ["split", *head], rows)


def why(groups: dict[str, list[Found]]) -> str:
    """Rows lost and added by step and reason; the numbers lead to examples."""
    rows: list[list[Text]] = []
    links: list[list[str | None]] = []
    charts = []
    for name, kind in (("lost", "gone"), ("added", "main")):
        sums: Counter[str] = Counter()
        for index, group in enumerate(groups[name]):
            reason = why_words(name, group["why"])
            rows.append([page_words(f"n_{name}"), split_word(group["split"]), reason, count(group["rows"])])
            links.append([None, None, None, group_anchor(name, index)])
            sums[group["why"]] += group["rows"]
        shown = [Bar(_short(name, reason), n, count(n), kind=kind) for reason, n in sums.most_common(_MOST)]
        if shown:
            charts.append(frame.figure(f"why-{name}", page_words(f"fig_{name}"), bars(shown)))
    return _charts(charts) + _table("why", ["way", "split", "because", "n_rows"], rows, 3, links)


def _short(name: str, reason: str) -> Text:
    return reason.replace(":", ": ", 1) if ":" in reason else why_words(name, reason)


def steps(rejects: list[Found]) -> str:
    """Rows that each step rejected in either run; charts have the steps that differ."""
    rows: list[list[Text]] = []
    for one in rejects:
        words = both(lambda lang, one=one: meaning(one["reason"], lang))
        numbers = [count(one[run]) for run in RUNS]
        named = [split_word(one["split"]), step_word(one["step"]), one["reason"], words]
        rows.append([*named, *numbers, _difference(one["first"], one["second"])])
    charts = [_steps_chart(split, [one for one in rejects if one["split"] == split]) for split in SPLITS]
    head = ["split", "step", "reason", "meaning", *RUNS, "difference"]
    return _charts(charts) + _table("steps", head, rows, 4)


def _steps_chart(split: str, rejects: list[Found]) -> str:
    sums = [Counter[str](), Counter[str]()]
    for one in rejects:
        for side, run in zip(sums, RUNS, strict=True):
            side[one["step"]] += one[run]
    differ = [step for step in sums[0] if sums[0][step] != sums[1][step]][: _MOST // 2]
    shown = [
        Bar(joined(step_word(step), page_words(run)), side[step], count(side[step]), kind=kind)
        for step in differ
        for side, run, kind in zip(sums, RUNS, ("dim", "gone"), strict=True)
    ]
    title = page_words("fig_steps").fill(split=split_word(split))
    return frame.figure(f"steps-{split}", title, bars(shown)) if shown else ""


def fields(told: dict[str, int]) -> str:
    """The parts of the changed rows that differ."""
    ordered = sorted(told.items(), key=lambda one: -one[1])
    shown = [Bar(name, n, count(n)) for name, n in ordered[:_MOST]]
    chart = frame.figure("fields", page_words("fig_fields"), bars(shown))
    table = _table("fields", ["part", "n_rows"], [[name, count(n)] for name, n in ordered])
    return f'<div class="beside">{_charts([chart])}{table}</div>'


def figures(told: list[Found]) -> str:
    """Figures of the two cards that differ."""
    rows: list[list[Text]] = []
    for one in told:
        split = split_word(one["split"]) if one["split"] else page_words("all_splits")
        sides = [_figure(one[run], one.get(f"{run}_of")) for run in RUNS]
        change = "" if None in (one["first"], one["second"]) else _difference(one["first"], one["second"])
        rows.append([page_words(f"part_{one['part']}"), split, _figure_name(one), *sides, change])
    return _table("figures", ["part", "split", "figure", *RUNS, "difference"], rows, 3)


def _figure(value: int | None, of: int | None) -> str:
    if value is None:
        return "–"
    return f"{count(value)} / {count(of)} ({percent(value, of)})" if of is not None else count(value)


def _figure_name(one: Found) -> Text:
    if one["part"] == "rows":
        return page_words(f"name_{one['name']}")
    if one["part"] == "duplicates":
        return page_words("name_repeated")
    if one["part"] == "leaks":
        side, other, name = one["name"].split(" ")
        words = {"side": page_words(f"leak_{side}"), "other": split_word(other), "what": page_words(f"leak_{name}")}
        return page_words("name_leak").fill(**words)
    return one["name"] or page_words("unlabelled")


def neither(told: Found) -> str:
    """Ids that neither run has written."""
    names = {"same": "neither_same", "only_first": "neither_first", "only_second": "neither_second"}
    rows: list[list[Text]] = [[page_words(key), count(told[name])] for name, key in names.items() if told[name]]
    other: list[list[Text]] = [
        [*(group[run].replace(":", ": ", 1) for run in RUNS), count(group["rows"])] for group in told["other_reason"]
    ]
    found = _table("neither", ["what", "n_rows"], rows) if rows else ""
    return found + (_table("other_reason", [*RUNS, "n_rows"], other, 2) if other else "")


def joined(one: Text, other: Text) -> Both:
    return both(lambda lang: f"{said(one, lang)} · {said(other, lang)}")


def _difference(first: int, second: int) -> str:
    return f"{second - first:+,}".replace("-", "−") if first != second else "0"


def _charts(charts: list[str]) -> str:
    made = "".join(charts)
    return f'<div class="charts">{made}</div>' if made else ""


def _table(
    name: str,
    head: list[str],
    rows: list[list[Text]],
    texts: int = 1,
    links: Sequence[Sequence[str | None]] | None = None,
) -> str:
    return frame.table(name, page_words(name), [page_words(key) for key in head], rows, texts, links)
