"""What is going on, told while it goes on."""

from __future__ import annotations

import sys
from typing import Any


class Progress:
    """What is going on, on stderr: a line that rewrites itself on a terminal, nothing elsewhere.

    An instance is called with a text (`report("reading train.tsv")`); rich is imported only where there is a terminal.
    That a run goes on from where another one stopped is said in a line that stays, everywhere.
    """

    def __init__(self) -> None:
        self.status: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console

            self.status = Console(stderr=True, highlight=False, markup=False).status("starting")
            self.status.start()
        return self

    def __call__(self, text: str) -> None:
        if text.startswith("going on"):
            if self.status is None:
                print(text, file=sys.stderr, flush=True)
            else:
                self.status.console.print(text)
            return
        if self.status is not None:
            self.status.update(text)

    def __exit__(self, *error: object) -> None:
        if self.status is not None:
            self.status.stop()
