"""`python -m tune`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from tune.cli import INTERRUPTED, main

if __name__ == "__main__":
    code = main()
    if code == INTERRUPTED:
        # Everything is cleaned up. CPython would now end by the signal itself (and not with this code) if Ctrl-C came
        # while a library was being imported.
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
