"""Templates: data in `recipes/templates/<family>.yaml`, one of them for each row.

A template made of text and plain `{{ name }}`s compiles to a polars expression; one that uses more of jinja2 is
rendered row by row in its immutable sandbox, where undefined names are errors and Python attributes out of reach.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from curate.lazy import pl
from curate.tasks import EXTRA, TASKS
from curate.types import UserError
from curate.yamlmarks import Problems, did_you_mean, parse_yaml

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
PARTS = ("system", "instruction", "input", "output")

#: What a template of each task may name.
VARIABLES: dict[str, tuple[str, ...]] = {
    "pair": ("a", "b", "answer", "choices", "options"),
    "classification": ("text", "answer", "choices", "options"),
    "mrc": ("title", "context", "question", "answer"),
    "summarization": ("text", "summary"),
    "dialogue": ("message", "reply"),
}


@dataclass(frozen=True)
class Template:
    """One wording. `inverted`: the label or answer is given and the text is asked for; never used for evaluation."""

    id: str
    instruction: str
    input: str
    output: str
    system: str = ""
    inverted: bool = False

    def variables(self, part: str) -> set[str]:
        """The names a part of the template uses."""
        text = getattr(self, part)
        if is_plain(text):
            return set(_PLACEHOLDER.findall(text))
        from jinja2 import meta

        return meta.find_undeclared_variables(_environment().parse(text))

    def pieces(self, part: str) -> list[tuple[str, bool]]:
        """The part cut into (text, True) and (variable's name, False); only for a plain part."""
        cut = _PLACEHOLDER.split(getattr(self, part))  # text, name, text, name, …
        return [(piece, i % 2 == 0) for i, piece in enumerate(cut) if piece]

    def expression(self, part: str) -> pl.Expr | None:
        """The part as a polars expression over the variables' columns; None if it needs jinja2."""
        if not is_plain(getattr(self, part)):
            return None
        exprs = [pl.lit(piece) if fixed else pl.col(piece) for piece, fixed in self.pieces(part)]
        return pl.concat_str(exprs) if exprs else pl.lit("")

    @cached_property
    def _compiled(self) -> dict[str, Callable[..., str]]:
        return {part: _environment().from_string(getattr(self, part)).render for part in PARTS}

    def render(self, part: str, row: dict[str, Any]) -> str:
        """The part through jinja2: the reference of `expression`, and the only way for anything beyond plain names."""
        return self._compiled[part](**row)


def is_plain(text: str) -> bool:
    """Nothing of jinja2 but `{{ name }}`."""
    rest = _PLACEHOLDER.sub("", text)
    return not any(mark in rest for mark in ("{{", "}}", "{%", "%}", "{#", "#}"))


def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # No autoescape: the output is text for a model, not HTML.
    made = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    # jinja2's own names (range, lipsum, …) are no variables of a task, and what is drawn at random differs by run.
    made.globals.clear()
    del made.filters["random"]
    return made


@dataclass(frozen=True)
class TemplateSet:
    """The templates of one file, and the hash of its bytes."""

    templates: tuple[Template, ...]
    sha256: str

    def eligible(self, evaluation: bool) -> tuple[Template, ...]:
        return tuple(t for t in self.templates if not (evaluation and t.inverted))


def load_templates(path: Path, task: str, extra: Iterable[str] = ()) -> TemplateSet:
    """Read and check a template file; those of the recipe's own fields (`extra`) that are text are variables too.

    Raises UserError with every problem as `file:line:column: …`.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: the template file can't be read ({error.strerror})") from None
    try:
        document, problems = parse_yaml(raw.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save the template file as UTF-8") from None
    data = document.data
    if not isinstance(data, dict) or not isinstance(data.get("templates"), list) or not data["templates"]:
        raise UserError(f"{path}:1:1: a template file has `task:` and a list `templates:`")
    if data.get("task") != task:
        problems.add(("task",), f"these templates are for task {data.get('task')!r}, the recipe's task is {task!r}")
        problems.check()  # what follows from it needs no line of its own
    known = (*VARIABLES[task], *(name for name in extra if EXTRA[task][name] == "str"))
    templates = []
    for i, entry in enumerate(data["templates"]):
        trail = ("templates", i)
        if _check_entry(entry, trail, problems):
            template = Template(**{"input": "", **entry})
            _check_template(template, task, known, trail, problems)
            templates.append(template)
    ids = [template.id for template in templates]
    for i, name in enumerate(ids):
        if name in ids[:i]:
            problems.add(("templates", i, "id"), f"the id {name!r} is used twice")
    if templates and all(template.inverted for template in templates):
        problems.add(("templates",), "all templates are inverted: evaluation splits need one that is not")
    problems.check()
    return TemplateSet(tuple(templates), hashlib.sha256(raw).hexdigest())


def _check_entry(entry: Any, trail: tuple[str | int, ...], problems: Problems) -> bool:
    keys = {"id": str, "instruction": str, "input": str, "output": str, "system": str, "inverted": bool}
    if not isinstance(entry, dict):
        problems.add(trail, "a template is a mapping with id, instruction, input and output")
        return False
    good = True
    for key, value in entry.items():
        if key not in keys:
            problems.add((*trail, key), f"unknown key {key!r}{did_you_mean(str(key), keys)}", key=True)
            good = False
        elif not isinstance(value, keys[key]):
            problems.add((*trail, key), f"{key} must be {'true or false' if key == 'inverted' else 'text'}")
            good = False
    for key in ("id", "instruction", "output"):
        if key not in entry:
            problems.add(trail, f"the template has no {key!r}")
            good = False
    return good


def _check_template(
    template: Template, task: str, known: tuple[str, ...], trail: tuple[str | int, ...], problems: Problems
) -> None:
    used: set[str] = set()
    for part in PARTS:
        try:
            names = template.variables(part)
        except Exception as error:  # jinja2's syntax errors
            problems.add((*trail, part), f"not a valid template ({error})")
            return
        for name in sorted(names - set(known)):
            problems.add((*trail, part), f"unknown variable {name!r}{did_you_mean(name, known, 'known are')}")
        used |= names
    if not template.output.strip():
        problems.add((*trail, "output"), "the output is empty")
    if template.inverted and TASKS[task].name == "pair":
        problems.add(trail, "a sentence pair has no inversion: its label doesn't determine it")
    if not used:
        problems.add(trail, "the template uses no field of the record")
