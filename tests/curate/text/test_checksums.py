"""Check digits, against the numbers the standards give as examples and against single wrong digits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.text.checksums import id_check_digit, luhn

DIGITS = st.text("0123456789", min_size=17, max_size=17)


@pytest.mark.parametrize(("body", "digit"), [("11010519491231002", "X"), ("44052418800101001", "4")])
def test_the_examples_of_gb_11643(body: str, digit: str) -> None:
    assert id_check_digit(body) == digit


@pytest.mark.parametrize("number", ["79927398713", "4111111111111111", "5500005555555559", "0"])
def test_numbers_that_luhn_accepts(number: str) -> None:
    assert luhn(number)
    assert not luhn(number[:-1] + str((int(number[-1]) + 1) % 10))


@given(DIGITS, st.integers(0, 16), st.integers(1, 9))
def test_one_wrong_digit_is_noticed(body: str, place: int, more: int) -> None:
    wrong = body[:place] + str((int(body[place]) + more) % 10) + body[place + 1 :]
    assert id_check_digit(body) != id_check_digit(wrong)
    last = next(digit for digit in "0123456789" if luhn(body + digit))
    assert not luhn(wrong + last)
    assert sum(luhn(body + digit) for digit in "0123456789") == 1
