"""What "the same text" means, in one place: the comparison key.

A key is for comparing only; the stored text keeps its punctuation. Two rules, named as in recipes:

`by: text`  NFKC, white space dropped.
`by: key`   NFKC; lower case (ß→ss, ς→σ); white space, control and zero-width characters dropped; punctuation
            dropped, but kept where it carries meaning: a run with ASCII letters or digits on both its ends
            (3.5, don't, a-b), a minus sign before a digit, and `% # & *` after an ASCII letter or digit (50%, C#).
            A text of punctuation only keeps itself, so no key is empty unless the text is.

`compare_key` is the plain reference of one text; `key_series` is the form that a run uses.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from curate.lazy import pl
from curate.text.distinct import map_distinct, put
from curate.text.hashing import combine, hash_series, mix

#: Stands between the utterances of a dialogue: a private-use character, which no rule drops.
TURN = "\uf8ff"

_DROPPED = r"[\s\p{Cc}\p{Cf}\x{fe00}-\x{fe0f}]+"
#: A text of Han characters only, as most short texts are, is its own key by both rules.
_NOT_HAN = r"[^\x{4e00}-\x{9fff}]"
#: Common punctuation and what NFKC makes of it.
_FOLDED = dict(zip("，？！：；（）", ",?!:;()", strict=True))
#: Texts with one of these need NFKC in full, or hold white space.
_UNFOLDED = rf"[^\x{{4e00}}-\x{{9fff}}\x21-\x7e。、《》“”‘’{''.join(_FOLDED)}]"
#: Common punctuation that NFKC turns into punctuation.
_COMMON = r"，。？！、；：（）《》〈〉“”‘’【】「」『』…—·!-#%-*,\-./:;?@\[\\\]_{}"
#: Symbols, which no rule changes or drops.
_SYMBOLS = r"$+<=>\^`|~"
#: Texts in which this is found need the full rule. In all others, most of them, the `by: key` key is what is left
#: without the common punctuation: they are Han, symbols, and lower-case letters and digits with no punctuation after
#: them.
_HARD = rf"[^\x{{4e00}}-\x{{9fff}}a-z0-9{_SYMBOLS}{_COMMON}]|[a-z0-9][{_COMMON}]|-[0-9]|^[{_COMMON}]*$"
#: Only these texts need the token-wise rule: everywhere else all punctuation goes.
_CAREFUL = r"[a-z0-9]\p{P}|-[0-9]"
_KEPT = r"(?:-[0-9][a-z0-9]*|[a-z0-9]+)(?:\p{P}+[a-z0-9]+)*[%#&*]*|[^\p{P}a-z0-9]+"


def text_series(texts: pl.Series) -> pl.Series:
    """The `by: text` keys of a string column."""
    return _where(texts, _NOT_HAN, _text_of)


def key_series(texts: pl.Series) -> pl.Series:
    """The `by: key` keys of a string column."""
    return both_series(texts)[1]


def both_series(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The `by: text` and the `by: key` keys of a string column: where the one rule ends, the other begins."""
    where = _found(texts, _NOT_HAN)
    if not len(where):
        return texts, texts
    some = texts.gather(where)
    folded = _text_of(some)
    return put(texts, where, folded), put(texts, where, _key_of(some, folded))


def _text_of(texts: pl.Series) -> pl.Series:
    folded = texts.str.replace_many(list(_FOLDED), list(_FOLDED.values()))
    return _where(folded, _UNFOLDED, lambda found: found.str.normalize("NFKC").str.replace_all(r"\s+", ""))


def _key_of(texts: pl.Series, folded: pl.Series) -> pl.Series:
    """The `by: key` keys of texts, given their `by: text` keys."""
    hard = _found(texts, _HARD)
    key = _without(texts, hard).str.replace_all(f"[{_COMMON}]+", "")
    return put(key, hard, map_distinct(folded.gather(hard), _reduce)) if len(hard) else key


