"""The versions that a run's bytes depend on."""

from __future__ import annotations

import unicodedata
from importlib.metadata import PackageNotFoundError, version

from curate.readers.workbook import calamine_package
from curate.recipe import Recipe
from curate.sources import Source


def own_version() -> str:
    try:
        return version("jingtiao")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"


def of(recipe: Recipe, source: Source) -> dict[str, str]:
    """Versions of what touches text: ours, polars and its hash, jinja2, Python's Unicode tables, and where they are
    used the reader of workbooks, the segmenters and OpenCC."""
    names = ["polars", "polars-hash", "jinja2"]
    if any(info.encoding == "xlsx" for info in source.infos.values()):
        names.append(calamine_package())
    if recipe.step("segment") is not None:
        names += ["jieba", "rjieba"]
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
