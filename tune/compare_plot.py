"""Methods side by side as a picture: loss over the steps, and what it came to. An SVG of its own, light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tune.curve import LOG_FROM, Point, log_ticks, running_mean, thin, ticks
from tune.tables import UNBOUNDED, show_figure

WIDTH, LEFT, RIGHT, TOP, CURVES, GAP, ROW = 820, 96, 124, 56, 300, 96, 22
#: Told apart on white and on near black alike; from the ninth method on the same colours, dashed.
COLOURS = ("#3b7dd8", "#d0562b", "#2f9461", "#a65fc4", "#b98900", "#d14d8b", "#2a9aa8", "#8a7a66")
STYLE = (
    "<style>svg{--ground:#fff;--ink:#2b2b2b;--grid:#e3e3e3}"
    "@media (prefers-color-scheme:dark){svg{--ground:#16181c;--ink:#dcdcdc;--grid:#363a41}}"
    "text{fill:var(--ink)}.grid{stroke:var(--grid)}.axis{stroke:var(--ink)}</style>"
)


def draw_comparison(found: Mapping[str, Any], curves: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """The picture of a `MethodComparison`. curves: the lines of metrics.jsonl of each method.

    Above, the validation loss (without validation rows the train loss, smoothed) of each method by step, in nats an
    answer token; below, the main metric of the last evaluated split (of a test split where there is one), with its
    95 % interval. A text alternative says the figures.
    """
    section = next((name for name in found["splits"] if name == "test"), list(found["splits"])[-1])
    figures, main = found["splits"][section], found["splits"][section]["main"]
    shown = {name: figure for name, figure in figures["metrics"][main].items() if figure}
    lines, what = _lines(found, curves)
    styles = {name: (COLOURS[i % 8], "6 3" if i >= 8 else "") for i, name in enumerate(found["methods"])}
    height = TOP + CURVES + GAP + ROW * len(shown) + 56
    title = f"{found['run']}: {len(found['methods'])} methods"
    said = "; ".join(f"{name} {show_figure(main, figure)}" for name, figure in shown.items())
    alternative = f"{what[1]} by method and step. {main} on {section}, with 95 % interval: {said}."
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-labelledby="title desc" font-family="system-ui, sans-serif" font-size="12">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(alternative)}</desc>',
        STYLE,
        f'<rect width="{WIDTH}" height="{height}" fill="var(--ground)"/>',
        _text(WIDTH / 2, 24, title, "middle", 15),
        *_curves(lines, what, styles),
        *_forest(shown, main, f"{main}，{section}", styles, TOP + CURVES + GAP),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _lines(
    found: Mapping[str, Any], curves: Mapping[str, Sequence[dict[str, Any]]]
) -> tuple[dict[str, list[Point]], tuple[str, str]]:
    """Each method's points, and what they are of, in Chinese and English."""
    evaluated = {name: _points(of, "answer_loss", True) for name, of in curves.items()}
    if any(evaluated.values()):
        base = found["splits"].get("validation", {}).get("metrics", {}).get("answer_loss", {}).get("base")
        start = [(0.0, float(base["value"]))] if base else []
        return {name: [*start, *points] for name, points in evaluated.items() if points}, (
            "验证损失", "validation loss"
        )  # fmt: skip
    steps = {name: _points(of, "loss", False) for name, of in curves.items()}
    return {name: thin(running_mean(points, max(1, len(points) // 40))) for name, points in steps.items() if points}, (
        "训练损失", "train loss"
    )  # fmt: skip


def _points(lines: Sequence[dict[str, Any]], key: str, evaluations: bool) -> list[Point]:
    found = [(line["step"], line.get(key)) for line in lines if (line.get("kind") == "eval") == evaluations]
    return [(float(x), float(y)) for x, y in found if isinstance(y, int | float) and math.isfinite(y)]


def _curves(
    lines: Mapping[str, list[Point]], what: tuple[str, str], styles: Mapping[str, tuple[str, str]]
) -> list[str]:
    """Axes, a line a method, and its name at the line's end."""
    losses = [y for points in lines.values() for _, y in points]
    if not losses:
        return []
    log = min(losses) > 0 and max(losses) > LOG_FROM * min(losses)
    y_ticks = log_ticks(min(losses), max(losses)) if log else ticks(min(losses), max(losses), 6)
    x_ticks = ticks(0, max(x for points in lines.values() for x, _ in points), 8, whole=True)
    scale, bottom, right = math.log if log else float, TOP + CURVES, WIDTH - RIGHT
    low, high = scale(y_ticks[0]), scale(y_ticks[-1])

    def at(point: Point) -> tuple[float, float]:
        return (
            LEFT + (point[0] - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (right - LEFT),
            bottom - (scale(point[1]) - low) / (high - low) * CURVES,
        )

    parts = []
    for value in y_ticks:
        _, y = at((0, value))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{value:g}", "end"))
    parts += [_text(at((value, y_ticks[0]))[0], bottom + 18, f"{value:,.0f}", "middle") for value in x_ticks]
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(_text((LEFT + right) / 2, bottom + 38, "训练步 optimiser step", "middle"))
    parts.append(_text(LEFT, TOP - 10, f"{what[0]} {what[1]} (nats / token{', 对数 log' if log else ''})"))
    ends = _apart({name: at(points[-1])[1] for name, points in lines.items()}, 13)
    for name, points in lines.items():
        (colour, dash), placed = styles[name], [at(point) for point in points]
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2"{dashed} points="{path}"/>')
        x, y = placed[-1]
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        parts.append(
            f'<line x1="{x + 4:.1f}" x2="{right + 18}" y1="{y:.1f}" y2="{ends[name]:.1f}" stroke="{colour}" '
            'stroke-width="0.8"/>'
        )
        parts.append(_text(right + 22, ends[name] + 4, name))
    return parts


def _apart(places: Mapping[str, float], least: float) -> dict[str, float]:
    """Places moved so that no two are nearer than `least`, in their order, about where they were."""
    order = sorted(places, key=lambda name: places[name])
    found, below = dict[str, float](), -math.inf
    for name in order:
        below = found[name] = max(places[name], below + least)
    above = TOP + CURVES + 6.0
    for name in reversed(order):
        above = found[name] = min(found[name], above)
        above -= least
    return found


def _forest(
    shown: Mapping[str, dict[str, float]], metric: str, label: str, styles: Mapping[str, tuple[str, str]], top: float
) -> list[str]:
    """A row a model: its figure and the whisker of its interval."""
    factor = 1 if metric in UNBOUNDED else 100
    ends = [factor * figure[key] for figure in shown.values() for key in ("low", "value", "high") if key in figure]
    x_ticks = ticks(min(ends), max(ends), 8)
    right, bottom = WIDTH - RIGHT, top + ROW * len(shown)

    def at(value: float) -> float:
        return LEFT + (factor * value - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (right - LEFT)

    parts = [_text(LEFT, top - 12, f"{label} ({'nats' if metric == 'answer_loss' else '%'}, 95 %)")]
    for value in x_ticks:
        x = at(value / factor)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 18, f"{value:g}", "middle"))
    for number, (name, figure) in enumerate(shown.items()):
        y, colour = top + ROW * (number + 0.5), styles[name][0] if name in styles else "var(--ink)"
        parts.append(_text(LEFT - 8, y + 4, name, "end"))
        low, high = (at(figure.get(key, figure["value"])) for key in ("low", "high"))
        parts.append(
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-width="2"/>'
        )
        parts.append(f'<circle cx="{at(figure["value"]):.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        parts.append(_text(right + 12, y + 4, show_figure(metric, {"value": figure["value"]})))
    return parts


def _text(x: float, y: float, text: str, anchor: str = "start", size: int | None = None) -> str:
    font = f' font-size="{size}"' if size else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{font}>{escape(text)}</text>'
