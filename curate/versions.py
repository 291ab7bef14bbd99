"""The versions that a run's bytes depend on."""

from __future__ import annotations

import hashlib
import unicodedata
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from curate.readers.workbook import calamine_package
from curate.recipefile import Recipe
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
    if recipe.step("token_length") is not None:
        names.append("tokenizers")
    reading = (use for use in recipe.steps if use.step.reads)
    compares = recipe.step("decontaminate") is not None
    if compares or any(use.step.module.texts(use.options, recipe.family) for use in reading):
        names.append("numpy")
    script = recipe.step("convert_script")
    if script is not None and script.options.config != "off":
        from curate.steps.convert_script import opencc_version

        opencc_version()  # said here where it is missing, before anything is read
        names.append("opencc")
    files = _files(recipe)
    if recipe.step("semantic_dedup") is not None:  # whether they are there is said with the model
        names += ["model2vec", *({"tokenizers"} - set(names))]
    return {
        "jingtiao": own_version(),
        **{name: version(name) for name in names},
        "unicode": unicodedata.unidata_version,
        **files,
    }


def _files(recipe: Recipe) -> dict[str, str]:
    """The sha256 of the user's own files that steps read; what is wrong with one is said before anything is read."""
    files = {}
    segment, blocklist, semantic = map(recipe.step, ("segment", "blocklist", "semantic_dedup"))
    if segment is not None and segment.options.as_ != "off" and segment.options.user_dict:
        from curate.text.segment import read_user_dict

        read_user_dict(segment.options.user_dict)
        files["user_dict"] = hashlib.sha256(Path(segment.options.user_dict).read_bytes()).hexdigest()
    if blocklist is not None:
        from curate.steps.blocklist import read_words

        files["blocklist"] = read_words(blocklist.options.file)[1]
    if (use := recipe.step("decontaminate")) is not None:
        from curate.benchmark import sha256_of

        files |= {f"benchmark {Path(path).name}": sha256_of(path) for path in sorted(use.options.against)}
        use.step.module.benchmarks(use.options, recipe.family)
    if semantic is not None:
        from curate.semantic_model import model_sha256

        files["semantic_model"] = model_sha256(semantic.options.model)
    return files
