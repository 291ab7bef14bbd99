"""Texts cut to what a page can show."""

from __future__ import annotations


def clip(text: str, limit: int) -> str:
    """The beginning of a text."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cut_middle(text: str, limit: int) -> str:
    """The beginning and the end of a text: instructions stand before the text they are about, or after it."""
    if len(text) <= limit:
        return text
    half = (limit - 3) // 2
    return f"{text[:half]} … {text[len(text) - half :]}"
