"""YAML → Mixture: which runs, and by what their rows are shared out; every error at once with file:line:column."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from curate import resources
from curate.fielderrors import note_errors
from curate.recipefile import Scalar, Strict, Text, find_file, other_kind, read_yaml
from curate.types import UserError
from curate.yamlmarks import Document, Problems

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]


class PartOptions(Strict):
    """What a mixture says of one part."""

    run: Text | None = Field(None, description="the run folder; default: runs/NAME")
    weight: float | None = Field(None, ge=0, allow_inf_nan=False, description="its share is in proportion to this")
    cap: int | None = Field(None, ge=1, description="at most so many different rows of train")


class MixtureFields(Strict):
    """What a mixture file may say."""

    name: Name
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    title: Text
    description: Text | None = None
    parts: dict[Name, PartOptions | None] = Field(min_length=1)
    temperature: float | None = Field(None, ge=1, allow_inf_nan=False)
    total: int | None = Field(None, ge=1, description="rows of train in all")
    tune: dict[Text, Scalar] = Field({}, description="defaults of tuning on the mixture, before those of its parts")


@dataclass(frozen=True)
class Mixture:
    """A checked mixture; parts by name, whatever their order in the file."""

    fields: MixtureFields
    parts: dict[str, PartOptions]
    path: Path
    sha256: str

    @property
    def name(self) -> str:
        return self.fields.name

    @property
    def weighted(self) -> bool:
        """Whether the parts name their weights."""
        return any(part.weight is not None for part in self.parts.values())


def is_mixture(name_or_path: str) -> bool:
    """Whether this is a mixture rather than a recipe: a shipped one's name, or a file with a key `parts`."""
    if name_or_path in resources.mixture_names():
        return True
    try:
        _, document, _ = read_yaml(Path(name_or_path), "mixture", "parts")
    except UserError:
        return False
    return "parts" in document.data


def load_mixture(name_or_path: str) -> Mixture:
    """Read and check a shipped mixture or a YAML file. Raises UserError with everything that is wrong."""
    path = find_file(name_or_path, "mixture")
    raw, document, problems = read_yaml(path, "mixture", "name, version, title, parts")
    if "source" in document.data and "parts" not in document.data:
        raise other_kind(path, "mixture")
    fields = _check_fields(document, problems)
    _check_sense(document.data, problems)
    problems.check()
    assert fields is not None  # a ValidationError would have been a problem
    parts = {name: fields.parts[name] or PartOptions.model_validate({}) for name in sorted(fields.parts)}
    return Mixture(fields, parts, path, hashlib.sha256(raw).hexdigest())


def _check_fields(document: Document, problems: Problems) -> MixtureFields | None:
    try:
        # As JSON and strict: `true` is no 1 and "3" no 3.
        return MixtureFields.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as errors:

        def known(trail: tuple[str | int, ...]) -> list[str]:
            model = {0: MixtureFields, 2: PartOptions}.get(len(trail))
            return list(model.model_fields) if model else []

        note_errors(problems, errors, (), known)
        return None


def _check_sense(data: dict[str, Any], problems: Problems) -> None:
    """What contradicts itself: rows are shared out by weights, by a temperature, or not at all (caps alone)."""
    raw = data.get("parts")
    options = {name: part or {} for name, part in raw.items()} if isinstance(raw, dict) else {}
    options = {name: part for name, part in options.items() if isinstance(part, dict)}
    weights = {name: part["weight"] for name, part in options.items() if part.get("weight") is not None}
    temperature = data.get("temperature") is not None
    if temperature and weights:
        problems.add(("temperature",), "'temperature' and the weights of the parts contradict; keep one", key=True)
    elif weights:
        for name in options.keys() - weights.keys():
            what = f"part {name!r} has no weight, though others have; 'weight: 0' takes its evaluation rows only"
            problems.add(("parts", name), what)
    if weights and not any(weights.values()):
        problems.add(("parts",), "all weights are 0: no row of train is asked for", key=True)
    if data.get("total") is not None and not (temperature or weights):
        what = "'total' needs something to share it out by: weights, or 'temperature: 1' for shares by size"
        problems.add(("total",), what, key=True)
