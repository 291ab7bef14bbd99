"""`python -m curate`."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from contextlib import suppress
from typing import NoReturn

# The imports alone make a hundred thousand objects that stay: looking through them time and again frees nothing.
gc.set_threshold(50_000)

from curate.cli import main  # noqa: E402
from jingtiao.commandline import INTERRUPTED  # noqa: E402


def leave(code: int) -> NoReturn:
    """End the process without taking the interpreter apart, which takes as long as reading a hundred thousand rows.

    It also keeps the code: after Ctrl-C while a library was being imported, CPython would end by the signal itself.
    """
    if code == INTERRUPTED:
        with suppress(OSError):
            _flush()
        os._exit(code)
    if sys.getprofile() or sys.gettrace():
        sys.exit(code)  # a profiler wants the last word
    try:
        _flush()
    except OSError:
        sys.exit(code)  # Python knows what to say of it
    atexit._run_exitfuncs()  # the processes that cut words end here
    os._exit(code)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


if __name__ == "__main__":
    leave(main())
