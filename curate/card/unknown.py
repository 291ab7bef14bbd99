"""Words that the segmenter's dictionary doesn't have: cut by its model of unknown words, and more often wrong."""

from __future__ import annotations

from curate.lazy import pl


def unknown_words(vocabulary: pl.DataFrame) -> dict[str, int]:
    """`words` of those `of` that hold a Han character are not in jieba's dictionary; both count every occurrence.

    `vocabulary` has `word`, `count`. The dictionary is the one that ships with jieba, and with rjieba, which mostly
    has it in memory by now; words of a dictionary of the user's are not in it.
    """
    import rjieba

    han = vocabulary.filter(pl.col("word").str.contains(r"\p{Han}"))
    unknown = han.filter(pl.Series([not rjieba.has_word(word) for word in han["word"]], dtype=pl.Boolean))
    return {"words": _total(unknown), "of": _total(han), "distinct": len(unknown), "distinct_of": len(han)}


def _total(words: pl.DataFrame) -> int:
    return int(words["count"].sum())
