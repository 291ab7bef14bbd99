"""Talking with a tuned model: the prompt of training, the user's texts in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tune.verdicts import verdict

if TYPE_CHECKING:
    from tune.export import Tuned

COMMANDS = "/reset forgets what was said, /exit ends (so does Ctrl-D)"


def chat(tuning: Path, *, stdin: TextIO | None = None, stdout: TextIO | None = None) -> None:
    """Answer what is typed, earlier turns remembered, until /exit or the end of the input.

    Where `stdin` is no terminal, every line is a question of its own and gets one line of answer. Raises UserError
    where the tuning can't be loaded.
    """
    from tune.lock import read_lock

    read_lock(tuning)  # a wrong folder is told before seconds of imports
    from tune.export import load_tuned

    tuned = load_tuned(tuning)
    source: Any = sys.stdin if stdin is None else stdin
    if not source.isatty():
        _answer_lines(tuned, source, stdout)
        return
    print(f"{tuned.config.model}, {tuned.config.method}; {COMMANDS}", file=stdout)
    if tuned.config.has_head:
        print("it labels each line by itself; a pair is two texts with a tab between them", file=stdout)
    for note in tuned.notes:
        print(f"note: {note}", file=stdout)
    talk = Talk(tuned)
    for line in _typed(source, stdout):
        if line == "/exit":
            break
        if line == "/reset":
            talk.history.clear()
        elif line.startswith("/"):
            print(f"{line.split()[0]} is no command: {COMMANDS}", file=stdout)
        elif line:
            print(talk.say(line), file=stdout, flush=True)
    print(file=stdout)


class Talk:
    """A conversation. `history`: the turns so far, as [user, assistant] pairs."""

    def __init__(self, tuned: Tuned) -> None:
        self.tuned = tuned
        self.history: list[list[str]] = []

    def say(self, text: str) -> str:
        """The model's answer, greedy as in evaluation; the turn is remembered.

        An answer that doesn't end within max_new_tokens is followed by …; the oldest turns go where the prompt would
        become longer than max_length, which is as much as the model has seen. A model with a head says of each text by
        itself which label it is, or how much it scores.
        """
        if self.tuned.config.has_head:
            return verdict(self.tuned, text)
        prompt = self._prompt(text)
        while len(prompt) > self.tuned.config.max_length and self.history:
            self.history.pop(0)
            prompt = self._prompt(text)
        answer, ended = answer_prompt(self.tuned, prompt)
        self.history.append([text, answer])
        return answer if ended else f"{answer} …"

    def _prompt(self, text: str) -> list[int]:
        sample: dict[str, Any] = {"instruction": text, "input": "", "history": self.history}
        return self.tuned.prompter.prompt_ids([sample])[0]


def answer_prompt(tuned: Tuned, prompt: list[int]) -> tuple[str, bool]:
    """The greedy answer to a prompt's ids, and whether the model ended it."""
    from tune.generate import generate

    prompter, most = tuned.prompter, tuned.config.max_new_tokens
    options = {"stop_ids": prompter.stop_ids, "pad_id": prompter.pad_id, "max_new_tokens": most}
    (ids,) = generate(tuned.model, [prompt], **options)
    return prompter.decode(ids), len(ids) < most


def _answer_lines(tuned: Tuned, stdin: TextIO, stdout: TextIO | None) -> None:
    for line in stdin:
        if text := line.rstrip("\r\n").strip():
            print(" ".join(Talk(tuned).say(text).split("\n")), file=stdout, flush=True)


def _typed(stdin: TextIO, stdout: TextIO | None) -> Iterator[str]:
    """Lines as they are typed, with the terminal's line editing where it has one."""
    if stdin is sys.stdin and stdout is None:
        with suppress(ImportError):
            import readline  # noqa: F401  (importing it is what gives `input` its editing)
        with suppress(EOFError):
            while True:
                yield input("> ").strip()
        return
    print("> ", end="", file=stdout, flush=True)
    for line in stdin:
        yield line.strip()
        print("> ", end="", file=stdout, flush=True)
