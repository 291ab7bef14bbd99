"""The features of a sample row for a card's front matter."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from curate.formatting.features import hf_features, polars_schema

ROW: dict[str, Any] = {
    "instruction": "你好",
    "history": [],
    "meta": {
        "labelled": True,
        "cluster_size": 2,
        "score": 0.5,
        "references": ["好"],
        "slots": [],
        "words": {"a": "你 好"},
    },
}


def test_every_kind_of_value() -> None:
    assert hf_features(ROW) == [
        {"name": "instruction", "dtype": "string"},
        {"name": "history", "list": {"list": "string"}},
        {
            "name": "meta",
            "struct": [
                {"name": "labelled", "dtype": "bool"},
                {"name": "cluster_size", "dtype": "int64"},
                {"name": "score", "dtype": "float64"},
                {"name": "references", "list": "string"},
                {"name": "slots", "list": [{"name": "name", "dtype": "string"}, {"name": "value", "dtype": "string"}]},
                {"name": "words", "struct": [{"name": "a", "dtype": "string"}]},
            ],
        },
    ]


def test_empty_lists_have_the_type_of_full_ones() -> None:
    full = {**ROW, "history": [["在吗", "在"]], "meta": {**ROW["meta"], "slots": [{"name": "城市", "value": "苏州"}]}}
    assert hf_features(full) == hf_features(ROW)
    assert hf_features({"x": [[], ["a"]]}) == [{"name": "x", "list": {"list": "string"}}]


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ({"meta": {"label": None}}, r"meta\.label: NoneType"),
        ({"meta": {"words": {}}}, r"meta\.words: an empty object"),
        ({"tags": []}, "tags: the type of an empty list"),
        ({"tags": [None]}, r"tags\[\]: NoneType"),
        ({}, "the row: an empty object"),
    ],
)
def test_what_has_no_type_is_named(row: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=where):
        hf_features(row)


def test_the_same_types_for_polars() -> None:
    slot = pl.Struct({"name": pl.String, "value": pl.String})
    meta = {
        "labelled": pl.Boolean,
        "cluster_size": pl.Int64,
        "score": pl.Float64,
        "references": pl.List(pl.String),
        "slots": pl.List(slot),
        "words": pl.Struct({"a": pl.String}),
    }
    wanted = {"instruction": pl.String, "history": pl.List(pl.List(pl.String)), "meta": pl.Struct(meta)}
    assert polars_schema(hf_features(ROW)) == wanted


@pytest.mark.slow
def test_datasets_understands_them() -> None:
    datasets = pytest.importorskip("datasets")
    string = datasets.Value("string")
    features = datasets.Features._from_yaml_list(hf_features(ROW))
    assert features["history"] == datasets.List(datasets.List(string))
    assert features["meta"]["slots"] == datasets.List({"name": string, "value": string})
    assert features._to_yaml_list() == hf_features(ROW)
