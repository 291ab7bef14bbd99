"""pydantic's errors in our words: each at its place in the YAML file, with the nearest name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from curate.types import SPLITS
from curate.yamlmarks import Problems, Trail, did_you_mean

#: What other people call our splits: said as a hint, never taken silently.
_SPLIT_ALIASES = {"dev": "validation", "valid": "validation", "val": "validation", "eval": "validation"}


def note_errors(
    problems: Problems, errors: ValidationError, base: Trail, known: Callable[[Trail], list[str]], step: str = ""
) -> None:
    """Add pydantic's errors to `problems`, in our words; `known` names the keys a mapping may have.

    `base` is where the validated mapping stands in the file; `step` names the step whose options they are.
    """
    for error in errors.errors(include_url=False):
        kind, given = error["type"], error["input"]
        trail = _walk(problems.document.data, base, error["loc"])
        if kind == "extra_forbidden":
            name = str(error["loc"][-1])
            hint = did_you_mean(name, known(trail[:-1]), "known are")
            what = f"step {step} has no option {name!r}" if step else f"unknown key {name!r}"
            problems.add(trail, f"{what}{hint}", key=True)
        elif kind == "missing":
            problems.add(trail, f"{f'step {step}: ' if step else ''}{str(error['loc'][-1])!r} is missing")
        else:
            is_key = error["loc"][-1:] == ("[key]",)
            problems.add(trail, f"{_label(trail, step)}{_say(kind, given, error)}", key=is_key)


def _walk(data: Any, base: Trail, loc: tuple[int | str, ...]) -> Trail:
    """pydantic's `loc` as a path in the data; parts that stand for no key (union tags, `[key]`) are passed over."""
    trail = base
    for key in base:
        data = data[key]
    for part in loc:
        if _has(data, part):
            data = data[part]
            trail = (*trail, part)
    return trail


def _has(data: Any, part: int | str) -> bool:
    return part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)


def _label(trail: Trail, step: str) -> str:
    """`source.reader: ` or `segment.as: `: which key an error is about."""
    names = [str(part) for part in (trail[2:] if step else trail) if isinstance(part, str)]
    return f"{'.'.join(names)}: " if names else ""


def _say(kind: str, given: Any, error: Any) -> str:
    shown = str(given).lower() if isinstance(given, bool) else "nothing" if given is None else repr(given)
    shown = shown if len(shown) < 60 else shown[:57] + "…"
    if kind == "string_type" and not isinstance(given, (list, dict)):
        return f"must be text, not {shown}" + ("" if given is None else "; put it in quotes")
    if kind == "literal_error":
        choices = [part.strip().strip("'") for part in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        if str(given) in _SPLIT_ALIASES and set(choices) == set(SPLITS):
            return f"{shown} is not a split; did you mean {_SPLIT_ALIASES[str(given)]!r}?"
        return f"{shown} is not one of {', '.join(choices)}{did_you_mean(str(given), choices)}"
    if kind == "string_pattern_mismatch":
        form = "three numbers like 1.0.0" if "\\d" in error["ctx"]["pattern"] else "lower-case letters, digits, . _ -"
        return f"{shown} must be {form}"
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    words = error["msg"].removeprefix("Input ").replace("an object", "a mapping")
    words = words.replace("dictionary", "mapping").replace("tuple", "list")
    return f"{words} (given: {shown})"
