"""The one kind of error a user sees."""

from __future__ import annotations


class UserError(Exception):
    """The user's input is wrong: printed as `error: …`, one line a message, exit code 2."""

    def __init__(self, *messages: str) -> None:
        super().__init__("\n".join(messages))
        self.messages = [_one_line(message) for message in messages]


def _one_line(text: str) -> str:
    """One line that a terminal only shows: file names and rows may hold escapes that it would obey."""
    text = " ".join(text.split())
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
