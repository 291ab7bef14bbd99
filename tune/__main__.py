"""`python -m tune`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

from jingtiao.commandline import INTERRUPTED
from tune.cli import main


def leave(code: int) -> NoReturn:
    """End the process with a code, which CPython would not keep if Ctrl-C came while a library was being imported."""
    if code == INTERRUPTED:  # everything is cleaned up
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main())
