"""Charts as SVG: horizontal bars, and histograms. No browser, script or font is needed to draw them.

A chart is as wide as a telephone, so that its letters are as large there as the text around it; on a wide page charts
stand side by side. In a page colours come from its style sheet; a chart that stands alone brings its own, for light
and dark. To a screen reader it is its title: its numbers stand in a table beside it, or in a list that is only heard.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jingtiao.both import TAGS, Both, escape, said
from jingtiao.numbers import count

WIDTH = 360
#: Height of a bar with its label above it, and of a histogram's columns.
_ROW, _COLUMNS = 34, 132
#: Height of the columns where several histograms stand one under the other, and room at the end of the axis for what
#: lies beyond it.
_LOW, _BEYOND = 64, 26
#: Letters are 12 px high; narrow ones take about this part of it in width.
_SIZE, _NARROW = 12, 0.56

STYLE = (
    "svg{background:#fdfcfa;font:12px system-ui,'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif}"
    "text{fill:#1d1c1a;stroke:#fdfcfa;stroke-width:3px;paint-order:stroke}.dim{fill:#5f5b54}.main{fill:#2f5277}"
    ".gone{fill:#b0432c}.track{fill:#e6e2da}.axis{stroke:#8b867c}.mark{stroke:#b0432c;stroke-dasharray:3 3}"
    "@media(prefers-color-scheme:dark){svg{background:#17181b}text{fill:#e8e5de;stroke:#17181b}.dim{fill:#aba69c}"
    ".main{fill:#8fb3db}.gone{fill:#e98a72}.track{fill:#33353a}.axis{stroke:#7d7a73}.mark{stroke:#e98a72}}"
)


#: A shape, and the text to be put in it.
Shape = tuple[str, str | Both]


@dataclass(frozen=True)
class Bar:
    """`value` as a bar under its label, `gone` as a second part of it, and what stands at the right."""

    label: str | Both
    value: int
    note: str | Both
    gone: int = 0
    kind: str = "main"


@dataclass
class Chart:
    """What is drawn, before it is known in which languages."""

    height: int
    shapes: list[Shape] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)

    def inline(self, title: str) -> str:
        """For a page: texts in both languages; `title` is the id of the element that names it."""
        body = "".join(_shape(shape, text, lang=None) for shape, text in self.shapes)
        return (
            f'<svg viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" height="{self.height}" role="img" '
            f'aria-labelledby="{title}">{body}</svg>'
        )

    def alone(self, title: str, lang: str) -> str:
        """For a file of its own, in one language."""
        body = "".join(_shape(shape, text, lang) for shape, text in self.shapes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 {WIDTH + 16} {self.height + 16}" '
            f'width="{WIDTH + 16}" height="{self.height + 16}" role="img" lang="{TAGS[lang]}">'
            f"<title>{escape(title)}</title><style>{STYLE}</style>{body}</svg>\n"
        )


def _shape(shape: str, text: str | Both, lang: str | None) -> str:
    """A shape with its text put in; a text in two languages is two shapes, of which the page shows one."""
    if "{text}" not in shape:
        return shape
    if lang is None and isinstance(text, Both) and text.zh != text.en:
        told = [(f' lang="{TAGS[name]}"', f" {name}", said(text, name)) for name in TAGS]
    else:
        told = [("", "", said(text, lang or "zh"))]
    return "".join(shape.format(attributes=tag, which=name, text=escape(words)) for tag, name, words in told)


def bars(rows: list[Bar], whole: int | None = None) -> Chart:
    """A bar a row, all on one scale: `whole` (default: the longest) is the full width, drawn as a track behind."""
    full = whole or max((row.value + row.gone for row in rows), default=0) or 1
    chart = Chart(_ROW * len(rows), bars=rows)
    for index, row in enumerate(rows):
        top = _ROW * index
        note = max(text_width(said(row.note, lang)) for lang in TAGS)
        label = row.label if isinstance(row.label, Both) else Both(row.label, row.label)
        shown = Both(*(fitted(one, WIDTH - note - 12) for one in label))
        chart.shapes += [
            text(0, top + 13, shown),
            text(WIDTH, top + 13, row.note, "dim", "end"),
            rect(0, top + 19, WIDTH, 8, "track"),
            rect(0, top + 19, WIDTH * row.value / full, 8, row.kind),
        ]
        if row.gone:
            chart.shapes.append(rect(WIDTH * row.value / full, top + 19, WIDTH * row.gone / full, 8, "gone"))
    return chart


def histogram(binned: dict[str, Any], marks: list[tuple[str, int]]) -> Chart:
    """Columns of `bins.histogram`, and dashed lines at the values in `marks` that are within reach."""
    return histograms([("", binned, marks)])


def histograms(rows: Sequence[tuple[str | Both, dict[str, Any], list[tuple[str, int]]]]) -> Chart:
    """A histogram a row under its label, all along one axis; each row's columns are as high as there is room."""
    reach = max(binned["width"] * len(binned["rows"]) for _, binned, _ in rows)
    unit = (WIDTH - (_BEYOND if any(binned["over"] for _, binned, _ in rows) else 0)) / reach
    chart = Chart(0)
    for label, binned, marks in rows:
        if label:
            chart.shapes.append(text(0, chart.height + 12, label))
        head = chart.height + (16 if label else 0)
        bottom = head + 34 + (_COLUMNS if len(rows) == 1 else _LOW)
        chart.shapes += [*_columns(binned, unit, head + 34, bottom), *_marks(binned, marks, unit, head, bottom)]
        chart.height = bottom + 20
    _, last, _ = max(rows, key=lambda row: row[1]["width"] * len(row[1]["rows"]))
    _, lowest, _ = rows[-1]
    until = WIDTH - (text_width(_beyond(lowest)) + 8 if lowest["over"] else 0)
    chart.shapes += _ticks(last["width"], len(last["rows"]), unit * last["width"], chart.height - 5, until)
    return chart


