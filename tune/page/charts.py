"""The report's charts: figures with their intervals, the loss, confusions, how rows' scores are spread.

Base is hollow or pale, tuned is filled: they can be told apart without colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jingtiao.both import Both, escape
from jingtiao.charts import WIDTH, Chart, Shape, fitted, rect, text, text_width
from jingtiao.numbers import count
from tune.curve import Point, log_ticks, ticks
from tune.tables import UNBOUNDED, show_figure

#: Height of a figure's label and of a line under it; of a chart with axes, and of what stands under it.
_LABEL, _LINE, _PLOT, _AXIS = 18, 13, 190, 20
#: A matrix: the room for its labels at the left and above; numbers are written in cells of this width or more.
_LEFT, _NUMBERS = 84, 26

Figures = dict[str, dict[str, Any] | None]


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Shape:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>', ""


def dot(x: float, y: float, kind: str, radius: float = 4) -> Shape:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>', ""


def path(points: Sequence[tuple[float, float]], kind: str) -> Shape:
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{drawn}"/>', ""


def intervals(metrics: dict[str, Figures], baselines: dict[str, dict[str, Any]]) -> Chart | None:
    """Each metric that is a share on one scale of 0 to 100 (from -100 where a correlation is negative): base and tuned
    as dots with their intervals, baselines below as dots of their own. None where there is none."""
    shares = {name: figures for name, figures in metrics.items() if name not in UNBOUNDED}
    if not shares:
        return None
    shapes: list[Shape] = []
    rows = [(name, figures) for name, figures in shares.items()] + [
        (name, {"baseline": figure}) for name, figure in baselines.items()
    ]
    bottom = sum(_LABEL + _LINE * len(figures) + 6 for _, figures in rows)
    start = -1 if any(figure["low"] < 0 for _, figures in rows for figure in figures.values() if figure) else 0

    def at(share: float) -> float:
        return 8 + (WIDTH - 16) * (share - start) / (1 - start)

    for value in range(100 * start, 101, 20 - 30 * start):
        x = at(value / 100)
        shapes.append(line(x, 0, x, bottom, "grid"))
        shapes.append(text(x, bottom + 15, f"{value}", "dim", "middle"))
    y = 0.0
    for name, figures in rows:
        shapes.append(text(0, y + 12, name, "over"))
        said = " → ".join(show_figure(name, f).partition(" ")[0] for f in figures.values())
        shapes.append(text(WIDTH, y + 12, said, "dim over", "end"))
        y += _LABEL
        for model, figure in figures.items():
            if figure is not None:
                middle = y + _LINE / 2
                shapes.append(line(at(figure["low"]), middle, at(figure["high"]), middle, f"whisker {model}"))
                shapes += [
                    line(at(figure[e]), middle - 3, at(figure[e]), middle + 3, f"whisker {model}") for e in _ENDS
                ]
                shapes.append(dot(at(figure["value"]), middle, f"dot {model}", 3.5))
            y += _LINE
        y += 6
    return Chart(math.ceil(bottom + _AXIS), shapes)


_ENDS = ("low", "high")


def losses(curve: dict[str, Any]) -> Chart | None:
    """Train loss each step and its running mean, and validation loss as dots on a line, in nats an answer token."""
    if not curve["train"]:
        return None
    every = [*curve["train"], *curve["validation"]]
    low, high = min(y for _, y in every), max(y for _, y in every)
    marks = log_ticks(low, high) if curve["log"] else ticks(low, high, 5)
    plot = _Plot(max(x for x, _ in every), marks, curve["log"])
    chart = Chart(_PLOT + _AXIS, plot.axes())
    chart.shapes.append(path(plot.places(curve["train"]), "thread pale"))
    chart.shapes.append(path(plot.places(curve["smooth"]), "thread tuned"))
    if curve["validation"]:
        placed = plot.places(curve["validation"])
        chart.shapes.append(path(placed, "thread validation"))
        chart.shapes += [dot(x, y, "dot validation", 3) for x, y in placed]
    return chart


def rates(curve: dict[str, Any]) -> Chart | None:
    """The learning rate by step."""
    if not curve["lr"]:
        return None
    plot = _Plot(max(x for x, _ in curve["lr"]), ticks(0, max(y for _, y in curve["lr"]), 4), False)
    return Chart(_PLOT + _AXIS, [*plot.axes(), path(plot.places(curve["lr"]), "thread tuned")])


class _Plot:
    """From steps and values to places in a chart."""

    def __init__(self, last: float, marks: list[float], log: bool) -> None:
        self.marks, self.steps = marks, ticks(0, last, 5, whole=True)
        self.scale = math.log if log else float
        self.left = 8 + max(text_width(f"{mark:g}") for mark in marks)

    def place(self, point: Point) -> tuple[float, float]:
        low, high = self.scale(self.marks[0]), self.scale(self.marks[-1])
        x = self.left + (WIDTH - 12 - self.left) * point[0] / self.steps[-1]
        return x, 8 + (_PLOT - 8) * (high - self.scale(point[1])) / (high - low)

    def places(self, points: Sequence[Point]) -> list[tuple[float, float]]:
        return [self.place(point) for point in points]

    def axes(self) -> list[Shape]:
        shapes: list[Shape] = []
        for mark in self.marks:
            _, y = self.place((0, mark))
            shapes.append(line(self.left, y, WIDTH, y, "grid"))
            shapes.append(text(self.left - 6, y + 4, f"{mark:g}", "dim", "end"))
        shapes.append(line(self.left, _PLOT, WIDTH, _PLOT, "axis"))
        for step in self.steps:
            x, _ = self.place((step, self.marks[0]))
            shapes.append(text(x, _PLOT + 15, f"{step:,.0f}", "dim", "middle"))
        return shapes


def confusion(matrix: dict[str, dict[str, int]], names: dict[str, str], none: Both, answered: Both) -> Chart:
    """Rows: the right label, columns: the answered one; darker is a larger share of the row. The right answers stand
    on the diagonal, in the colour of what is right."""
    codes = list(matrix)
    columns = [*codes, ""]
    size = min(56.0, (WIDTH - _LEFT) / len(columns))
    top, written = 40.0, size >= _NUMBERS
    heading = {code: Both(*([fitted(f"{names[code]}", size - 2)] * 2)) for code in codes} | {"": none}
    shapes: list[Shape] = [text(_LEFT, 12, answered, "dim")]
    for index, said in enumerate(columns if written else ()):
        shapes.append(text(_LEFT + size * (index + 0.5), top - 6, heading[said], "dim", "middle"))
    for row, gold in enumerate(codes):
        y, total = top + size * row, sum(matrix[gold].values()) or 1
        if size >= 13:
            shapes.append(text(_LEFT - 6, y + size / 2 + 4, fitted(names[gold], _LEFT - 8), "", "end"))
        shapes.append(rect(_LEFT, y + 1, size * len(columns), size - 2, "ground"))
        for index, said in enumerate(columns):
            n, x = matrix[gold][said], _LEFT + size * index
            if n:
                shapes.append(_cell(x + 1, y + 1, size - 2, n / total, gold == said, f"{gold} → {said or '–'}: {n:,}"))
            if written:
                kind = "onto" if n > total / 2 else "" if n else "dim"
                shapes.append(text(x + size / 2, y + size / 2 + 4, count(n), kind, "middle"))
    return Chart(math.ceil(top + size * len(codes) + 2), shapes)


def _cell(x: float, y: float, size: float, share: float, right: bool, hint: str) -> Shape:
    """A square, the darker the larger the share; its opacity is an attribute: the page allows no other style."""
    kind, opacity = "tuned" if right else "gone", max(0.08, share)
    return (
        f'<rect class="cell {kind}" fill-opacity="{opacity:.2f}" x="{x:.1f}" y="{y:.1f}" width="{size:.1f}" '
        f'height="{size:.1f}"><title>{escape(hint)}</title></rect>',
        "",
    )


def spread(columns: dict[str, Any], share: bool) -> Chart:
    """Rows by their own score, base and tuned beside each other in each column; at the right those beyond the last."""
    edges, models = columns["edges"], ("base", "tuned")
    over = max(columns["over"].values()) > 0
    places = len(edges) - 1 + (1 if over else 0)
    step, top, bottom = WIDTH / places, 6, 138
    most = max(max(max(columns[m], default=0), columns["over"][m]) for m in models) or 1
    shapes: list[Shape] = []
    for index in range(places):
        beyond = index == len(edges) - 1
        low = edges[index]
        span = f"≥ {low:g}" if beyond else f"{show(low, share)}–{show(edges[index + 1], share)}"
        for side, model in enumerate(models):
            n = columns["over"][model] if beyond else columns[model][index]
            height = max((bottom - top) * n / most, 1) if n else 0
            x = step * index + 2 + side * (step - 4) / 2
            shapes.append(
                rect(x, bottom - height, (step - 4) / 2 - 1, height, f"column {model}", f"{span}: {count(n)}")
            )
    shapes.append(line(0, bottom, WIDTH, bottom, "axis"))
    for index in range(0, len(edges), 2):
        anchor = "start" if index == 0 else "end" if index == places else "middle"
        shapes.append(text(step * index, bottom + 15, show(edges[index], share), "dim", anchor))
    return Chart(bottom + _AXIS, shapes)


def show(value: float, share: bool) -> str:
    """An edge of a column: a share in per cent, or nats."""
    return f"{100 * value:g}" if share else f"{value:g}"
