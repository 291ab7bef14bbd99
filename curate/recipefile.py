"""YAML → Recipe: one validated object, or every error at once with file:line:column and the nearest name."""

from __future__ import annotations

import codecs
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from curate import resources
from curate.fielderrors import note_errors
from curate.stepcheck import StepUse, check_steps, step_schema
from curate.tasks import EXTRA, TASKS, Task
from curate.types import UserError
from curate.yamlmarks import Document, Problems, Trail, did_you_mean, parse_yaml


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _columns(value: Any) -> tuple[str, ...] | dict[str, str]:
    """`a,b,label`, a list of names in file order, or a mapping of fields to names."""
    value = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    names = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(names, list):
        raise ValueError("must be a list of names, or a mapping like {text: 评论, label: 情感}")
    if not names or not all(names):
        raise ValueError("must not be empty")
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"a column's name must be text, not {name!r}; put it in quotes")
    return value if isinstance(value, dict) else tuple(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, (list, dict)) or value is None:
        raise ValueError("must be one value: text, a number, true or false")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _encoding(value: str) -> str:
    try:
        return codecs.lookup(value).name
    except LookupError:
        raise ValueError(f"unknown encoding {value!r}; use e.g. utf-8 or gb18030") from None


Text = Annotated[str, Field(min_length=1)]
OneOrMany = str | list[str]
Names = Annotated[
    tuple[Text, ...], BeforeValidator(_one_or_many, json_schema_input_type=OneOrMany), Field(min_length=1)
]
Columns = Annotated[Any, BeforeValidator(_columns, json_schema_input_type=OneOrMany | dict[str, str])]
Scalar = Annotated[Any, BeforeValidator(_scalar, json_schema_input_type=str | int | float | bool)]


#: Overrides that name a file or a folder.
_NAMING_FILES = (
    "segment.user_dict",
    "token_length.tokenizer",
    "blocklist.file",
    "decontaminate.against",
    "semantic_dedup.model",
)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecipeSource(Strict):
    """Where a corpus's bytes are and which reader knows its layout."""

    reader: Names = Field(description="the reader, or several: the first whose layout fits the file is used")
    files: dict[Literal["train", "validation", "test"], Names] = Field(
        min_length=1, description="file patterns of each split: ordered alternatives, the first that matches wins"
    )
    hub: Text | None = Field(None, description="the corpus's name on the Hugging Face Hub")
    columns: Columns | None = Field(None, description="the columns in file order, or {field: column}")
    encoding: Annotated[Text, AfterValidator(_encoding)] | None = Field(None, description="found out where not given")


class RecipeFields(Strict):
    """What a recipe file may say."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="lower case, stands in every row's id")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$", description="the recipe's own version, like 1.0.0")
    title: Text = Field(description="the corpus's name for people")
    task: Literal["pair", "classification", "mrc", "summarization", "dialogue"]
    license: Text | None = None
    homepage: Text | None = None
    citation: Text | None = None
    description: Text | None = None
    labels: dict[Text, Text] = Field({}, description="label → the word a model reads and writes (label tasks only)")
    fields: tuple[Literal["target", "intent", "slots"], ...] = Field(
        (), description="fields of the corpus beside those of its task; they stand in every sample's meta"
    )
    source: RecipeSource
    steps: tuple[Any, ...] = ()
    templates: Text = Field(description="a shipped template file's name, or a YAML file beside the recipe")
    metrics: Names
    tune: dict[Text, Scalar] = Field({}, description="defaults of `tune recipe NAME`")


class Recipe(RecipeFields):
    """A checked recipe; `path`, `sha256` (of the file) and `overrides` (sorted) say where it came from."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    steps: tuple[StepUse, ...] = ()
    path: Path
    sha256: str
    overrides: dict[str, Any] = {}

    @property
    def family(self) -> Task:
        """Its task, with the fields that only this corpus has."""
        return TASKS[self.task].extended(self.fields)

    @property
    def templates_path(self) -> Path:
        """The file its templates are in."""
        return resources.template_path(self.templates, self.path.parent)

    @property
    def told_overrides(self) -> dict[str, Any]:
        """Its overrides as a run tells them: of a file or folder only the name, wherever on this machine it lies."""

        def told(value: Any) -> Any:
            if isinstance(value, list):
                return [told(one) for one in value]
            return Path(str(value)).name if Path(str(value)).exists() else value

        return {key: told(value) if key in _NAMING_FILES else value for key, value in self.overrides.items()}

    @property
    def leading(self) -> tuple[StepUse, ...]:
        """The local steps before the first judgement; without one, all before those that look at samples."""
        late = ("segment", "token_length")
        ends = (i for i, use in enumerate(self.steps) if use.step.kind == "judgement" or use.name in late)
        return self.steps[: next(ends, len(self.steps))]

    @property
    def trailing(self) -> tuple[StepUse, ...]:
        """The local steps of the writing pass."""
        return tuple(use for use in self.steps[len(self.leading) :] if use.step.kind == "local")

    def step(self, name: str) -> StepUse | None:
        """The use of the step called `name`, or None."""
        return next((use for use in self.steps if use.name == name), None)


