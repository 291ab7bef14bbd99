"""The one kind of error a user sees."""

from __future__ import annotations


class UserError(Exception):
    """The user's input is wrong: printed as `error: …`, one line a message, exit code 2."""

    def __init__(self, *messages: str) -> None:
        super().__init__("\n".join(messages))
        self.messages = [" ".join(message.split()) for message in messages]
