"""What is shipped, and what a recipe or a mixture says once it is understood: for `list` and `show`."""

from __future__ import annotations

import json
from typing import Any

from curate import resources
from curate.mixture.file import Mixture, is_mixture, load_mixture
from curate.recipefile import Recipe, load_recipe
from curate.types import UserError
from curate.yamlmarks import did_you_mean


def listed() -> list[dict[str, str]]:
    """name, task, title, version and license of every shipped recipe, then of every mixture (task "mixture")."""
    keys = ("name", "task", "title", "version", "license")
    recipes = map(load_recipe, resources.recipe_names())
    found = [{key: getattr(recipe, key) or "" for key in keys} for recipe in recipes]
    for mixture in map(load_mixture, resources.mixture_names()):
        about = (mixture.name, "mixture", mixture.fields.title, mixture.fields.version, "see each corpus")
        found.append(dict(zip(keys, about, strict=True)))
    return found


def described(name: str) -> dict[str, Any]:
    """What is said by a shipped recipe, a shipped mixture or a YAML file; a list has an entry a line."""
    known = [*resources.recipe_names(), *resources.mixture_names()]
    if not resources.is_path(name) and name not in known:
        shipped = f" (shipped: {', '.join(known)}; or give a YAML file)"
        raise UserError(f"unknown recipe or mixture {name!r}{did_you_mean(name, known)}{shipped}")
    facts = _mixture(load_mixture(name)) if is_mixture(name) else _recipe(load_recipe(name))
    return {key: value for key, value in facts.items() if value}


def _recipe(recipe: Recipe) -> dict[str, Any]:
    plain = ("name", "version", "title", "task", "license", "homepage", "citation", "description")
    facts = {key: getattr(recipe, key) for key in plain}
    facts |= {"file": str(recipe.path), "labels": [f"{key}: {word}" for key, word in recipe.labels.items()]}
    facts["source"] = [
        f"reader: {', '.join(recipe.source.reader)}",
        *(f"{split}: {'  '.join(patterns)}" for split, patterns in recipe.source.files.items()),
        *(f"{key}: {value}" for key in ("hub", "columns", "encoding") if (value := getattr(recipe.source, key))),
    ]
    facts["steps"] = [
        f"{use.name} {json.dumps(use.options.model_dump(mode='json', by_alias=True), ensure_ascii=False)}"
        for use in recipe.steps
    ]
    facts |= {"templates": recipe.templates, "metrics": ", ".join(recipe.metrics), "tune": _tune(recipe.tune)}
    return facts


def _mixture(mixture: Mixture) -> dict[str, Any]:
    fields = mixture.fields
    facts: dict[str, Any] = {"name": fields.name, "version": fields.version, "title": fields.title, "task": "mixture"}
    facts |= {"description": fields.description, "file": str(mixture.path)}
    facts["parts"] = [
        " ".join([f"{name}:", *(f"{key}={value}" for key, value in said.items())])
        for name, part in mixture.parts.items()
        for said in [{"run": f"runs/{name}"} | part.model_dump(exclude_none=True)]
    ]
    facts |= {"temperature": fields.temperature, "total": fields.total, "tune": _tune(fields.tune)}
    return facts


def _tune(said: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in said.items())
