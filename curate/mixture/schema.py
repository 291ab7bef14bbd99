"""One shape for the rows of all parts: every key that any of them has, in the order of the contract.

A row that lacks a key has it empty: "" or [], 0, false, or an object of those; one whose near-duplicates nobody looked
for stands for itself. Types are read off a row of each part,
since within a run all rows have the same.
"""

from __future__ import annotations

from typing import Any

from curate.formatting.features import EMPTY_LISTS
from curate.lazy import pl
from curate.types import UserError

#: The keys of a row and of its meta in their order; keys not named here follow, as the parts have them.
ROW = ("instruction", "input", "output", "history", "system", "meta")
META = (
    "id", "task", "template", "label", "labelled", "flags", "corpus", "metrics", "cluster_size",
    "fields", "references", "source_id", "target", "intent", "slots", "words",
)  # fmt: skip

#: What stands in a row that lacks a key, where that is not emptiness.
_LACKING = {"cluster_size": 1}

#: A type as read off a row: a struct by its keys, a list by the type of what is in it, else the name of a scalar.
Shape = dict[str, Any] | list[Any] | str

_SCALARS: dict[str, tuple[Any, Any]] = {"str": ("String", ""), "bool": ("Boolean", False)}
_SCALARS |= {"int": ("Int64", 0), "float": ("Float64", 0.0)}


def shape_of(value: Any, name: str = "") -> Shape:
    """The shape of a value; what an empty list holds is known by its name, and text where it isn't."""
    if isinstance(value, dict):
        return {key: shape_of(part, key) for key, part in value.items()}
    if isinstance(value, list):
        full = [part for part in value if part != []] or EMPTY_LISTS.get(name, [""])
        return [shape_of(full[0])]
    return type(value).__name__


def union(rows: dict[str, dict[str, Any]]) -> dict[str, Shape]:
    """The shape of all rows together; `rows` has one row of each part, by name. UserError where two types differ."""
    merged: dict[str, Any] = {}
    for name, row in rows.items():
        shape = shape_of(row)
        assert isinstance(shape, dict)
        _merge(merged, shape, name, "")
    merged["meta"] |= {"corpus": "str", "metrics": ["str"]}
    if "history" in merged:
        merged.setdefault("system", "str")
    merged["meta"] = _ordered(merged["meta"], META)
    return _ordered(merged, ROW)


def _merge(merged: dict[str, Any], shape: dict[str, Any], part: str, where: str) -> None:
    for key, one in shape.items():
        here = f"{where}{key}"
        known = merged.setdefault(key, {} if isinstance(one, dict) else one)
        if isinstance(known, dict) and isinstance(one, dict):
            _merge(known, one, part, f"{here}.")
        elif known != one:
            raise UserError(f"part {part}: {here} has another type than in the parts before it; mix them apart")


def _ordered(shape: dict[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    return {key: shape[key] for key in (*(k for k in order if k in shape), *(k for k in shape if k not in order))}


def dtype(shape: Shape) -> Any:
    """The polars type of a shape."""
    if isinstance(shape, dict):
        return pl.Struct({key: dtype(part) for key, part in shape.items()})
    if isinstance(shape, list):
        return pl.List(dtype(shape[0]))
    return getattr(pl, _SCALARS[shape][0])


def empty(shape: Shape) -> Any:
    """What stands where a row has nothing."""
    if isinstance(shape, dict):
        return {key: empty(part) for key, part in shape.items()}
    return [] if isinstance(shape, list) else _SCALARS[shape][1]


def widened(
    shape: dict[str, Shape], own: dict[str, Shape], given: dict[str, pl.Expr], at: pl.Expr | None = None
) -> Any:
    """The fields of a row of shape `own` as expressions of the union's `shape`, in its order.

    `at` is the struct they are in (None for the frame's columns); `given` are new values of meta's keys.
    """
    fields = []
    for key, wanted in shape.items():
        here = pl.col(key) if at is None else at.struct.field(key)
        if at is not None and key in given:
            field = given[key]
        elif key not in own:
            field = pl.lit(_LACKING.get(key, empty(wanted)), dtype(wanted))
        elif isinstance(wanted, dict) and isinstance(there := own[key], dict) and (there != wanted or key == "meta"):
            field = pl.struct(widened(wanted, there, given if key == "meta" else {}, here))
        else:
            field = here
        fields.append(field.alias(key))
    return fields
