"""Columns and bars: what they leave out is counted or said."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from jingtiao.bins import COLUMNS, histogram
from jingtiao.both import Both
from jingtiao.charts import WIDTH, Bar, bars
from jingtiao.charts import histogram as draw

LENGTHS = st.dictionaries(st.integers(0, 10**6), st.integers(1, 10**5), min_size=1, max_size=30)


@given(LENGTHS)
def test_a_histogram_counts_every_value_once(lengths: dict[int, int]) -> None:
    made = histogram(Counter(lengths))
    width, rows = made["width"], made["rows"]
    assert len(rows) <= COLUMNS and re.fullmatch(r"[125]0*", str(width))
    for index, n in enumerate(rows):
        assert n == sum(count for value, count in lengths.items() if width * index <= value < width * (index + 1))
    assert made["over"] == sum(count for value, count in lengths.items() if value >= width * len(rows))
    assert made["over"] * 100 <= sum(lengths.values())
    assert sum(rows) + made["over"] == sum(lengths.values())


@given(LENGTHS, st.lists(st.tuples(st.sampled_from(["p50", "✂"]), st.integers(0, 10**6)), max_size=5))
def test_a_drawn_histogram_stays_in_its_frame(lengths: dict[int, int], marks: list[tuple[str, int]]) -> None:
    chart = draw(histogram(Counter(lengths)), marks)
    drawn = ET.fromstring(chart.alone("标题", "zh"))
    for rect in drawn.iter("{http://www.w3.org/2000/svg}rect"):
        left, top, width, height = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        assert left >= 0 and left + width <= WIDTH + 0.2 and top >= 0 and top + height <= chart.height


@given(st.lists(st.tuples(st.text(max_size=80), st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=9))
def test_bars_stay_in_their_frame_and_any_label_is_text(rows: list[tuple[str, int, int]]) -> None:
    chart = bars([Bar(label, value, f"{value:,}", gone) for label, value, gone in rows])
    for lang in ("zh", "en"):
        drawn = ET.fromstring(chart.alone("<t>", lang))
        ends = [
            float(r.attrib["x"]) + float(r.attrib["width"]) for r in drawn.iter("{http://www.w3.org/2000/svg}rect")
        ]
        assert max(ends) <= WIDTH + 0.2
        assert len(list(drawn.iter("{http://www.w3.org/2000/svg}text"))) == 2 * len(rows)


def test_a_chart_alone_speaks_one_language_and_in_a_page_both() -> None:
    chart = bars([Bar(Both("读入", "read"), 3, "3")])
    assert "读入" in chart.alone("题", "zh") and "read<" not in chart.alone("题", "zh")
    assert "读入" in chart.inline("x") and ">read<" in chart.inline("x")
