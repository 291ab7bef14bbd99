"""`tune recipe`: curating first, by `python -m curate` as a child process.

Tuning and curating share no code and need not share libraries: what passes between them is a run folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from tune.errors import UserError

#: What curating needs and tuning doesn't.
NEEDED = ("curate", "polars", "polars_hash", "jieba", "rjieba", "jinja2")


def curated(recipe: str, sources: Sequence[str], *, force: bool = False, stream: TextIO) -> tuple[int, Path]:
    """Carry out a recipe, or find its finished run; returns `curate`'s exit code and the run's folder.

    `curate` itself leaves a finished run of the same recipe and source as it is, writes its `error:` lines and its
    progress to our stderr, and leaves nothing half-written: with a code other than 0 all has been said.
    Raises UserError where curating can't be started here.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(
            f"curating needs {', '.join(missing)}, not installed here; give a finished run: tune train RUN"
        )
    command = [sys.executable, "-m", "curate", "recipe", recipe, "--json"]
    for source in sources:
        command += ["--source", source]
    code, printed = _call([*command, "--force"] if force else command)
    if code:
        return code, Path()
    result = json.loads(printed)
    splits = [f"{split} {n['written']:,} of {n['read']:,}" for split, n in result["splits"].items()]
    print(f"run:  {result['path']} ({result['status']}: {', '.join(splits)} rows)", file=stream)
    for note in result["notes"]:
        print(f"note: {note}", file=stream)
    stream.flush()
    return 0, Path(result["path"])


def _call(command: list[str]) -> tuple[int, str]:
    """The exit code of a command and what it printed; Ctrl-C is passed on to it, and it may finish cleaning up."""
    # A group of its own: the terminal's Ctrl-C would reach the child a second time, in the middle of its cleaning up.
    own_group: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", **own_group) as child:
        try:
            printed, _ = child.communicate()
        except KeyboardInterrupt:
            if own_group:
                os.killpg(child.pid, signal.SIGINT)
            printed, _ = child.communicate()
            if child.returncode == 0:  # it was done already; we were not
                raise
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        raise UserError(f"curating was ended by {name} (out of memory, perhaps); nothing half-written was left")
    return child.returncode, printed
