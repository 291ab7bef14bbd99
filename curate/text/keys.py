"""What "the same text" means, in one place: the comparison key.

A key is for comparing only; the stored text keeps its punctuation. Two rules, named as in recipes:

`by: text`  NFKC, white space dropped.
`by: key`   NFKC; lower case (ß→ss, ς→σ); white space, control and zero-width characters dropped; punctuation
            dropped, but kept where it carries meaning: a run with ASCII letters or digits on both its ends
            (3.5, don't, a-b), a minus sign before a digit, and `% # & *` after an ASCII letter or digit (50%, C#).
            A text of punctuation only keeps itself, so no key is empty unless the text is.

`compare_key` is the plain reference of one text; `key_expr` is the polars form that a run uses.
"""

from __future__ import annotations

import unicodedata

from curate.lazy import pl
from curate.text.hashing import combine, hash_text

#: Stands between the utterances of a dialogue: a private-use character, which no rule drops.
TURN = "\uf8ff"

_DROPPED = r"[\s\p{Cc}\p{Cf}\x{fe00}-\x{fe0f}]+"
#: Only these texts need the token-wise rule: everywhere else all punctuation goes.
_CAREFUL = r"[a-z0-9]\p{P}|-[0-9]"
_KEPT = r"(?:-[0-9][a-z0-9]*|[a-z0-9]+)(?:\p{P}+[a-z0-9]+)*[%#&*]*|[^\p{P}a-z0-9]+"


def text_expr(expr: pl.Expr) -> pl.Expr:
    """The `by: text` key of a string column."""
    return expr.str.normalize("NFKC").str.replace_all(r"\s+", "")


def key_expr(expr: pl.Expr) -> pl.Expr:
    """The `by: key` key of a string column (33M characters a second on one core)."""
    folded = (
        expr.str.normalize("NFKC")
        .str.to_lowercase()
        .str.replace_all("ß", "ss", literal=True)
        .str.replace_all("ς", "σ", literal=True)
        .str.replace_all(_DROPPED, "")
    )
    return folded.map_batches(_drop_punctuation, return_dtype=pl.String)


def _drop_punctuation(folded: pl.Series) -> pl.Series:
    careful = folded.str.contains(_CAREFUL).fill_null(False)
    key = folded.str.replace_all(r"\p{P}+", "")
    if careful.any():
        where = careful.arg_true()
        tokens = folded.gather(where).str.extract_all(_KEPT).list.join("")
        key = key.scatter(where, tokens)
    empty = (key == "").fill_null(False)
    return key.zip_with(~empty, folded) if empty.any() else key


def _is_dropped(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) in ("Cc", "Cf") or "\ufe00" <= char <= "\ufe0f"


def compare_key(text: str) -> str:
    """The `by: key` key of one text, written out character by character: the reference of `key_expr`."""
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


def comparison_expr(field: str, dtype: str, by: str) -> pl.Expr:
    """The comparison text of a field (`dtype` as in `Task.fields`) by `text` or by `key`."""
    column = pl.col(field).list.join(TURN) if dtype == "list[str]" else pl.col(field)
    return key_expr(column) if by == "key" else text_expr(column)


def key_column(field: str, by: str) -> str:
    """The name of the column that holds the hash of a field's comparison text."""
    return f"{field}|{by}"


def key_frame(frame: pl.DataFrame, fields: dict[str, str], columns: set[str]) -> pl.DataFrame:
    """u64 hashes of the comparison texts that `columns` names (`field|by`), beside `rid`."""
    exprs = []
    for name in sorted(columns):
        field, _, by = name.partition("|")
        exprs.append(hash_text(comparison_expr(field, fields[field], by)).alias(name))
    return frame.select("rid", *exprs)


def group_hash(fields: tuple[str, ...], by: str, symmetric: bool) -> pl.Expr:
    """One u64 for the fields together; for a symmetric pair the order of the two doesn't matter."""
    parts = [pl.col(key_column(field, by)) for field in fields]
    if symmetric and len(parts) == 2:
        return combine(pl.min_horizontal(parts), pl.max_horizontal(parts))
    return combine(*parts)
