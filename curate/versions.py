"""The versions that a run's bytes depend on."""

from __future__ import annotations

import unicodedata
from importlib.metadata import PackageNotFoundError, version

from curate.recipe import Recipe


def own_version() -> str:
    try:
        return version("jingtiao")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"


def of(recipe: Recipe) -> dict[str, str]:
    """Versions of what touches text: ours, polars, its hash plugin, jinja2, the segmenter, Python's Unicode tables."""
    names = ["polars", "polars-hash", "jinja2"]
    if recipe.step("segment") is not None:
        names += ["jieba", "rjieba"]
    return {
        "jingtiao": own_version(),
        **{name: version(name) for name in names},
        "unicode": unicodedata.unidata_version,
    }