def _beyond(binned: dict[str, Any]) -> str:
    return f"≥{count(binned['width'] * len(binned['rows']))}"


def _columns(binned: dict[str, Any], unit: float, top: float, bottom: float) -> list[Shape]:
    width, rows, over = binned["width"], binned["rows"], binned["over"]
    step, most = unit * width, max(*rows, over) or 1
    shapes = []

    def column(left: float, wide: float, n: int, span: str, kind: str) -> None:
        height = max((bottom - top) * n / most, 1) if n else 0
        shapes.append(rect(left, bottom - height, wide, height, kind, f"{span}: {count(n)}"))

    for index, n in enumerate(rows):
        span = f"{count(width * index)}–{count(width * (index + 1) - 1)}" if width > 1 else count(index)
        column(step * index + step / 20, step * 0.9, n, span, "main")
    if over:
        column(WIDTH - _BEYOND / 2, _BEYOND / 2, over, _beyond(binned), "dim")
        shapes.append(text(WIDTH, bottom + 15, _beyond(binned), "dim", "end"))
    return [*shapes, (f'<line class="axis" x1="0" x2="{WIDTH}" y1="{bottom}" y2="{bottom}"/>', "")]


def _marks(
    binned: dict[str, Any], marks: list[tuple[str, int]], unit: float, head: float, bottom: float
) -> list[Shape]:
    shapes: list[Shape] = []
    within = sorted((value, name) for name, value in marks if value < binned["width"] * len(binned["rows"]))
    places = [0.0, *(unit * value for value, _ in within), float(WIDTH)]
    free = [0.0, 0.0]  # where the two lines of labels are taken up to
    for (value, name), before, at, after in zip(within, places, places[1:], places[2:], strict=False):
        label = f"{name} {count(value)}"
        room = text_width(label) + 6
        # A label stands to the right of its mark, unless it would reach over the next one and needn't to the left.
        left = at + room > WIDTH or (at + room > after and at - room >= before)
        begin = at - room + 2 if left else at + 4
        line = next((i for i in (0, 1) if begin >= free[i]), 1)
        free[line] = begin + room
        top = head + 12 + 14 * line
        shapes.append((f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{top - 10}" y2="{bottom}"/>', ""))
        shapes.append(text(at - 4 if left else at + 4, top, label, "dim", "end" if left else "start"))
    return shapes


def _ticks(width: int, columns: int, step: float, y: float, until: float) -> list[Shape]:
    """About four numbers along the axis."""
    every = max(1, round(columns / 4))
    ticks = []
    for index in range(0, columns, every):
        label = count(width * index)
        if step * index + text_width(label) / 2 < until:
            ticks.append(text(step * index, y, label, "dim", "middle" if index else "start"))
    return ticks


def rect(x: float, y: float, width: float, height: float, kind: str, hint: str = "") -> Shape:
    """A rectangle of the class `kind`, with a hint where the mouse rests on it."""
    shape = f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}"'
    return f"{shape}><title>{hint}</title></rect>" if hint else f"{shape}/>", ""


def text(x: float, y: float, words: str | Both, kind: str = "", anchor: str = "start") -> Shape:
    """A text on the line `y`, of the class `kind`; `anchor`: start, middle or end stands at `x`."""
    return (
        f'<text class="{kind}{{which}}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{{attributes}}>{{text}}</text>',
        words,
    )


def text_width(words: str) -> float:
    """About how wide a text is drawn: a Chinese character as wide as it is high."""
    return sum(_SIZE if unicodedata.east_asian_width(char) in "WF" else _SIZE * _NARROW for char in words)


def fitted(words: str, room: float) -> str:
    """A text cut to fit."""
    if text_width(words) <= room:
        return words
    while words and text_width(words) + _SIZE > room:
        words = words[:-1]
    return f"{words}…"
