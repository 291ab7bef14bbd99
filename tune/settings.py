"""Settings as people write them — a YAML 1.2 file, `--set KEY=VALUE`, flags — and where each was written.

`Settings` collects them in the order of their precedence, the weakest first, together with everything that is wrong;
`check` reports all of it at once, each error at its place.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tune.errors import UserError


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """`; did you mean 'x'?` for the nearest of `known`; where none is near, `; OTHERWISE a, b, c` (or nothing)."""
    names = list(known)
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    # `check` for `checkpointing`: too short for the measure, but plain to a reader.
    near = near or [key for key in names if len(name) > 2 and key.startswith(name.lower())]
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; {otherwise} {', '.join(names)}" if otherwise and names else ""


@dataclass
class Settings:
    """Values by key, and where each came from: `(order, place of the key, place of the value)`."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    problems: set[tuple[int, str]] = field(default_factory=set)
    _order: int = 0

    def say(self, key: str, value: Any, place: str, value_place: str | None = None) -> None:
        """Set one key; what was said before under it no longer counts."""
        self._order += 1
        self.values[key] = value
        self.places[key] = (self._order, place, value_place or place)

    def say_all(self, values: Mapping[str, Any], place: str) -> None:
        """Set several keys from one place."""
        for key, value in values.items():
            self.say(key, value, place)

    def say_set(self, text: str) -> None:
        """Set one key as `--set KEY=VALUE` says it; the value is read as YAML, so that `1e-4` is a number."""
        place = f"--set {text}"
        key, equals, written = text.partition("=")
        if not (equals and key.strip()):
            self._wrong(place, "write it as KEY=VALUE, like lr=1e-4")
            return
        try:
            value = parse_yaml(written, place)[0] if written.strip() else ""
        except UserError:
            self._wrong(place, "the value is not valid YAML; put it in quotes")
            return
        self.say(key.strip(), value, place)

    def say_file(self, path: Path) -> None:
        """Set what a YAML file says. Raises UserError where it can't be read or isn't a mapping."""
        name = str(path)
        data, node = parse_yaml(_read(path), name)
        if not isinstance(data, dict):
            raise UserError(f"{name}:1:1: settings are a mapping of keys (model: …, method: …, lr: …)")
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, place = str(key_node.value), _place(name, key_node)
            if key in seen:
                self._wrong(place, f"{key!r} is already given on line {seen[key]}; keep one of them")
                continue
            seen[key] = key_node.start_mark.line + 1
            self.say(key, data.get(key), place, _place(name, value_node))

    def note_errors(self, errors: ValidationError, known: Iterable[str]) -> None:
        """Note pydantic's errors, in our words; `known` are the keys there are."""
        for error in errors.errors(include_url=False):
            key = str(error["loc"][0])
            if error["type"] == "extra_forbidden":
                self.wrong(key, f"unknown key {key!r}{did_you_mean(key, known, 'known are')}", at_key=True)
            else:
                self.wrong(key, f"{'.'.join(map(str, error['loc']))}: {_words(error)}")

    def wrong(self, key: str, what: str, *, at_key: bool = False) -> None:
        """Note that something is wrong with a key's value (or, with `at_key`, with the key itself)."""
        order, place, value_place = self.places[key]
        if place == f"--{key}":  # a flag names its key
            what = what.removeprefix(f"{key}: ")
        self.problems.add((order, f"{place if at_key else value_place}: {what}"))

    def _wrong(self, place: str, what: str) -> None:
        self._order += 1
        self.problems.add((self._order, f"{place}: {what}"))

    def check(self) -> None:
        """Raise one UserError with every message, in the order in which things were said; nothing if all is well."""
        if self.problems:
            raise UserError(*(message for _, message in sorted(self.problems)))


def parse_yaml(text: str, name: str) -> tuple[Any, Any]:
    """The data of one YAML 1.2 document, and its node (which knows positions). Raises UserError where it is broken."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True  # reported by the caller, with what else is wrong
    try:
        node = yaml.compose(text)
        if node is None:
            raise UserError(f"{name}:1:1: the file is empty")
        return yaml.constructor.construct_object(node, deep=True), node
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        hint = _hint(text, line)
        raise UserError(
            f"{name}:{line}:{column}: YAML: {error.problem or error.context or 'not valid'}{hint}"
        ) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{name}:{line}:1: YAML: a character that isn't allowed; remove it") from None
    except (YAMLError, RecursionError, ValueError, TypeError) as error:
        raise UserError(
            f"{name}:1:1: YAML: {'nested too deeply' if isinstance(error, RecursionError) else error}"
        ) from None


def _hint(text: str, line: int) -> str:
    """A mend for the two slips people make most: tabs, and the full-width colon of a Chinese keyboard."""
    nearby = text.split("\n")[max(0, line - 2) : line]
    if any("\t" in row[: len(row) - len(row.lstrip())] for row in nearby):
        return "; indent with spaces, not tabs"
    if any("：" in row and ": " not in row for row in nearby):
        return "; write ': ' (half width, with a space), not '：'"
    return ""


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file of settings") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read as settings: {error.strerror}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:{raw.count(10, 0, error.start) + 1}:1: not UTF-8; save it as UTF-8") from None


def _place(name: str, node: Any) -> str:
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _words(error: Any) -> str:
    """One of pydantic's errors in the words that `curate` uses for its recipes."""
    kind, given = error["type"], error["input"]
    shown = str(given).lower() if isinstance(given, bool) else "nothing" if given is None else repr(given)
    shown = shown if len(shown) < 60 else shown[:57] + "…"
    if kind == "literal_error":
        choices = [part.strip().strip("'") for part in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        choices = [choice.lower() if choice in ("True", "False") else choice for choice in choices]
        return f"{shown} is not one of {', '.join(choices)}{did_you_mean(str(given), choices)}"
    if kind == "string_type" and given is not None and not isinstance(given, (list, dict)):
        return f"must be text, not {shown}; put it in quotes"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    words = error["msg"].removeprefix("Input ").replace("dictionary", "mapping").replace("tuple", "list")
    return f"{words} (given: {shown})"
