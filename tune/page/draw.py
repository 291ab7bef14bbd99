"""A tuning's report.html, drawn from what `measure` found and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jingtiao import page as frame
from jingtiao.both import Both, both, escape, prose, said, value
from jingtiao.markdown import cell
from jingtiao.numbers import count
from jingtiao.page import safe
from tune.model_card import MEANINGS
from tune.page import origin
from tune.page.charts import confusion, intervals, losses, rates, show, spread
from tune.page.measure import KINDS, SHOWN, class_figures
from tune.page.rows import example
from tune.page.words import split_words, words
from tune.page.words import told as html
from tune.results import MODELS
from tune.tables import UNBOUNDED, show_figure
from tune.timing import duration

Report = dict[str, Any]

_HERE = Path(__file__).parent
_SECTIONS = ("scores", "curve", "labels", "spread", "examples", "training", "lineage", "scoring")


def draw(report: Report, lang: str) -> str:
    """The page, with the language `lang` (zh or en) shown first."""
    page = _Page(report)
    title = said(words("page_title").fill(name=report["name"]), lang)
    sections = [(name, name) for name in _SECTIONS if page.has(name)]
    style = (_HERE / "report.css").read_text(encoding="utf-8")
    return frame.draw(_HERE / "report.html.j2", lang, title, sections, words, style=style, page=page, origin=origin)


class _Page:
    """What the template asks for, each as safe HTML."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.sections: Report = report["sections"]

    def has(self, name: str) -> bool:
        if name in ("labels", "spread"):
            return any(name in section for section in self.sections.values())
        if name == "examples":
            return self.report["rows"] and any("counts" in section for section in self.sections.values())
        return bool(self.sections) if name in ("scores", "scoring") else True

    # ---- the head, and the verdict

    def eyebrow(self) -> Any:
        config, corpus = self.report["config"], self.report["corpus"]
        told = words("eyebrow").fill(method=config.method, model=cell(config.model))
        title = (
            corpus.get("title") or corpus.get("pretty_name") or self.report["manifest"].get("recipe", {}).get("name")
        )
        return safe(prose(told) + (prose(words("on_corpus").fill(corpus=cell(title))) if title else ""))

    def key_figures(self) -> list[tuple[str, Any, str]]:
        """The main metric of the last split that is no corpus's, before and after, and what it took."""
        told: list[tuple[str, Any, str]] = []
        whole = [name for name in self.sections if "/" not in name]
        if whole:
            section = self.sections[whole[-1]]
            main = section["main"]
            where = [split_words(whole[-1]), main]
            for model, figure in section["metrics"].get(main, {}).items():
                if figure:
                    told.append((_bare(main, figure), _label(*where, words(model)), ""))
            if difference := section["differences"].get(main):
                kind = {"better": "good", "worse": "warn"}.get(judged(main, difference), "")
                told.append((show_figure(main, difference, sign=True).partition(" ")[0], _label(words("gain")), kind))
        parameters = self.report["plan"].get("parameters") or {}
        if "trainable" in parameters:
            told.append((_short(parameters["trainable"]), _label(words("parameters")), ""))
        training = self.report["local"].get("training") or {}
        if training.get("seconds"):
            told.append((duration(training["seconds"]), _label(words("time")), ""))
        return told

    def verdicts(self) -> list[tuple[str, Any, Any]]:
        """Of each split: how it was judged, a heading, and the sentences."""
        told = []
        for name, section in self.sections.items():
            if "/" in name:
                continue
            main, figures = section["main"], section["metrics"].get(section["main"], {})
            both_there = all(figures.get(model) for model in MODELS)
            difference = section["differences"].get(main)
            kind = judged(main, difference) if both_there and difference else "unknown"
            if both_there:
                key = {"better": "is_sure", "worse": "is_sure"}.get(kind, f"is_{kind}")
                shown = {model: _bare(main, figures[model]) for model in MODELS}
                text = words(key).fill(metric=main, **shown, difference=show_figure(main, difference, sign=True))
            else:
                model = next((model for model in MODELS if figures.get(model)), "tuned")
                figure = show_figure(main, figures.get(model))
                text = words("only_one").fill(metric=main, figure=figure, model=words(model))
            sentences = [text, *_against_baselines(section)]
            body = "".join(f" {prose(one)}" for one in sentences)
            told.append((kind, html(f"head_{kind}", split=split_words(name)), safe(body)))
        return told

    def by_corpus(self) -> Any:
        """Of a mixture a row a split and corpus: its main metric, and how that was judged."""
        rows: list[list[Any]] = []
        for name, section in self.sections.items():
            main, difference = section["main"], section["differences"].get(section["main"])
            if "/" in name:
                figures = [show_figure(main, section["metrics"].get(main, {}).get(model)) for model in MODELS]
                said_so = words(f"judged_{judged(main, difference)}") if difference else "–"
                rows.append([split_words(name), main, *figures, show_figure(main, difference, sign=True), said_so])
        keys = ("section", "metric", *MODELS, "difference", "judged")
        heads = [words(key) for key in keys]
        return safe(frame.table("verdict", words("by_corpus"), heads, rows, texts=2)) if rows else ""

    def notes(self) -> list[Any]:
        """What a reader must know beside the verdict."""
        found = [words("tiny_note")] if self.report["tiny"] else []
        if not self.sections:
            found.append(words("not_evaluated").fill(name=cell(self.report["name"])))
        elif not self.report["manifest"]:
            found.append(words("run_gone"))
        found += [Both(cell(s["note"]), cell(s["note"])) for s in self.sections.values() if "note" in s]
        return [safe(prose(one)) for one in found + ([] if self.report["rows"] else [words("no_rows")])]

    # ---- figures

    def scores(self) -> list[tuple[str, Any, Any]]:
        """Of each section its name, a heading, and its chart beside its table."""
        told = []
        for index, (name, section) in enumerate(self.sections.items()):
            split = split_words(name)
            chart = intervals(section["metrics"], section["baselines"])
            drawn = frame.figure(f"scores-{index}", words("fig_scores").fill(split=split), chart) if chart else ""
            told.append((name, _heading(name, section), _beside(drawn, self._scores_table(index, split, section))))
        return told

    def _scores_table(self, index: int, split: Both, section: Report) -> str:
        shown = [model for model in MODELS if model in self.report["evaluated"]]
        paired = bool(section["differences"])
        head = [words("metric"), *map(words, shown), *([words("difference"), words("judged")] if paired else [])]
        rows: list[list[Any]] = []
        for metric, figures in section["metrics"].items():
            row = [metric, *(show_figure(metric, figures.get(model)) for model in shown)]
            if paired:
                difference = section["differences"].get(metric)
                said_so = words(f"judged_{judged(metric, difference)}") if difference else "–"
                row += [show_figure(metric, difference, sign=True), said_so]
            rows.append(row)
        table = frame.table(f"scores-{index}", words("table_scores").fill(split=split), head, rows)
        known = [f"<code>{name}</code> {show_figure(name, figure)}" for name, figure in section["baselines"].items()]
        note = f'<p class="note">{prose(words("baselines"))}{"; ".join(known)}</p>' if known else ""
        return table + note

    # ---- the curve

    def curve(self) -> Any:
        curve = self.report["curve"]
        if not curve["train"]:
            return html("no_curve")
        log = words("log_axis") if curve["log"] else ""
        charts = [
            ("losses", words("fig_losses").fill(log=log), losses(curve)),
            ("rates", words("fig_rates"), rates(curve)),
        ]
        drawn = "".join(frame.figure(name, title, chart) for name, title, chart in charts if chart)
        best = (self.report["local"].get("training") or {}).get("best_step")
        note = f'<p class="note">{prose(words("best_step").fill(step=count(best)))}</p>' if best else ""
        return safe(f'<div class="charts">{drawn}</div>{self._curve_table()}{note}')

    def _curve_table(self) -> str:
        """The losses where the validation loss was taken, or at the beginning and the end."""
        curve = self.report["curve"]
        validation = dict(curve["validation"])
        steps = sorted({curve["first"][0], *_some(sorted(validation)), curve["last"][0]})
        rows = []
        for step in steps:
            nearest = [
                min(curve[key], key=lambda point: abs(point[0] - step), default=None) for key in ("smooth", "lr")
            ]
            loss, lr = (
                format(one[1], form) if one else "–" for one, form in zip(nearest, (".3f", ".3g"), strict=True)
            )
            rows.append([f"{step:,.0f}", loss, f"{validation[step]:.3f}" if step in validation else "–", lr])
        head = [words(key) for key in ("step", "train_loss", "validation_loss", "lr")]
        return frame.table("curve", words("table_curve"), head, rows)

    # ---- labels

    def labels(self) -> list[tuple[str, Any, Any]]:
        return [
            (name, _heading(name, section), self._confusions(index, name, section))
            for index, (name, section) in enumerate(self.sections.items())
            if "labels" in section
        ]

    def _confusions(self, index: int, name: str, section: Report) -> Any:
        told, split = section["labels"], split_words(name)
        names = {code: f"{code} {word}" if word != code else code for code, word in told["words"].items()}
        drawn, heard = "", ""
        for model in MODELS:
            title = words("fig_confusion").fill(split=split, model=words(model))
            chart = confusion(told[model], told["words"], words("none"), words("answered"))
            drawn += frame.figure(f"confusion-{index}-{model}", title, chart)
            rows = [[names[gold], *(count(n) for n in row.values())] for gold, row in told[model].items()]
            head = [words("right_label"), *names.values(), words("named_none")]
            caption = words("table_confusion").fill(split=split, model=words(model))
            heard += frame.table(f"confusion-{index}-{model}", caption, head, rows)
        head, keys = [words("right_label"), words("support")], ("precision_of", "recall_of", "f1_of")
        head += [words(key).fill(model=words(model)) for key in keys for model in MODELS]
        rows = []
        for code, shown in names.items():
            sides = [class_figures(told[model], code) for model in MODELS]
            figures = [_share(side[at]) for at in range(len(keys)) for side in sides]
            rows.append([shown, count(sides[0][3]), *figures])
        classes = frame.table(f"classes-{index}", words("table_classes").fill(split=split), head, rows)
        return safe(f'<div class="charts">{drawn}</div><div class="unseen">{heard}</div>{classes}')

    # ---- rows

    def spread(self) -> list[tuple[str, Any, Any]]:
        told = []
        for index, (name, section) in enumerate(self.sections.items()):
            split, drawn = split_words(name), ""
            for metric, columns in section.get("spread", {}).items():
                place, share = f"spread-{index}-{metric}", metric not in UNBOUNDED
                title = words("fig_spread").fill(split=split, metric=metric)
                drawn += frame.figure(place, title, spread(columns, share))
                drawn += f'<div class="unseen">{_spread_table(place, split, metric, columns)}</div>'
            if drawn:
                told.append((name, _heading(name, section), safe(f'<div class="charts">{drawn}</div>')))
        return told

    def counts(self) -> list[Any]:
        """Of each section how many rows were fixed, broken, or neither."""
        told = []
        for name, section in self.sections.items():
            if "counts" in section:
                key = (
                    "counts_loss"
                    if section["by"] == "answer_loss"
                    else "counts"
                    if section["graded"]
                    else "counts_binary"
                )
                numbers = {kind: count(section["counts"][kind]) for kind in (*KINDS, "right")}
                told.append(html(key, split=split_words(name), metric=f"`{section['by']}`", **numbers))
        return told

    def examples(self) -> list[tuple[Any, list[Any]]]:
        """Of each section a heading, and groups of rows, each a heading and its rows."""
        told = []
        for name, section in self.sections.items():
            groups = []
            for kind, rows in section.get("rows", {}).items():
                if rows:
                    key = f"kind_{kind}_graded" if section["graded"] else f"kind_{kind}"
                    shown = words("shown_of").fill(shown=len(rows), n=count(section["counts"][kind]))
                    drawn = [safe(example(row, section["by"], "labels" in section)) for row in rows]
                    groups.append({"name": html(key), "shown": safe(prose(shown)), "rows": drawn})
            if groups:
                told.append((safe(value(split_words(name))), groups))
        return told

    most = SHOWN

    def meanings(self) -> list[Any]:
        every = dict.fromkeys(m for s in self.sections.values() for m in (*s["metrics"], *s["baselines"]))
        pairs = [(name, Both(*MEANINGS[name])) for name in every if name in MEANINGS]
        return [safe(f"<code>{escape(name)}</code>　{value(meaning)}") for name, meaning in pairs]


