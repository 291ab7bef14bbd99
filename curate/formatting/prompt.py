"""The user's message, the same in curating, tuning and other trainers that read these files."""

from __future__ import annotations

from typing import Any


def user_message(instruction: str, input_: str) -> str:
    """The non-empty ones of instruction and input, joined by one newline."""
    return "\n".join(part for part in (instruction, input_) if part)


def turns(sample: dict[str, Any]) -> list[tuple[str, str]]:
    """A sample as it is told to a model, in pairs of speaker and text: system, earlier turns, message, answer."""
    said = [("system", sample["system"])] if sample.get("system") else []
    for user, reply in sample.get("history") or ():
        said += [("user", user), ("assistant", reply)]
    return [*said, ("user", user_message(sample["instruction"], sample["input"])), ("assistant", sample["output"])]