def _where(texts: pl.Series, pattern: str, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """`change` applied to the texts in which the pattern is found; the others, most of them, stay as they are."""
    where = _found(texts, pattern)
    return put(texts, where, map_distinct(texts.gather(where), change)) if len(where) else texts


def _found(texts: pl.Series, pattern: str) -> pl.Series:
    """The indexes of the texts in which the pattern is found."""
    return texts.str.contains(pattern).fill_null(False).arg_true()


def _without(texts: pl.Series, where: pl.Series) -> pl.Series:
    """The texts with nulls at these indexes: nothing is spent on what will be put there."""
    return put(texts, where, pl.Series([None], dtype=pl.String)) if len(where) else texts


def _reduce(texts: pl.Series) -> pl.Series:
    folded = (
        texts.str.to_lowercase()
        .str.replace_all("ß", "ss", literal=True)
        .str.replace_all("ς", "σ", literal=True)
        .str.replace_all(_DROPPED, "")
    )
    careful = _found(folded, _CAREFUL)
    key = _without(folded, careful).str.replace_all(r"\p{P}+", "")
    if len(careful):
        key = key.scatter(careful, folded.gather(careful).str.extract_all(_KEPT).list.join(""))
    empty = key == ""
    return key.zip_with(~empty, folded) if empty.any() else key


def _is_dropped(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) in ("Cc", "Cf") or "\ufe00" <= char <= "\ufe0f"


def compare_key(text: str) -> str:
    """The `by: key` key of one text, written out character by character: the reference of `key_series`."""
    folded = unicodedata.normalize("NFKC", text).lower().replace("ß", "ss").replace("ς", "σ")
    folded = "".join(char for char in folded if not _is_dropped(char))

    def word(char: str) -> bool:
        return char.isascii() and char.isalnum()

    kept: list[str] = []
    i = 0
    while i < len(folded):
        if not unicodedata.category(folded[i]).startswith("P"):
            kept.append(folded[i])
            i += 1
            continue
        end = i
        while end < len(folded) and unicodedata.category(folded[end]).startswith("P"):
            end += 1
        run, left, right = folded[i:end], folded[i - 1 : i], folded[end : end + 1]
        if word(left) and word(right):
            kept.append(run)
        else:
            if word(left):
                kept.append(run[: len(run) - len(run.lstrip("%#&*"))])
            if run.endswith("-") and right.isascii() and right.isdigit():
                kept.append("-")
        i = end
    return "".join(kept) or folded


def key_column(field: str, by: str) -> str:
    """The name of the column that holds the hash of a field's comparison text."""
    return f"{field}|{by}"


def key_text(field: str) -> str:
    """The name of the column that holds a field's `by: key` text itself."""
    return f"{field}|key text"


def key_frame(
    frame: pl.DataFrame, fields: dict[str, str], columns: set[str], texts: frozenset[str] = frozenset()
) -> pl.DataFrame:
    """u64 hashes of the comparison texts that `columns` names (`field|by`), beside `rid`.

    Of the fields in `texts` also the `by: key` texts themselves.
    """
    hashes = [frame["rid"]]
    for field in sorted({name.partition("|")[0] for name in columns} | texts):
        column = frame[field].list.join(TURN) if fields[field] == "list[str]" else frame[field]
        both = both_series(column)
        hashes += [both[1].alias(key_text(field))] if field in texts else []
        for by, keys in zip(("text", "key"), both, strict=True):
            if key_column(field, by) in columns:
                hashes.append(hash_series(keys).alias(key_column(field, by)))
    return pl.DataFrame(hashes)


def group_hash(fields: tuple[str, ...], by: str, symmetric: bool) -> pl.Expr:
    """One u64 for the fields together; for a symmetric pair the order of the two doesn't matter."""
    parts = [pl.col(key_column(field, by)) for field in fields]
    if symmetric and len(parts) == 2:
        return combine(pl.min_horizontal(parts), pl.max_horizontal(parts))
    return combine(*parts)


def within_split(group: pl.Expr) -> pl.Expr:
    """A group hash that tells the splits apart, so that grouping needs one u64 column and not two.

    `group` is a column already worked out: `mix` repeats its argument, and an expression would be repeated as a whole.
    """
    return mix(group ^ (pl.col("split").to_physical().cast(pl.UInt64) + 1))