# ---- words for figures


def judged(metric: str, difference: dict[str, float]) -> str:
    """better, worse, chance (the interval leaves 0 in), or same, where no row differs."""
    if difference["low"] <= 0 <= difference["high"]:
        return "same" if difference["low"] == difference["high"] else "chance"
    return "better" if (difference["value"] > 0) == (metric not in UNBOUNDED) else "worse"


def _against_baselines(section: Report) -> list[Both]:
    """What the tuned model's accuracy is worth: next to always giving one label, and to a model of characters."""
    tuned, difference = section["metrics"].get("accuracy", {}).get("tuned"), section.get("labels", {}).get("majority")
    if section["main"] != "accuracy" or not tuned or not difference:
        return []
    key = {"better": "beats", "worse": "below"}.get(judged("accuracy", difference), "ties")
    level = {"value": tuned["value"] - difference["value"]}
    told = [
        words(key).fill(majority=_bare("majority", level), difference=show_figure("accuracy", difference, sign=True))
    ]
    bag = section["baselines"].get("bag_of_characters")
    if bag and bag["value"] > tuned["value"]:
        told.append(words("beaten_by_bag").fill(figure=_bare("bag_of_characters", bag)))
    return told


def _spread_table(place: str, split: Both, metric: str, columns: Report) -> str:
    share, edges = metric not in UNBOUNDED, columns["edges"]
    rows: list[list[Any]] = [
        [f"{show(edges[i], share)}–{show(edges[i + 1], share)}", *(count(columns[model][i]) for model in MODELS)]
        for i in range(len(edges) - 1)
    ]
    if any(columns["over"].values()):
        beyond = words("beyond").fill(edge=show(edges[-1], share))
        rows.append([beyond, *(count(columns["over"][model]) for model in MODELS)])
    caption = words("table_spread").fill(split=split, metric=metric)
    return frame.table(place, caption, [words("range"), *map(words, MODELS)], rows)


def _some(steps: list[float], most: int = 12) -> list[float]:
    """At most so many, evenly chosen, the last among them."""
    return steps if len(steps) <= most else [steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)]


def _bare(metric: str, figure: dict[str, Any]) -> str:
    return show_figure(metric, figure).partition(" ")[0]


def _share(figure: float | None) -> str:
    return "–" if figure is None else f"{100 * figure:.1f}"


def _short(n: int) -> str:
    """A number of parameters in few letters."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if n >= limit:
            return f"{n / limit:.3g}{unit}"
    return str(n)


def _label(*parts: str | Both) -> Any:
    return safe(value(both(lambda lang: " · ".join(said(part, lang) for part in parts))))


def _beside(drawn: str, table: str) -> Any:
    return safe(f'<div class="beside"><div class="charts">{drawn}</div>{table}</div>' if drawn else table)


def _heading(name: str, section: Report) -> Any:
    return html("scores_of", split=split_words(name), n=count(section["n"]))
