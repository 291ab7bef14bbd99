"""The steps of a recipe: each name and its options, the order they stand in, and whether they suit the task."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from curate.fielderrors import note_errors
from curate.steps import STEPS, Step
from curate.tasks import EXTRA, TASKS, Task
from curate.yamlmarks import Document, Problems, Trail, did_you_mean

#: The options that name fields of a record.
_FIELD_OPTIONS = ("fields", "key", "field")
#: What changes the text, and the steps that want it as it will be written: locate_answer for its places, chunk for
#: whole numbers (half of one is not known), segment for its words, decontaminate for what it compares. [手机号] must
#: not be taken for an emoticon's mark.
_CHANGES_TEXT = {
    **dict.fromkeys(
        ("normalise", "join_words", "strip_markup", "convert_script"), ("redact_pii", "locate_answer", "decontaminate")
    ),
    "redact_pii": ("locate_answer", "chunk", "segment"),
    "blocklist": ("segment",),
}
#: Steps that say nothing without labels, and options that may be `label`: where there are none, what to do instead.
_OF_LABELS = ("label_conflict", "balance")
_BY_LABEL = {
    "cap": ("per", "use 'per: answer' or 'per: template'"),
    "sample": ("per", "remove 'per'"),
    "split": ("stratify", "remove 'stratify'"),
}


@dataclass(frozen=True)
class StepUse:
    """A step as a recipe uses it: its name and its options, checked."""

    name: str
    options: Any

    @property
    def step(self) -> Step:
        """Its row in the step table."""
        return STEPS[self.name]


def check_steps(document: Document, problems: Problems, folder: Path) -> tuple[StepUse, ...]:
    """The steps of a recipe's raw data; what is wrong with them goes to `problems`. `folder` is the recipe file's."""
    raw = document.data.get("steps", [])
    if not isinstance(raw, list):
        problems.add(("steps",), "steps: must be a list, one '- step' a line")
        return ()
    task = _family(document)
    uses: list[StepUse] = []
    named: list[tuple[str, int]] = []
    for index, entry in enumerate(raw):
        found = _entry(problems, index, entry)
        if found is None:
            continue
        name, trail, options = found
        if name in [earlier for earlier, _ in named]:
            problems.add(trail, f"step {name!r} is already in the list; a step stands there once", key=True)
            continue
        named.append((name, index))
        if task is not None:
            _check_fields(problems, trail, name, options, task)
        if name == "decontaminate":
            options = _check_benchmarks(document, problems, trail, options, folder)
        use = _options(problems, trail, name, options)
        if use is not None:
            uses.append(use)
    _check_order(problems, named)
    if task is not None:
        _check_task(document, problems, named, task)
    return tuple(uses)


def _entry(problems: Problems, index: int, entry: Any) -> tuple[str, Trail, dict[str, Any]] | None:
    """One entry of the list as (name, where, raw options); None where that much can't be made out."""
    trail: Trail = ("steps", index)
    options: Any = None
    name = entry
    if isinstance(entry, dict):
        if len(entry) != 1:
            problems.add(trail, "a step is 'name' or 'name: {options}'; begin each step with its own '- '")
            return None
        name, options = next(iter(entry.items()))
        trail = (*trail, name)
    if not isinstance(name, str):
        problems.add(trail, f"a step is 'name' or 'name: {{options}}', not {name!r}")
        return None
    if name not in STEPS:
        problems.add(trail, f"unknown step {name!r}{did_you_mean(name, STEPS, 'steps are')}", key=True)
        return None
    if options is not None and not isinstance(options, dict):
        problems.add(trail, f"the options of {name!r} must be a mapping like {{option: value}}")
        return None
    return name, trail, options or {}


def _options(problems: Problems, trail: Trail, name: str, options: dict[str, Any]) -> StepUse | None:
    model: type[BaseModel] = STEPS[name].options
    try:
        # As JSON and strict: a list may become a tuple and a text a path, but `true` is no 1 and "3" no 3.
        return StepUse(name, model.model_validate_json(json.dumps(options), strict=True))
    except ValidationError as errors:
        # `steps: [cap]` has no mapping of its own: what is missing is reported at the name.
        base = trail if options else ("steps", trail[1])
        known = [field.alias or key for key, field in model.model_fields.items()]
        note_errors(problems, errors, base, lambda _: known, step=name)
        return None


