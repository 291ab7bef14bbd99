"""A grid of settings to try: `--set lr=1e-4,3e-4`, or lists under `sweep:` in the file of settings."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tune.config import Config
from tune.errors import UserError
from tune.methods import METHODS
from tune.settings import Settings, did_you_mean, parse_yaml

SECTION = "sweep"
_BUDGET, _DATA = "it is the budget of every trial", "trials could not be compared on the same validation rows"
_NO_WEIGHT = "no weight depends on it"
#: Settings that can't be tried in several values, and why.
NOT_SWEPT = {
    **dict.fromkeys(("steps", "epochs", "patience"), _BUDGET),
    **dict.fromkeys(("model", "objective", "max_length", "too_long", "loss", "system"), _DATA),
    **dict.fromkeys(("eval_every", "save_every", "keep", "eval", "eval_limit", "max_new_tokens"), _NO_WEIGHT),
    **dict.fromkeys(("pack", "checkpointing", "compile"), _NO_WEIGHT),
}


@dataclass(frozen=True)
class Grid:
    """values: of each setting that is tried in several, in the order given. fixed: the other texts of `--set`."""

    values: dict[str, list[Any]]
    fixed: list[str]

    def points(self) -> list[dict[str, Any]]:
        """Every combination, the last setting changing fastest."""
        return [dict(zip(self.values, point, strict=True)) for point in itertools.product(*self.values.values())]

    def sets(self, point: dict[str, Any]) -> list[str]:
        """A point as texts of `--set`, beside those that are the same for all."""
        return [*self.fixed, *(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in point.items())]


def read_grid(sets: Sequence[str], file: Path | None) -> Grid:
    """The grid of a call. A comma outside of brackets and quotes parts two values; one value is a setting like any.

    Raises UserError for what can't be swept, values that the setting can't have, and a grid of nothing.
    """
    values, fixed, problems = dict[str, list[Any]](), list[str](), list[str]()
    for key, listed, place in _section(file):
        values[key] = listed
        problems += _wrong(key, listed, place)
    for text in sets:
        key, equals, written = text.partition("=")
        listed = _several(text, written) if equals and key.strip() else []
        if len(listed) < 2:
            fixed.append(text)
            values.pop(key.strip(), None)
            continue
        values[key.strip()] = listed
        problems += _wrong(key.strip(), listed, f"--set {text}")
    if problems:
        raise UserError(*dict.fromkeys(problems))
    if not values:
        raise UserError("a sweep tries several values of a setting: --set lr=1e-4,3e-4, or lists under sweep: in FILE")
    return Grid(values, fixed)


def _section(file: Path | None) -> list[tuple[str, list[Any], str]]:
    """(key, values, place) of each setting under `sweep:` in a file."""
    if file is None:
        return []
    settings = Settings()
    settings.say_file(file)
    if SECTION not in settings.values:
        return []
    section, (_, place, _) = settings.values[SECTION], settings.places[SECTION]
    if not isinstance(section, dict) or not all(isinstance(listed, list) and listed for listed in section.values()):
        raise UserError(f"{place}: sweep: lists the values of settings, like lr: [1e-4, 3e-4]")
    return [(str(key), listed, f"{place}: {SECTION}.{key}") for key, listed in section.items()]


def _several(text: str, written: str) -> list[Any]:
    try:
        listed = parse_yaml(f"[{written}]", f"--set {text}")[0]
    except UserError:
        return []  # one value, which will be refused where it is read
    return listed if isinstance(listed, list) else []


def _wrong(key: str, listed: list[Any], place: str) -> list[str]:
    """What is wrong with the values of one setting."""
    if key in NOT_SWEPT:
        return [f"{place}: {key} takes one value in a sweep: {NOT_SWEPT[key]}"]
    if key == "targets" and any(isinstance(value, str) and value != "all-linear" for value in listed):
        return [f"{place}: write each value in brackets, like targets=[q_proj,v_proj],all-linear"]
    if len({json.dumps(value) for value in listed}) < len(listed):
        return [f"{place}: a value stands there twice; keep one"]
    found = []
    for value in listed:
        if key == "method" and value not in METHODS:
            found.append(f"{place}: {value!r} is no method{did_you_mean(str(value), METHODS)}")
            continue
        settings = Settings()
        settings.say(key, value, place)
        try:
            Config(**{key: value})
        except ValidationError as errors:
            settings.note_errors(errors, Config.model_fields)
            found += [message for _, message in sorted(settings.problems)]
    return found