def load_recipe(name_or_path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Read and check a shipped recipe or a YAML file; `overrides` are `step.option=value` or `source.key=value`."""
    path = find_file(str(name_or_path), "recipe")
    raw, document, problems = read_yaml(path, "recipe", "name, version, title, task")
    if "parts" in document.data and "source" not in document.data:
        raise other_kind(path, "recipe")
    applied = _override(document, problems, overrides)
    steps = check_steps(document, problems, path.parent)
    fields = _check_fields(document, problems)
    _check_sense(document, problems, path)
    problems.check()
    assert fields is not None  # a ValidationError would have been a problem
    values: dict[str, Any] = {key: getattr(fields, key) for key in RecipeFields.model_fields}
    values |= {"steps": steps, "path": path, "sha256": hashlib.sha256(raw).hexdigest(), "overrides": applied}
    return Recipe(**values)


def recipe_schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors; steps are a list of names or `{name: {options}}`."""
    schema = RecipeFields.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    schema["properties"]["steps"] = {"type": "array", "items": step_schema(definitions)}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "jingtiao recipe"}


def find_file(name: str, kind: str) -> Path:
    """The file of a shipped "recipe" or "mixture", or the path that `name` is. Raises UserError for any other name."""
    if resources.is_path(name):
        return Path(name)
    recipes, mixtures = (
        (resources.recipe_names, resources.recipe_path),
        (resources.mixture_names, resources.mixture_path),
    )
    (names, path), (others, _) = (recipes, mixtures) if kind == "recipe" else (mixtures, recipes)
    known = names()
    if name in known:
        return path(name)
    if name in others():
        raise other_kind(name, kind)
    shipped = f" (shipped: {', '.join(known)}; or give a YAML file)"
    raise UserError(f"unknown {kind} {name!r}{did_you_mean(name, known)}{shipped}")


def other_kind(name: str | Path, wanted: str) -> UserError:
    """The error of a mixture where a recipe is wanted, or the other way round: it names the verb."""
    kind, verb = {"recipe": ("mixture", "mix"), "mixture": ("recipe", "recipe")}[wanted]
    return UserError(f"{name} is a {kind}, not a {wanted}: python -m curate {verb} {name}")


def read_yaml(path: Path, what: str, keys: str) -> tuple[bytes, Document, Problems]:
    """The bytes of a file and the mapping in it; `what` it is, and which `keys` it has, is for the messages."""
    raw = _read(path, what)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{_shown(path)}:{line}:1: not UTF-8; save the {what} as UTF-8") from None
    document, problems = parse_yaml(text, _shown(path))
    if not isinstance(document.data, dict):
        problems.add((), f"a {what} is a mapping of keys ({keys}, …)")
        problems.check()
    return raw, document, problems


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such {what} file") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read as a {what}: {error.strerror}") from None


def _shown(path: Path) -> str:
    """The path as error messages show it: relative to the working folder where it is inside."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _override(document: Document, problems: Problems, overrides: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """Write each `--set` into the raw data, so that it is checked as if the file said it; returns them sorted."""
    applied: dict[str, Any] = {}
    for text in overrides:
        said = f"--set {text}"
        target, equals, value_text = text.partition("=")
        step, dot, option = target.strip().partition(".")
        if not (equals and dot and step and option):
            problems.add_said(said, "write it as step.option=value or source.columns=a,b,label")
            continue
        try:
            value = _value(value_text, said)
        except UserError:
            problems.add_said(said, "the value is not valid YAML; put it in quotes")
            continue
        holder = _source_of(document) if step == "source" else _step_of(document, problems, said, step)
        if holder is None:
            continue
        trail, options = holder
        # Set last wins, and what was written below that key in the file no longer counts.
        options[option] = value
        document.said[(*trail, option)] = said
        applied[f"{step}.{option}"] = value
    return dict(sorted(applied.items()))


def _value(text: str, said: str) -> Any:
    if not text.strip():
        return ""
    document, problems = parse_yaml(text, said)
    problems.check()
    return document.data


def _source_of(document: Document) -> tuple[Trail, dict[str, Any]] | None:
    source = document.data.get("source")
    return (("source",), source) if isinstance(source, dict) else None


def _step_of(document: Document, problems: Problems, said: str, step: str) -> tuple[Trail, dict[str, Any]] | None:
    """The raw options of a step in the recipe's list, made a mapping where the file has only the name."""
    raw = document.data.get("steps")
    steps = raw if isinstance(raw, list) else []
    names: list[str] = []
    for index, entry in enumerate(steps):
        name = entry if isinstance(entry, str) else next(iter(entry), None) if isinstance(entry, dict) else None
        if name != step:
            names.extend([name] if isinstance(name, str) else [])
            continue
        options = entry.get(step) if isinstance(entry, dict) else None
        if options is None or isinstance(entry, str):
            options = {}
            steps[index] = {step: options}
        return (("steps", index, step), options) if isinstance(options, dict) else None
    hint = did_you_mean(step, [*names, "source"])
    problems.add_said(said, f"the recipe has no step {step!r}{hint or '; it has ' + ', '.join(names)}")
    return None