def _check_benchmarks(
    document: Document, problems: Problems, trail: Trail, options: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """The options with the paths of the benchmarks as they are from here: the recipe file's are relative to it."""
    given = options.get("against")
    files = [given] if isinstance(given, str) else given
    if not isinstance(files, list) or not all(isinstance(name, str) and name for name in files):
        return options  # the model says what is wrong
    here = (*trail, "against")
    paths = files if here in document.said else [str(folder / name) for name in files]
    names = [Path(path).name for path in paths]
    for index, path in enumerate(paths):
        where = (*here, index) if isinstance(given, list) else here
        if not Path(path).is_file():
            beside = "the working folder" if paths is files else "the recipe file"
            problems.add(where, f"{files[index]}: there is no such file; paths are relative to {beside}")
        elif not os.access(path, os.R_OK):
            problems.add(where, f"{files[index]}: the file can't be read; change its permissions")
        elif names[index] in names[:index]:
            problems.add(where, f"two benchmarks are called {names[index]!r}, by which rows are told: rename one")
    return {**options, "against": paths}


def _family(document: Document) -> Task | None:
    """The task of a recipe's raw data with the extra fields it names; what is wrong with those is said elsewhere."""
    task = TASKS.get(str(document.data.get("task")))
    named = document.data.get("fields")
    known = EXTRA.get(task.name, {}) if task else {}
    return task and task.extended(name for name in (named if isinstance(named, list) else ()) if name in known)


def _check_fields(problems: Problems, trail: Trail, name: str, options: dict[str, Any], task: Task) -> None:
    """Options that name fields of a record must name fields this task has."""
    columns = options.get("columns") if name == "decontaminate" else None
    for field in columns if isinstance(columns, dict) else ():
        if field not in (options.get("key") or task.leak_key):
            problems.add((*trail, "columns", field), f"{field!r} is not compared; name it in 'key' too", key=True)
    for option in _FIELD_OPTIONS:
        given = options.get(option)
        here = (*trail, option)
        many = isinstance(given, list)
        for index, field in enumerate(given if isinstance(given, list) else [given]):
            if isinstance(field, str) and field not in task.fields:
                hint = did_you_mean(field, task.fields, "it has")
                problems.add((*here, index) if many else here, f"task {task.name} has no field {field!r}{hint}")
    field = options.get("field")
    if name == "select" and isinstance(field, str) and task.fields.get(field, "int") != "int":
        problems.add((*trail, "field"), f"select compares numbers; {field!r} is not a number in task {task.name}")


def _check_order(problems: Problems, named: list[tuple[str, int]]) -> None:
    """local…, judgement…, local…; and nothing changes the text behind a step that wants it as it will be written."""
    judged = closed = ""
    seen: list[str] = []
    for name, index in named:
        trail = _name_trail(problems, index, name)
        if STEPS[name].kind == "local":
            closed = closed or (name if judged else "")
        elif closed:
            problems.add(
                trail, f"{name!r} judges all rows and must stand beside {judged!r}, before {closed!r}", key=True
            )
        else:
            judged = name
        if late := [other for other in seen if other in _CHANGES_TEXT.get(name, ())]:
            problems.add(trail, f"{name!r} changes the text and must stand before {late[0]!r}", key=True)
        elif name == "redact_pii" and judged:
            problems.add(trail, f"{name!r} masks what is compared and must stand before {judged!r}", key=True)
        elif name == "decontaminate" and "chunk" in seen:
            problems.add(trail, f"{name!r} compares whole texts and must stand before 'chunk'", key=True)
        seen.append(name)


def _check_task(document: Document, problems: Problems, named: list[tuple[str, int]], task: Task) -> None:
    for name, index in named:
        trail = _name_trail(problems, index, name)
        if name == "locate_answer" and task.name != "mrc":
            problems.add(trail, f"'locate_answer' is for task mrc; this recipe's task is {task.name}", key=True)
        if name == "chunk" and "text" not in task.fields:
            problems.add(trail, f"'chunk' cuts the field text, which task {task.name} doesn't have", key=True)
        if name == "chunk":
            _check_chunk(document, problems, named, index, task)
        if name == "convert_script" and task.name == "mrc" and "locate_answer" not in dict(named):
            problems.add(
                trail, "'convert_script' moves the answers of task mrc: add 'locate_answer' after it", key=True
            )
        if name == "token_length":
            _check_tokens(document, problems, named, index, task)
        if name in ("near_dedup", "semantic_dedup"):
            _check_near(document, problems, name, index, task)
        if name in _OF_LABELS and not task.has_labels:
            problems.add(trail, f"{name!r} needs labels; task {task.name} has none", key=True)
        options = _raw_options(document, index, name)
        option, cure = _BY_LABEL.get(name, ("", ""))
        if options.get(option) == "label" and not task.has_labels:
            problems.add((*trail, option), f"task {task.name} has no labels; {cure}")
        if name == "split" and options.get("connected") is True and (task.name != "pair" or options.get("key")):
            problems.add(
                (*trail, "connected"), "'connected' is for task pair, by both of its sentences and no other key"
            )


def _raw_options(document: Document, index: int, name: str) -> dict[str, Any]:
    """What the file says of a step's options; empty where it says nothing, or nothing that could be read."""
    entry = document.data["steps"][index]
    options = entry.get(name) if isinstance(entry, dict) else None
    return options if isinstance(options, dict) else {}


def _check_chunk(document: Document, problems: Problems, named: list[tuple[str, int]], index: int, task: Task) -> None:
    """Parts of a row are samples: nothing but `segment` may stand behind, and only a label holds for all of them."""
    if _raw_options(document, index, "chunk").get("mode") != "split":
        return
    for name, at in named:
        if name == "cap" and _raw_options(document, at, name).get("per") == "template":
            trail = ("steps", at, "cap", "per")
            problems.add(trail, "the parts that 'chunk' makes get templates of their own, which 'cap' can't count")
    trail = ("steps", index, "chunk", "mode")
    if task.name != "classification":
        problems.add(trail, f"the parts of a text have no {task.answer} of their own; use 'mode: cut'")
    after = [name for name, at in named if at > index and name not in ("segment", "token_length")]
    before = [name for name, at in named if at < index and STEPS[name].kind == "judgement"]
    if after or not before:
        problems.add(
            trail,
            "'split' makes rows of a row: it stands behind the judgements, only 'segment' and 'token_length' after it",
        )


def _check_tokens(
    document: Document, problems: Problems, named: list[tuple[str, int]], index: int, task: Task
) -> None:
    """Samples are measured as they will be written: nothing behind may change or remove them."""
    options = _raw_options(document, index, "token_length")
    trail = _name_trail(problems, index, "token_length")
    later = [name for name, at in named if at > index and name != "segment"]
    if later:
        problems.add(trail, f"'token_length' measures what is written and must stand behind {later[-1]!r}", key=True)
    for name, at in named:
        if name == "segment" and (at < index) != (_raw_options(document, at, name).get("as") == "text"):
            where = "before" if at < index else "behind"
            problems.add(
                trail, f"'token_length' must stand {where} 'segment', which cuts the text as written", key=True
            )
        parts = name == "chunk" and _raw_options(document, at, name).get("mode") == "split"
        if parts and options.get("on_long", "keep") != "keep":
            problems.add(
                (*trail, "on_long"), "the parts that 'chunk' makes go together; use 'keep' and a smaller chunk"
            )
    name = options.get("tokenizer")
    if isinstance(name, str) and name:
        from curate.text.tokens import folder_problem

        if problem := folder_problem(name):
            problems.add((*trail, "tokenizer"), problem)
    if options.get("on_long") != "truncate_context":
        return
    if task.name == "pair":
        problems.add((*trail, "on_long"), "a sentence pair has nothing that may be shortened; use 'reject'")
    if task.name == "mrc" and "locate_answer" not in dict(named):
        problems.add((*trail, "on_long"), "contexts are cut around their answers: add 'locate_answer' before it")


def _check_near(document: Document, problems: Problems, name: str, index: int, task: Task) -> None:
    """Labels, short texts and models are asked for where there are any."""
    options = _raw_options(document, index, name)
    trail = ("steps", index, name)
    if options.get("within") == "label" and not task.has_labels:
        problems.add((*trail, "within"), f"task {task.name} has no labels; remove 'within'")
    if options.get("short") == "edit1" and options.get("ngram", "auto") != "auto":
        problems.add((*trail, "short"), "'short' is for 'ngram: auto'; with a number texts of any length are n-grams")
    if isinstance(model := options.get("model"), str) and model:
        from curate.semantic_model import model_problem

        if problem := model_problem(model):
            problems.add((*trail, "model"), problem)


def _name_trail(problems: Problems, index: int, name: str) -> Trail:
    """Where the name of a step stands: the entry itself, or the key of its mapping."""
    entry = problems.document.data["steps"][index]
    return ("steps", index, name) if isinstance(entry, dict) else ("steps", index)


def step_schema(definitions: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of one entry of `steps`; the definitions its options refer to are added to `definitions`."""
    plain = []
    objects = []
    for name, step in STEPS.items():
        schema = step.options.model_json_schema()
        definitions.update(schema.pop("$defs", {}))
        schema.pop("title", None)
        about = (step.module.__doc__ or "").strip().split("\n")[0]
        # A step with an option that must be given can't stand as a bare name.
        bare = not schema.get("required") and "oneOf" not in schema
        if bare:
            plain.append(name)
        options = {"anyOf": [schema, {"type": "null"}]} if bare else schema
        objects.append(
            {
                "type": "object",
                "description": about,
                "properties": {name: options},
                "required": [name],
                "additionalProperties": False,
            }
        )
    return {"anyOf": [{"enum": plain, "description": "a step with its default options"}, *objects]}
