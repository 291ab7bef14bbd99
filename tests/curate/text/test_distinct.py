"""Work once a distinct text, counts once an occurrence."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from curate.text.distinct import change_texts, map_distinct


@given(st.lists(st.sampled_from(["a", "bb", "", "ab"])))
def test_changes_once_and_counts_every_time(texts: list[str]) -> None:
    asked = []

    def change(text: str, counts: dict[str, int]) -> str:
        asked.append(text)
        if text.count("b"):
            counts["b"] = text.count("b")
        return text.upper()

    counts = {"other": 1}
    assert change_texts(texts, change, counts) == [text.upper() for text in texts]
    assert len(asked) == len(set(texts))
    assert counts.get("b", 0) == sum(text.count("b") for text in texts)
    assert counts["other"] == 1


@given(st.lists(st.sampled_from(["a", "bb", "", None])))
def test_distinct_values_come_back_to_their_places(values: list[str | None]) -> None:
    asked: list[int] = []

    def change(found: pl.Series) -> pl.Series:
        asked.append(len(found))
        return found.str.to_uppercase()

    series = pl.Series("x", values, dtype=pl.String)
    assert map_distinct(series, change).to_list() == [value and value.upper() for value in values]
    assert asked[0] in (len(values), len(set(values)))


def test_no_value_is_worked_on_twice_where_that_is_asked() -> None:
    given: list[list[str]] = []

    def change(values: pl.Series) -> pl.Series:
        given.append(values.to_list())
        return values + "!"

    values = pl.Series(["甲", "乙", "丙", "丁", "甲"])
    assert map_distinct(values, change).to_list() == ["甲!", "乙!", "丙!", "丁!", "甲!"]
    assert map_distinct(values, change, worth=1).to_list() == ["甲!", "乙!", "丙!", "丁!", "甲!"]
    assert given == [values.to_list(), ["甲", "乙", "丙", "丁"]]
