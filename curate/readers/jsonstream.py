"""JSON too large for memory, read item by item: LCCC-large is one list of twelve million dialogues."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from curate.types import UserError

_NO_SPACE = re.compile(r"[^ \t\n\r]")
#: An item larger than this (characters) is taken for a string that is never closed.
MAX_ITEM = 1 << 26


def what_is_wrong(error: RecursionError | ValueError) -> str:
    """What Python's reader can't take although it is JSON, in words that say how to mend it."""
    if isinstance(error, RecursionError):
        return "lists and objects are nested too deeply, which no corpus needs: take that value out"
    return "a whole number has more digits than can be read: write it as a string, or take it out"


class JsonStream:
    """A cursor over blocks of text: only the unread rest of the last blocks is kept."""

    def __init__(self, name: str, blocks: Iterator[str]) -> None:
        self.name, self._blocks = name, blocks
        self._decode = json.JSONDecoder().raw_decode
        self._buffer, self._at = "", 0
        # Line and column of the buffer's first character.
        self._line, self._column = 1, 1
        self._ended = False

    def peek(self) -> str:
        """The next character that isn't white space, not taken; "" at the end of the file."""
        if self._at < len(self._buffer) and self._buffer[self._at] not in " \t\n\r":
            return self._buffer[self._at]
        while True:
            found = _NO_SPACE.search(self._buffer, self._at)
            if found:
                self._at = found.start()
                return found[0]
            self._at = len(self._buffer)
            if not self._refill():
                return ""

    def expect(self, char: str) -> None:
        """Take this character, or complain."""
        found = self.peek()
        if found != char:
            self.fail(f"`{char}` expected" + (f", not `{found}`" if found else ""))
        self._at += 1

    def value(self) -> Any:
        """Take one whole value."""
        if not self.peek():
            self.fail("a value expected")
        while True:
            try:
                value, end = self._decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                # It may only be cut by the block's end; a string without an end says where it began.
                open_end = error.msg.startswith("Unterminated string") or error.pos >= len(self._buffer) - 16
                if open_end and len(self._buffer) - self._at < MAX_ITEM and self._refill():
                    continue
                self.fail(error.msg, error.pos)
            except (RecursionError, ValueError) as error:
                self.fail(what_is_wrong(error))
            # A number near the block's end may go on: `1` of `1.5`, or of `1e-5` cut before the 5.
            near = end >= len(self._buffer) - 3
            if near and self._buffer[end - 1] not in '"]}' and self._refill():
                continue
            self._at = end
            return value

    def items(self) -> Iterator[Any]:
        """Take a list, one item after another."""
        self.expect("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self.peek() == "]":
                self._at += 1
                return
            self.expect(",")

    def members(self) -> Iterator[str]:
        """Take an object: after each key the caller takes its value."""
        self.expect("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            if self.peek() != '"':
                self.fail("a key in double quotes expected")
            key = self.value()
            self.expect(":")
            yield key
            if self.peek() == "}":
                self._at += 1
                return
            self.expect(",")

    def fail(self, what: str, at: int | None = None) -> NoReturn:
        """UserError with the position in the file."""
        line, column = self._position(self._at if at is None else at)
        ended = " at the end of the file: it is cut short, get it again" if self._ended and not self._rest() else ""
        raise UserError(f"{self.name}:{line}:{column}: is not valid JSON: {what}{ended}")

    def _rest(self) -> str:
        return self._buffer[self._at :].strip()

    def _position(self, at: int) -> tuple[int, int]:
        newlines = self._buffer.count("\n", 0, at)
        if not newlines:
            return self._line, self._column + at
        return self._line + newlines, at - self._buffer.rfind("\n", 0, at)

    def _refill(self) -> bool:
        """More text behind the unread rest, at least as much as it is long: a large item is not retried too often."""
        if self._ended:
            return False
        parts = [self._buffer[self._at :]]
        wanted = max(1, len(parts[0]))
        got = 0
        while got < wanted:
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
                break
            parts.append(block)
            got += len(block)
        if not got:
            return False  # the buffer stays as it is: an error's position counts in it
        self._line, self._column = self._position(self._at)
        self._buffer, self._at = "".join(parts), 0
        return True
