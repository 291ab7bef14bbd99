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
    """Versions of what touches text: ours, polars and its hash, jinja2, segmenter, OpenCC, Python's Unicode tables."""
    names = ["polars", "polars-hash", "jinja2"]
    if recipe.step("segment") is not None:
        names += ["jieba", "rjieba"]
    near = recipe.step("near_dedup")
    if near is not None and near.options.threshold != "off":
        names.append("numpy")
    script = recipe.step("convert_script")
    if script is not None and script.options.config != "off":
        from curate.steps.convert_script import opencc_version

        opencc_version()  # said here where it is missing, before anything is read
        names.append("opencc")
    return {
        "jingtiao": own_version(),
        **{name: version(name) for name in names},
        "unicode": unicodedata.unidata_version,
    }
