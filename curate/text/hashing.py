"""Hashes that decide something: the same on every machine, in every version, for every slice of the data.

Texts are hashed with xxh3-64; hashes are mixed with the finaliser of splitmix64 (Steele, Lea and Flood, 2014),
written in polars' wrapping 64-bit arithmetic so that a million rows cost milliseconds. Two different texts
of n share a hash with probability n²/2⁶⁵: 4 in a million for twelve million dialogues.
"""

from __future__ import annotations

from curate.lazy import pl

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MUL_1 = 0xBF58476D1CE4E5B9
_MUL_2 = 0x94D049BB133111EB


def _u64(value: int) -> pl.Expr:
    return pl.lit(value & _MASK, dtype=pl.UInt64)


def hash_series(texts: pl.Series) -> pl.Series:
    """xxh3-64 of each string's UTF-8 bytes (null stays null)."""
    import polars_hash  # noqa: F401  (registers the expression namespace `nchash`)

    hashed = pl.col(texts.name).nchash.xxh3_64()  # type: ignore[attr-defined]
    return texts.to_frame().select(hashed).to_series()


def mix(expr: pl.Expr) -> pl.Expr:
    """splitmix64's finaliser: every input bit reaches every output bit."""
    x = expr.cast(pl.UInt64)
    x = (x ^ (x // (1 << 30))) * _u64(_MUL_1)
    x = (x ^ (x // (1 << 27))) * _u64(_MUL_2)
    return x ^ (x // (1 << 31))


def combine(*hashes: pl.Expr) -> pl.Expr:
    """One hash of several in this order; a single hash is itself."""
    result = hashes[0]
    for other in hashes[1:]:
        result = mix(result * _u64(_GOLDEN) + other)
    return result


def mix_int(value: int) -> int:
    """`mix` for one Python int (the reference of the expression, and for constants)."""
    x = value & _MASK
    x = ((x ^ (x >> 30)) * _MUL_1) & _MASK
    x = ((x ^ (x >> 27)) * _MUL_2) & _MASK
    return x ^ (x >> 31)


def seed_of(text: str, seed: int) -> int:
    """A 64-bit number for a short text (an id prefix, a label) under a seed."""
    import hashlib

    return int.from_bytes(hashlib.blake2b(f"{seed}\0{text}".encode(), digest_size=8).digest(), "little")


def row_hash(rid: pl.Expr, prefix_seed: int | pl.Expr) -> pl.Expr:
    """hash(seed, id): an id is its prefix and its row number, so the file's number plays no part.

    `rid` is a u64 column; `prefix_seed` is `seed_of(prefix, seed)` of its file, or a column of that for several files.
    """
    row = rid % (1 << 40)
    prefix = _u64(prefix_seed) if isinstance(prefix_seed, int) else prefix_seed
    return mix((row + 1) * _u64(_GOLDEN) + prefix)


def lot(hashes: pl.Expr, name: str, seed: int) -> pl.Expr:
    """A u64 drawn for each hash by the step called `name`: what it decides has nothing to do with what others do.

    Were two steps to choose by the same numbers, the rows that the first one left would not be chance to the second.
    """
    return mix(hashes + _u64(seed_of(name, seed)))


def repeated(hashes: pl.Series) -> pl.Series:
    """Whether each hash stands in the column more than once, as `is_duplicated` says, in a third of its memory."""
    ordered = hashes.sort()
    again = ordered[1:].filter(ordered[1:].eq_missing(ordered[:-1])).unique()
    return hashes.is_in(again.implode(), nulls_equal=True)
