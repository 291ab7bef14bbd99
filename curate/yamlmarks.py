"""YAML 1.2 with positions: one parse gives the plain data and, for every path in it, where it stands in the file.

ruamel.yaml composes the nodes (they carry positions); the data is built from the same nodes, so the two can't differ.
`Problems` collects what is wrong and reports everything at once, in the order of the file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from curate.types import UserError

#: Where something stands in the data: the keys and indexes that lead to it.
Trail = tuple[str | int, ...]

_PREFIX = "tag:yaml.org,2002:"
_CONSTRUCTED = {"int", "float", "bool", "null"}
# A timestamp is a string in YAML 1.2's core schema (ruamel still knows 1.1's type), and so is a lone "=".
_TEXT = {"str", "timestamp", "value"}
# Aliases may repeat a node without limit ("billion laughs"); no honest recipe comes near this.
_MAX_NODES = 20_000


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """`; did you mean 'x'?` for the nearest of `known`; where none is near, `; OTHERWISE a, b, c` (or nothing)."""
    names = list(known)
    lower = {known_name.lower(): known_name for known_name in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    # `leak` for `leak_check`: too short for the measure, but plain to a reader.
    near = near or [key for key in lower if len(name) > 2 and key.startswith(name.lower())]
    if near:
        return f"; did you mean {lower[near[0]]!r}?"
    return f"; {otherwise} {', '.join(names)}" if otherwise and names else ""


@dataclass
class Document:
    """A YAML file's data and positions; `said` holds the paths that came from the command line instead."""

    name: str
    data: Any
    keys: dict[Trail, tuple[int, int]] = field(default_factory=dict)
    values: dict[Trail, tuple[int, int]] = field(default_factory=dict)
    said: dict[Trail, str] = field(default_factory=dict)

    def place(self, trail: Trail, *, key: bool = False) -> tuple[tuple[int, int, int], str]:
        """Where `trail` stands, as something to sort by and as text: `file:line:column`, or the words of `--set`."""
        parts = [trail[:end] for end in range(len(trail), -1, -1)]
        # First the command line: below a key it has set, the file's positions are those of other values.
        for part in parts:
            if part in self.said:
                return (1, list(self.said).index(part), 0), self.said[part]
        for part in parts:
            marks = self.keys if key and part == trail and part in self.keys else self.values
            if part in marks:
                line, column = marks[part]
                return (0, line, column), f"{self.name}:{line}:{column}"
        return (0, 1, 1), f"{self.name}:1:1"


@dataclass
class Problems:
    """Everything wrong with one document."""

    document: Document
    found: set[tuple[tuple[int, int, int], str]] = field(default_factory=set)

    def add(self, trail: Trail, what: str, *, key: bool = False) -> None:
        """Note that `what` is wrong at `trail` (at its key rather than its value with `key`)."""
        order, where = self.document.place(trail, key=key)
        self.found.add((order, f"{where}: {what}"))

    def add_said(self, said: str, what: str) -> None:
        """Note a problem of the command line that has no place in the file."""
        self.found.add(((2, 0, 0), f"{said}: {what}"))

    def check(self) -> None:
        """Raise one UserError with every message, in the order of the file; nothing if all is well."""
        if self.found:
            raise UserError(*(message for _, message in sorted(self.found)))


def parse_yaml(text: str, name: str) -> tuple[Document, Problems]:
    """The data and positions of one YAML 1.2 document; `name` is what the error messages call it.

    Broken YAML raises UserError. Doubled keys and the like come back as problems, to be reported with what else is
    wrong (`problems.check()`).
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = error.problem or error.context or "not valid YAML"
        what = f"{error.context}, {what}" if what.startswith("but ") else what
        raise UserError(f"{name}:{line}:{column}: YAML: {what}{_yaml_hint(text, line, what)}") from None
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        raise UserError(
            f"{name}:{line}:{column}: YAML: character {ord(text[error.position]):#06x} isn't allowed; remove it"
        ) from None
    except (YAMLError, RecursionError, ValueError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{name}:1:1: YAML: {reason}") from None
    if node is None:
        raise UserError(f"{name}:1:1: the file is empty")
    return _Builder(name, yaml.constructor).build(node)


def _yaml_hint(text: str, line: int, what: str) -> str:
    """A mend for the two slips people make most: tabs, and the full-width colon of a Chinese keyboard."""
    lines = text.split("\n")
    nearby = lines[max(0, line - 2) : line]
    if "\\t" in what or any(row[: len(row) - len(row.lstrip())].count("\t") for row in nearby):
        return "; indent with spaces, not tabs"
    if any("：" in row and ": " not in row for row in nearby):
        return "; write ': ' (half width, with a space), not '：'"
    return ""


class _Builder:
    """Turns nodes into plain data, noting positions and collecting what a recipe can't have."""

    def __init__(self, name: str, constructor: Any) -> None:
        self.document = Document(name, None)
        self.problems = Problems(self.document)
        self.constructor = constructor
        self.count = 0
        self.open: list[int] = []

    def build(self, node: Any) -> tuple[Document, Problems]:
        self.document.data = self._value(node, ())
        return self.document, self.problems

    def _value(self, node: Any, trail: Trail) -> Any:
        self.document.values[trail] = (node.start_mark.line + 1, node.start_mark.column + 1)
        self.count += 1
        if self.count > _MAX_NODES or id(node) in self.open:
            self.problems.add(trail, "too many values, or an alias that contains itself")
            self.problems.check()
        kind = str(node.tag).removeprefix(_PREFIX)
        if kind == "map":
            self.open.append(id(node))
            value: Any = self._mapping(node, trail)
            self.open.pop()
            return value
        if kind == "seq":
            self.open.append(id(node))
            value = [self._value(item, (*trail, index)) for index, item in enumerate(node.value)]
            self.open.pop()
            return value
        return self._scalar(node, trail, kind)

    def _scalar(self, node: Any, trail: Trail, kind: str) -> Any:
        if kind in _TEXT:
            return node.value
        if kind in _CONSTRUCTED:
            try:
                return self.constructor.construct_object(node)
            except (ValueError, TypeError):
                self.problems.add(trail, f"{node.value!r} is not a valid {kind}")
                return None
        self.problems.add(trail, f"the YAML tag {node.tag} can't be used here")
        return None

    def _mapping(self, node: Any, trail: Trail) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            kind = str(key_node.tag).removeprefix(_PREFIX)
            position = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            # An unquoted number is fine as a key (`labels: {0: 不同}`): it is taken as it is written.
            if kind not in _TEXT and kind != "int":
                shown = f"{key_node.value!r} ({kind})" if isinstance(key_node.value, str) else kind
                self.document.values[(*trail, "?")] = position
                self.problems.add((*trail, "?"), f"a key must be text, not {shown}; put it in quotes")
                continue
            key = key_node.value
            here = (*trail, key)
            if key in data:
                first = self.document.keys[here][0]
                self.document.values[(*here, "again")] = position
                self.problems.add((*here, "again"), f"{key!r} is already given on line {first}; keep one of them")
                continue
            self.document.keys[here] = position
            data[key] = self._value(value_node, here)
        return data
