"""Whole rows for shares: exact sums, within one row, larger weights never get fewer."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from curate.shares import allocate, largest_total, shares, weights_by_size

weights = st.dictionaries(st.sampled_from("abcdefghij"), st.fractions(0, 1000, max_denominator=97), min_size=1)
sizes = st.dictionaries(st.sampled_from("abcdefghij"), st.integers(0, 300_000), min_size=1)


@given(weights, st.integers(0, 1_000_000))
def test_allocation(weights: dict[str, Fraction], total: int) -> None:
    asked = shares(weights)
    rows = allocate(total, asked)
    if not any(weights.values()):
        assert not any(rows.values())
        return
    assert sum(asked.values()) == 1
    assert sum(rows.values()) == total
    assert all(abs(rows[name] - total * share) < 1 for name, share in asked.items())
    assert all(rows[name] == 0 for name, weight in weights.items() if not weight)
    for one in weights:
        for other in weights:
            if weights[one] > weights[other]:
                assert rows[one] >= rows[other]
            elif weights[one] == weights[other] and one < other:
                assert rows[other] <= rows[one] <= rows[other] + 1


@given(weights, st.integers(0, 10_000), st.randoms())
def test_the_order_of_parts_plays_no_role(weights: dict[str, Fraction], total: int, random: object) -> None:
    shuffled = list(weights.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert allocate(total, shares(dict(shuffled))) == allocate(total, shares(weights))


@given(sizes, st.floats(1, 20))
def test_temperature(available: dict[str, int], temperature: float) -> None:
    """Nobody has to repeat a row, and one row more would ask a part for more than it has; larger parts give more."""
    asked = shares(weights_by_size(available, temperature))
    total = largest_total(available, asked)
    rows = allocate(total, asked)
    assert all(rows[name] <= available[name] for name in available)
    if any(available.values()):
        assert any((total + 1) * asked[name] > available[name] for name in available)
    for one in available:
        for other in available:
            if available[one] >= available[other]:
                assert asked[one] >= asked[other]
                # Never more uneven than the sizes themselves.
                assert asked[one] * available[other] <= asked[other] * available[one] * Fraction("1.000000001")


def test_worked_example() -> None:
    """Shares in proportion to the square root: 90,000 and 10,000 rows go 3 : 1."""
    asked = shares(weights_by_size({"large": 90_000, "small": 10_000}, 2))
    assert asked == {"large": Fraction(3, 4), "small": Fraction(1, 4)}
    assert largest_total({"large": 90_000, "small": 10_000}, asked) == 40_000
    assert allocate(41, asked) == {"large": 31, "small": 10}
