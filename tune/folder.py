"""A tuning's folder: whether it may be written, what it was made of, whether it is finished."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune.checkpoint import newest
from tune.config import Config
from tune.errors import UserError
from tune.lock import LOCK, read_lock
from tune.results import write_json
from tune.runs import Run, open_run

#: Where the run was, how the command was called, how long it took: all that may differ between equal tunings.
LOCAL = "local.json"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Tuning:
    """A finished tuning: its settings, the hashes of what it was made of, and the run it was made from."""

    path: Path
    config: Config
    hashes: dict[str, str]
    run: Run


def open_tuning(folder: Path) -> Tuning:
    """Open a finished tuning. Raises UserError where it is none, unfinished, or its run is gone or another by now."""
    lock = read_lock(folder)
    local = read_local(folder)
    if not local.get("finished"):
        raise UserError(f"{folder}: is not finished; --resume goes on with it (python -m tune train RUN --resume)")
    run = open_run(Path(str(local.get("run"))))
    if run.fingerprint != lock.hashes.get("run"):
        raise UserError(f"{run.path}: is another run than the one that {folder} was tuned on; bring that one back")
    return Tuning(folder, lock.config, lock.hashes, run)


def read_local(folder: Path) -> dict[str, Any]:
    """The local.json of a tuning; empty where it is missing or damaged."""
    try:
        local = json.loads((folder / LOCAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return local if isinstance(local, dict) else {}


def check_place(out: Path, *, resume: bool, force: bool) -> None:
    """Raise UserError unless a tuning may go on in this folder (`resume`), or begin in it.

    A folder that is no tuning is never touched; one that holds results or checkpoints is replaced with `force` only.
    """
    if resume:
        _check_resumable(out)
        return
    if not out.exists() and not out.is_symlink():
        above = next(folder for folder in out.absolute().parents if folder.exists())
        if not above.is_dir():
            raise UserError(f"{out}: {above} is a file; name another folder with --out")
        return
    if not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder with --out")
    if not any(out.iterdir()):
        return
    if not (out / LOCK).is_file():
        raise UserError(f"{out}: is not empty and not a tuning; it is left as it is: choose another --out")
    if force:
        return
    if read_local(out).get("finished"):
        raise UserError(f"{out}: holds a finished tuning; --force replaces it, --out keeps both")
    if newest(out / CHECKPOINTS):
        raise UserError(f"{out}: holds an unfinished tuning; --resume goes on with it, --force begins it anew")


def check_kind(out: Path, file: str, kind: str) -> None:
    """Raise UserError unless a folder of several tunings is new, empty, or known for a `kind` by its `file`."""
    if out.exists() and not (out.is_dir() and ((out / file).is_file() or not any(out.iterdir()))):
        raise UserError(f"{out}: is there and no {kind}; it is left as it is: choose another --out")


def _check_resumable(out: Path) -> None:
    if not (out / LOCK).is_file():
        raise UserError(
            f"--resume: there is no tuning at {out} to go on with; leave out --resume, or name it with --out"
        )
    if read_local(out).get("finished"):
        raise UserError(f"--resume: {out} is finished, there is nothing to go on with; --force begins it anew")
    if newest(out / CHECKPOINTS) is None:
        raise UserError(f"--resume: {out} has no checkpoint to go on from; leave out --resume to begin again")


def begin(out: Path) -> None:
    """Empty the folder of a tuning that `check_place` let through, or make it."""
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)


def write_local(out: Path, run: Run, *, finished: bool, **facts: Any) -> None:
    """Write local.json: `finished` once all is there, before that what a tuning that was cut off can be told by."""
    command = shlex.join(["python", "-m", "tune", *sys.argv[1:]])
    write_json(out / LOCAL, {"finished": finished, "run": str(run.path.resolve()), "command": command, **facts})
