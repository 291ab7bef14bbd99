"""The loss curve of a tuning as an SVG of its own: no plotting library, no text of the corpus."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from typing import Any

Point = tuple[float, float]

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 52, 56
#: Train and validation differ in colour, in lightness and in form: a line, and a line with dots.
TRAIN, VALIDATION, PALE, INK, GRID = "#4878a8", "#c44e1c", "#b9cbe0", "#333", "#e3e3e3"
#: From this ratio of the largest to the smallest loss on, the axis is logarithmic.
LOG_FROM = 10
#: More points than the picture has columns only make the file large.
POINTS = 600


def draw_curve(lines: Iterable[dict[str, Any]], title: str) -> str | None:
    """The lines of metrics.jsonl as an SVG: train loss a step, its running mean, validation loss. None without steps.

    Losses are nats an answer token. A line of kind `eval` is validation (`answer_loss`), every other line is a step
    (`loss`); what is no finite number (a run that diverged) leaves a gap.
    """
    lines = list(lines)
    train = points((line for line in lines if line.get("kind") != "eval"), "loss")
    validation = points((line for line in lines if line.get("kind") == "eval"), "answer_loss")
    if not train:
        return None
    raw = thin(train)
    smooth = thin(running_mean(train, max(1, len(train) // 40)))
    shown = [y for series in (raw, validation) for _, y in series]
    x_ticks = ticks(0, max(x for x, _ in [*train, *validation]), 8, whole=True)
    # The format of the answers is learnt in a few steps: a loss of 7 falls to 0.3, and what matters happens below.
    log = min(shown) > 0 and max(shown) > LOG_FROM * min(shown)
    y_ticks = log_ticks(min(shown), max(shown)) if log else ticks(min(shown), max(shown), 6)
    plot = _Plot(x_ticks, y_ticks, log)
    parts = [
        *_frame(title, x_ticks, y_ticks, plot),
        _line(raw, plot, PALE, 1),
        _line(smooth, plot, TRAIN, 2),
        _line(validation, plot, VALIDATION, 2),
        *(f'<circle cx="{plot.x(x)}" cy="{plot.y(y)}" r="3.5" fill="{VALIDATION}"/>' for x, y in validation),
        *_legend(bool(validation)),
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def points(lines: Iterable[dict[str, Any]], key: str) -> list[Point]:
    """(step, value) of the lines in which both are finite numbers."""
    pairs = ((line.get("step"), line.get(key)) for line in lines)
    numbers = ((x, y) for x, y in pairs if isinstance(x, int | float) and isinstance(y, int | float))
    return [(float(x), float(y)) for x, y in numbers if math.isfinite(x) and math.isfinite(y)]


def running_mean(points: Sequence[Point], reach: int) -> list[Point]:
    """The mean of each point and of up to `reach` on either side (at the ends: fewer, but as many on both)."""
    sums = [0.0]
    for _, y in points:
        sums.append(sums[-1] + y)
    means = []
    for i, (x, _) in enumerate(points):
        near = min(reach, i, len(points) - 1 - i)
        means.append((x, (sums[i + near + 1] - sums[i - near]) / (2 * near + 1)))
    return means


def thin(points: Sequence[Point], most: int = POINTS) -> list[Point]:
    """At most `most` points: each stands for a run of neighbours, at their mean. The last one keeps its place."""
    if len(points) <= most:
        return list(points)
    edges = [len(points) * i // (most - 1) for i in range(most - 1)] + [len(points)]
    groups = [points[a:b] for a, b in pairwise(edges)]
    means = [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
    return [*means, points[-1]]


def ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Round numbers (steps of 1, 2 or 5 × 10ⁿ) from just below `low` to just above `high`, about `most` of them."""
    size = max(abs(low), abs(high))
    span = max(high - low if high - low > 1e-6 * size else size, 1e-9)
    step = 10.0 ** math.floor(math.log10(span / most))
    step = next(step * factor for factor in (1, 2, 5, 10, 20) if span / (step * factor) <= most)
    step = max(1.0, step) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 × 10ⁿ from just below `low` to just above `high`, both above 0; over many powers of ten only 10ⁿ."""
    mantissas = (1, 2, 5) if high < 1e3 * low else (1,)
    # One power more on either side: a logarithm may be rounded past a whole number.
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    found = [float(f"{mantissa}e{n}") for n in powers for mantissa in mantissas]
    first = max(i for i, value in enumerate(found) if value <= low)
    last = min(i for i, value in enumerate(found) if value >= high)
    return found[first : last + 1]


class _Plot:
    """From data to the picture's coordinates."""

    def __init__(self, x_ticks: list[float], y_ticks: list[float], log: bool) -> None:
        self.log, self._scale = log, math.log if log else float
        self._x, self._y = (x_ticks[0], x_ticks[-1]), (self._scale(y_ticks[0]), self._scale(y_ticks[-1]))

    def x(self, value: float) -> str:
        share = (value - self._x[0]) / (self._x[1] - self._x[0])
        return f"{LEFT + share * (WIDTH - LEFT - RIGHT):.1f}"

    def y(self, value: float) -> str:
        share = (self._scale(value) - self._y[0]) / (self._y[1] - self._y[0])
        return f"{HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM):.1f}"


def _line(points: Sequence[Point], plot: _Plot, colour: str, width: int) -> str:
    path = " ".join(f"{plot.x(x)},{plot.y(y)}" for x, y in points)
    return f'<polyline fill="none" stroke="{colour}" stroke-width="{width}" points="{path}"/>'


def _frame(title: str, x_ticks: list[float], y_ticks: list[float], plot: _Plot) -> list[str]:
    """The white ground (a page may be dark), title, grid, numbers and the axes' names."""
    left, right, bottom = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        "<desc>Loss of each training step and of the validation split, in nats an answer token.</desc>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(WIDTH / 2, 22, title, "middle", size=15),
    ]
    for value in y_ticks:
        y = plot.y(value)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" stroke="{GRID}"/>')
        parts.append(_text(left - 8, float(y) + 4, f"{value:g}", "end"))
    for value in x_ticks:
        parts.append(_text(float(plot.x(value)), bottom + 18, f"{value:,.0f}", "middle"))
    parts += [
        f'<line x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}" stroke="{INK}"/>',
        _text((left + right) / 2, HEIGHT - 14, "训练步 optimiser step", "middle"),
        f'<text transform="translate(18 {(TOP + bottom) / 2:.1f}) rotate(-90)" text-anchor="middle" '
        f'fill="{INK}">答案损失 loss (nats / token{", 对数 log" if plot.log else ""})</text>',
    ]
    return parts


def _legend(validation: bool) -> list[str]:
    entries = [("训练每步 train, each step", PALE), ("滑动平均 running mean", TRAIN)]
    entries += [("验证 validation", VALIDATION)] if validation else []
    parts, x = [], LEFT
    for label, colour in entries:
        parts.append(f'<line x1="{x}" x2="{x + 22}" y1="40" y2="40" stroke="{colour}" stroke-width="3"/>')
        parts.append(_text(x + 28, 44, label))
        x += 48 + sum(13 if ord(char) > 0x2E7F else 7 for char in label)
    return parts


def _text(x: float, y: float, text: str, anchor: str = "start", size: int | None = None) -> str:
    font = f' font-size="{size}"' if size else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}"{font}>{escape(text)}</text>'