# --- fields ----------------------------------------------------------------------------------------------------------


def _check_fields(document: Document, problems: Problems) -> RecipeFields | None:
    # The steps have been checked on their own; a wrong kind of value there has been noted already.
    data = {key: value for key, value in document.data.items() if key != "steps"}
    try:
        return RecipeFields.model_validate(data)
    except ValidationError as errors:
        models: dict[Trail, type[BaseModel]] = {(): RecipeFields, ("source",): RecipeSource}
        note_errors(problems, errors, (), lambda trail: list(models[trail].model_fields) if trail in models else [])
        return None


# --- what the parts mean together ------------------------------------------------------------------------------------


@dataclass
class _Sense:
    """The checks that need more than one field; every part may be missing or of a wrong kind, noted elsewhere."""

    data: dict[str, Any]
    problems: Problems

    def labels(self) -> None:
        task = TASKS.get(str(self.data.get("task")))
        labels = self.data.get("labels")
        if task is None:
            return
        if task.has_labels and not labels:
            trail: Trail = ("labels",) if "labels" in self.data else ()
            self.problems.add(trail, f'task {task.name} needs labels, like {{"0": 不同, "1": 相同}}', key=True)
        elif not task.has_labels and "labels" in self.data:
            self.problems.add(("labels",), f"task {task.name} has no labels; remove 'labels'", key=True)
        seen: dict[str, str] = {}
        for key, word in labels.items() if isinstance(labels, dict) else ():
            if isinstance(word, str) and word in seen:
                self.problems.add(("labels", key), f"{word!r} is already the word of label {seen[word]!r}")
            seen[str(word)] = key

    def fields(self) -> None:
        known = EXTRA.get(str(self.data.get("task")), {})
        given = self.data.get("fields")
        for index, name in enumerate(given if isinstance(given, list) else ()):
            if isinstance(name, str) and name not in known:
                hint = f"; it may have {', '.join(known)}" if known else "; remove it"
                self.problems.add(("fields", index), f"task {self.data.get('task')} has no field {name!r}{hint}")

    def columns(self) -> None:
        task, source = TASKS.get(str(self.data.get("task"))), self.data.get("source")
        columns = source.get("columns") if isinstance(source, dict) else None
        if task is None or not isinstance(columns, dict):
            return
        extra = self.data.get("fields")
        known = [*task.fields, *(extra if isinstance(extra, list) else ())]
        for name in columns:
            if name not in known:
                hint = did_you_mean(name, known, "they are")
                what = f"task {task.name} has no field {name!r}{hint}"
                self.problems.add(("source", "columns", name), what, key=True)

    def metrics(self) -> None:
        task = TASKS.get(str(self.data.get("task")))
        given = _one_or_many(self.data.get("metrics"))
        for index, name in enumerate(given if task and isinstance(given, list) else ()):
            if task and isinstance(name, str) and name not in task.metrics:
                hint = did_you_mean(name, task.metrics, "they are")
                self.problems.add(("metrics", index), f"{name!r} is not a metric of task {task.name}{hint}")

    def readers(self) -> None:
        from curate.readers import READERS

        source = self.data.get("source")
        given = _one_or_many(source.get("reader")) if isinstance(source, dict) else None
        for index, name in enumerate(given if isinstance(given, list) else ()):
            if isinstance(name, str) and name not in READERS:
                hint = did_you_mean(name, READERS, "readers are")
                self.problems.add(("source", "reader", index), f"unknown reader {name!r}{hint}")

    def templates(self, folder: Path) -> None:
        name = self.data.get("templates")
        if isinstance(name, str) and name and not resources.template_path(name, folder).is_file():
            hint = did_you_mean(name, resources.template_names(), "shipped are")
            self.problems.add(("templates",), f"no templates {name!r}{hint}")


def _check_sense(document: Document, problems: Problems, path: Path) -> None:
    sense = _Sense(document.data, problems)
    sense.labels()
    sense.fields()
    sense.columns()
    sense.metrics()
    sense.readers()
    sense.templates(path.parent)
