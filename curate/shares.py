"""How many rows each part gives, of a mixture or of one corpus: shares, the largest total without repeats, whole rows.

All of it in exact fractions, so that no rounding of a machine decides a row.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TypeVar

#: What parts are told apart by; ties go to the smallest.
Name = TypeVar("Name", str, int)


def weights_by_size(available: dict[str, int], temperature: float) -> dict[str, Fraction]:
    """Weights in proportion to rows^(1/T): T = 1 is by size, a large T nearly equal."""
    # Twelve digits: the last ones of a power differ between C libraries.
    return {
        name: Fraction(rows) if temperature == 1 else Fraction(f"{rows ** (1 / temperature):.12g}")
        for name, rows in available.items()
    }


def shares(weights: dict[str, Fraction]) -> dict[str, Fraction]:
    """Weights in parts of one."""
    whole = sum(weights.values(), Fraction(0))
    return {name: weight / whole if whole else Fraction(0) for name, weight in weights.items()}


def largest_total(available: dict[str, int], asked: dict[str, Fraction]) -> int:
    """The largest total of which no part's share is more than the rows it has."""
    return min((int(available[name] / share) for name, share in asked.items() if share), default=0)


def allocate(total: int, asked: dict[Name, Fraction]) -> dict[Name, int]:
    """`total` in whole rows by largest remainder: each part within one row of its share, ties to the first by name."""
    exact = {name: total * share for name, share in asked.items()}
    rows = {name: int(part) for name, part in exact.items()}
    left = total - sum(rows.values()) if any(asked.values()) else 0
    for name in sorted(exact, key=lambda name: (rows[name] - exact[name], name))[:left]:
        rows[name] += 1
    return rows
