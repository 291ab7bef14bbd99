"""The user's message, the same in curating, tuning and other trainers that read these files."""

from __future__ import annotations


def user_message(instruction: str, input_: str) -> str:
    """The non-empty ones of instruction and input, joined by one newline."""
    return "\n".join(part for part in (instruction, input_) if part)
