"""How a card writes numbers: thousands set apart, shares with one decimal."""

from __future__ import annotations


def count(value: int) -> str:
    return f"{value:,}"


def percent(part: int, whole: int) -> str:
    if 0 < part < 0.0005 * whole:
        return "<0.1 %"
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"


def part_of(rows: int, of: int) -> dict[str, str]:
    return {"rows": count(rows), "of": count(of), "share": percent(rows, of)}


def with_share(part: int, whole: int) -> str:
    return f"{count(part)} ({percent(part, whole)})" if part else "0"
