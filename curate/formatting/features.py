"""The `dataset_info.features` of a run's README.md, so that `datasets.load_dataset(RUN)` loads the folder as it is.

Measured with datasets 5.2 (tests/test_contract.py holds the first two):

- Why: without features Arrow takes the types from the first block (10 MB). A `history` empty throughout that block
  and not after it ends in "Couldn't cast array of type list to null"; with features the same file loads.
- `configs` is a list of `{config_name: default, data_files: [{split: train, path: train.jsonl}, …]}`, one entry a
  split that has a file. (Without it `datasets` guesses from file names; that works while no other file fits.)
- `dataset_info` is one mapping with `features`; a list of them, each with its config_name, is for several.
- A feature is `{name, KIND: …}`: `dtype: string` for a scalar (`bool`, `int64`, `float64`), `struct: [features]` for
  an object, `list: string` for a list of scalars, `list: {list: string}` for lists of lists, `list: [features]` for
  a list of objects. KIND must be the first key beside `name`: `datasets` looks at that one only.
- Write `list`, never `sequence`: over objects the old word still means a *dictionary of lists*, another type.
- Every key of the rows must be named, at every depth: one missing, and nothing loads ("Couldn't cast"). One too many
  loads and fills a column with nulls, silently. The order doesn't matter to `datasets`; we keep the rows' own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curate.lazy import pl
from curate.types import SPLITS

#: What is in a list that is empty in the row at hand: the lists a sample may have are known by their names.
EMPTY_LISTS: dict[str, Any] = {
    "history": [["", ""]],
    "references": [""],
    "slots": [{"name": "", "value": ""}],
}


def hf_features(sample_row: dict[str, Any]) -> list[dict[str, Any]]:
    """The features of one sample as plain lists and dictionaries, ready to be written as YAML.

    Any row of the run will do, since all have the same keys with the same types; lists that are empty in this one are
    looked up by name. A null, an empty object or an unknown empty list is a ValueError naming the key: nothing could
    be said about its type.
    """
    return _struct(sample_row, "")


def run_features(run: Path) -> list[dict[str, Any]]:
    """The features of a run's samples, from the first row of its first split; empty where no split has rows."""
    for split in SPLITS:
        path = run / f"{split}.jsonl"
        if path.is_file():
            with path.open(encoding="utf-8") as lines:
                first = next(lines, None)
            if first:
                return hf_features(json.loads(first))
    return []


def polars_schema(features: list[dict[str, Any]]) -> dict[str, Any]:
    """The polars dtype of every column that `features` name: the same in each split, whatever its rows leave empty."""
    return {feature["name"]: _dtype(feature) for feature in features}


def _dtype(feature: Any) -> Any:
    if isinstance(feature, list):
        return pl.Struct(polars_schema(feature))
    if isinstance(feature, str):
        return {"string": pl.String, "bool": pl.Boolean, "int64": pl.Int64, "float64": pl.Float64}[feature]
    if "list" in feature:
        return pl.List(_dtype(feature["list"]))
    return _dtype(feature.get("struct") or feature["dtype"])


def _struct(row: dict[str, Any], where: str) -> list[dict[str, Any]]:
    if not row:
        raise ValueError(f"{where or 'the row'}: an empty object has no features")
    return [
        {"name": name, **_feature(value, name, f"{where}.{name}" if where else name)} for name, value in row.items()
    ]


def _feature(value: Any, name: str, where: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"struct": _struct(value, where)}
    if isinstance(value, list):
        return {"list": _element(value, name, where)}
    return {"dtype": _scalar(value, where)}


def _element(values: list[Any], name: str, where: str) -> Any:
    """What stands under `list`: a dtype, the features of an object, or `{list: …}` for lists of lists."""
    # The first non-empty value says most; [[], ["a"]] is a list of lists of strings.
    full = [value for value in values if value != []] or EMPTY_LISTS.get(name)
    if not full:
        raise ValueError(f"{where}: the type of an empty list isn't known; add the list to EMPTY_LISTS")
    first = full[0]
    if isinstance(first, dict):
        return _struct(first, f"{where}[]")
    if isinstance(first, list):
        return {"list": _element(first, "", f"{where}[]")}
    return _scalar(first, f"{where}[]")


def _scalar(value: Any, where: str) -> str:
    # bool before int: True is an int in Python.
    for kind, dtype in ((bool, "bool"), (int, "int64"), (float, "float64"), (str, "string")):
        if isinstance(value, kind):
            return dtype
    raise ValueError(f"{where}: {type(value).__name__} has no Arrow type here (null is never written)")
