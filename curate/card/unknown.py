"""Words that the segmenter's dictionary doesn't have: cut by its model of unknown words, and more often wrong."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from curate.lazy import pl


def unknown_words(vocabulary: pl.DataFrame) -> dict[str, int]:
    """`words` of those `of` that hold a Han character are not in jieba's dictionary; both count every occurrence.

    `vocabulary` has `word`, `count`. The dictionary is the one that ships with jieba, and with rjieba; words of a
    dictionary of the user's are not in it.
    """
    han = vocabulary.filter(pl.col("word").str.contains(r"\p{Han}"))
    unknown = han.join(_dictionary(), on="word", how="anti")
    return {"words": _total(unknown), "of": _total(han), "distinct": len(unknown), "distinct_of": len(han)}


def _total(words: pl.DataFrame) -> int:
    return int(words["count"].sum())


def _dictionary() -> pl.DataFrame:
    """The words of dict.txt (a word, a frequency, a tag a line), without importing jieba, which takes far longer."""
    spec: Any = find_spec("jieba")
    path = Path(spec.submodule_search_locations[0]) / "dict.txt"
    lines = pl.Series("word", path.read_text(encoding="utf-8").split("\n"))
    return lines.str.extract(r"^(\S+) ").drop_nulls().to_frame()
