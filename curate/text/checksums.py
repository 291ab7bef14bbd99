"""Check digits: what tells a card's number from any other number of its length."""

from __future__ import annotations

_ID_WEIGHTS = tuple(pow(2, 17 - place, 11) for place in range(17))
_ID_DIGITS = "10X98765432"


def id_check_digit(body: str) -> str:
    """The 18th character of a resident identity card with these 17 digits (ISO 7064 MOD 11-2, as GB 11643 has it)."""
    return _ID_DIGITS[sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, body, strict=True)) % 11]


def luhn(digits: str) -> bool:
    """Whether the last digit is right by Luhn's rule (ISO/IEC 7812-1), which all bank cards follow."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0
